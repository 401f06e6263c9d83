"""Fails on purpose, so that a failure can be looked at: tau run examples/failing_pipeline.py

The source renamed a column; `tau inspect failing_pipeline@last` shows the line and, by the shape
of its locals, the new name.
"""

from tau import PipelineContext, pipeline


def emails(customers: list[dict]) -> list[str]:
    return [customer["email"].lower() for customer in customers]


@pipeline(tags=["example"])
async def failing_pipeline(ctx: PipelineContext):
    async with ctx.step("extract") as step:
        customers = [{"id": n, "email_address": f"c{n}@example.com"} for n in range(100)]
        step.rows_out = len(customers)
    async with ctx.step("transform") as step:
        step.rows_in = len(customers)
        return {"emails": emails(customers)}
