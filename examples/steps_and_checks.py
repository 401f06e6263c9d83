"""Steps that nest, counted transforms, checks that warn or fail, params, and state between runs.

tau run examples/steps_and_checks.py
tau run steps_and_checks --params '{"rows": 50, "minimum": 60}'     # fails its check
"""

from tau import PipelineContext, pipeline


def clean(rows: list[dict]) -> list[dict]:
    """Drop rows without an amount."""
    return [row for row in rows if row["amount"] is not None]


@pipeline(params={"rows": 100, "minimum": 10}, tags=["example"], timeout="1m")
async def steps_and_checks(ctx: PipelineContext):
    async with ctx.step("orders") as orders:
        async with ctx.step("generate") as generate:
            rows = [
                {"id": n, "amount": None if n % 10 == 0 else n * 1.5}
                for n in range(ctx.params["rows"])
            ]
            generate.rows_out = len(rows)
        kept = await ctx.transform(rows, clean)
        orders.rows_in, orders.rows_out = len(rows), len(kept)
        orders.metric("dropped_ratio", round(1 - len(kept) / len(rows), 3))

    ctx.check(len(kept) >= ctx.params["minimum"], name="enough rows", rows=len(kept))
    ctx.check(
        len(kept) == len(rows), name="no row dropped", severity="warn",
        dropped=len(rows) - len(kept),
    )  # fmt: skip

    ctx.state["runs"] = ctx.state.get("runs", 0) + 1
    ctx.log("summed up", total=sum(row["amount"] for row in kept))
    return {
        "records_processed": len(kept),
        "total": sum(row["amount"] for row in kept),
        "successful_runs_so_far": ctx.state["runs"],
    }
