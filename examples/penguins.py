"""Real data: 344 penguins of Palmer Station, read, cleaned, checked and summed up by species.

tau run examples/penguins.py

The file lies beside the pipeline (examples/data/penguins.csv, its source in examples/data).
"""

import csv
from collections import Counter, defaultdict
from pathlib import Path
from statistics import mean

from tau import PipelineContext, pipeline

DATA = Path(__file__).parent / "data" / "penguins.csv"
MEASURES = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
RANGES = {"bill_length_mm": (25, 70), "flipper_length_mm": (150, 250), "body_mass_g": (2000, 7000)}


def read(path: Path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def why_dropped(row: dict) -> str | None:
    """The reason why a row is of no use, or None."""
    if any(row[name] == "NA" for name in MEASURES):
        return "no measurements"
    if row["sex"] == "NA":
        return "sex unknown"
    return None


def typed(row: dict) -> dict:
    return row | {name: float(row[name]) for name in MEASURES} | {"year": int(row["year"])}


def by_species(rows: list[dict]) -> dict[str, dict]:
    groups = defaultdict(list)
    for row in rows:
        groups[row["species"]].append(row)
    return {
        species: {
            "penguins": len(group),
            "islands": sorted({row["island"] for row in group}),
            **{f"mean_{name}": round(mean(row[name] for row in group), 1) for name in MEASURES},
        }
        for species, group in sorted(groups.items())
    }


@pipeline(description="Palmer penguins by species", params={"path": str(DATA)}, tags=["example"])
async def penguins(ctx: PipelineContext):
    async with ctx.step("read") as step:
        rows = read(Path(ctx.params["path"]))
        step.rows_out = len(rows)

    async with ctx.step("clean") as step:
        reasons = Counter(why_dropped(row) for row in rows)
        kept = [typed(row) for row in rows if why_dropped(row) is None]
        step.rows_in, step.rows_out = len(rows), len(kept)
        del reasons[None]
        for reason, count in reasons.items():
            step.metric(f"dropped: {reason}", count)
            ctx.log(f"dropped {count} rows: {reason}", level="warning", rows=count)

    for name, (low, high) in RANGES.items():
        found = [row[name] for row in kept]
        ctx.check(
            low <= min(found) and max(found) <= high,
            name=f"{name} between {low} and {high}", min=min(found), max=max(found),
        )  # fmt: skip
    ctx.check(len({row["species"] for row in kept}) == 3, name="three species")

    species = await ctx.transform(kept, by_species, name="sum up")
    return {
        "records_processed": len(kept),
        "rows_dropped": sum(reasons.values()),
        "dropped_because": dict(reasons),
        "species": species,
    }
