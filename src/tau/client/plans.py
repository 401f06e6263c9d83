"""A file in place of a pipeline's name: which pipeline it holds, and what running it would do."""

from collections.abc import Callable
from pathlib import Path
from shlex import join
from typing import Any

from tau.errors import PipelineAmbiguous, UsageError

JsonObject = dict[str, Any]
_CHECKED_BY_DAEMON = {
    "params": "--params", "start_date": "--start-date", "end_date": "--end-date",
}  # fmt: skip


def only_name(deployment: JsonObject, file: str) -> str:
    """The name of the one pipeline of a deployed file. Raises PipelineAmbiguous."""
    return str(_only(deployment, file)["name"])


def plan_file(
    deploy: Callable[..., JsonObject], post_run: Callable[[str, JsonObject], JsonObject],
    file: str, body: JsonObject,
) -> JsonObject:  # fmt: skip
    """What `body` would do with the pipeline of a file; it is not deployed for that.

    What is deployed already is planned by the daemon. Of anything else the daemon can say how it
    would be deployed: `deployment`; its params and dates can't be checked. Raises UsageError, and
    what `deploy` raises.
    """
    deployment = deploy(file, dry_run=True)
    pipeline = _only(deployment, file)
    if not pipeline["changed"]:
        return post_run(str(pipeline["name"]), body)
    unchecked = [option for key, option in _CHECKED_BY_DAEMON.items() if key in body]
    if body.get("validate_only") and unchecked:
        options = ", ".join(unchecked)
        raise UsageError(
            f"{options} can't be checked: {Path(file).name} as it is now is not deployed.",
            hint=f"Deploy it first, or leave {options} out to check the file alone.",
            next=[join(["tau", "deploy", file])],
        )
    facts = {"pipeline": pipeline["name"], "version": pipeline["version"], "deployment": deployment}
    if body.get("validate_only"):
        return {"valid": True, **facts}
    return {"dry_run": True, "would": "deploy", **facts, "next": [join(["tau", "run", file])]}


def _only(deployment: JsonObject, file: str) -> JsonObject:
    pipelines: list[JsonObject] = deployment["pipelines"]
    if len(pipelines) == 1:
        return pipelines[0]
    names = [str(pipeline["name"]) for pipeline in pipelines]
    is_deployed = not deployment.get("dry_run")
    raise PipelineAmbiguous(
        f"{Path(file).name} holds {len(names)} pipelines; "
        + ("all are deployed, none was run." if is_deployed else "which one is to be run?"),
        hint="Name the one to run.",
        next=[f"tau run {name}" for name in names]
        if is_deployed
        else [join(["tau", "deploy", file])],
        pipelines=names,
    )
