"""The smallest useful pipeline: tau run examples/hello_pipeline.py"""

from tau import PipelineContext, pipeline


@pipeline(description="Says hello and counts to three", tags=["example"])
async def hello_world(ctx: PipelineContext):
    ctx.log("Hello from Tau", run=ctx.run_id)
    async with ctx.step("count") as step:
        records = [{"n": n, "square": n * n} for n in range(1, 4)]
        step.rows_out = len(records)
    return {"message": "Hello, World!", "records_processed": len(records)}
