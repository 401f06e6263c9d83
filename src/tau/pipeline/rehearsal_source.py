"""The pipeline of a rehearsal: what most pipelines do, in short."""

from tau import PipelineContext, pipeline


@pipeline(params={"rows": 1})
async def rehearsal(ctx: PipelineContext) -> dict[str, int]:
    ctx.log("rehearsed", rows=ctx.params["rows"])
    async with ctx.step("rehearse") as step:
        step.rows_out = 1
    return {"records_processed": 1}
