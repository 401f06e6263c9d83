"""`@pipeline`: marks a function as a pipeline and keeps it callable as it was."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, overload

from tau.pipeline.options import invalid
from tau.pipeline.spec import PipelineSpec

SPEC_ATTRIBUTE = "__tau_pipeline__"
"""Where a decorated function holds its PipelineSpec."""

REGISTRY_NAME = "__tau_pipelines__"
"""Where a module holds what it declared, in order: a list of (PipelineSpec, function)."""

Function = TypeVar("Function", bound=Callable[..., Any])


@overload
def pipeline(function: Function, /) -> Function: ...


@overload
def pipeline(
    *,
    name: str | None = None,
    description: str | None = None,
    schedule: str | None = None,
    every: float | str | None = None,
    timezone: str | None = None,
    tags: Sequence[str] | None = None,
    depends_on: Sequence[str] | None = None,
    retries: int | None = None,
    retry: int | None = None,
    retry_delay: float | str | None = None,
    retry_backoff: float | None = None,
    timeout: float | str | None = None,
    max_concurrent: int | None = None,
    on_overlap: str | None = None,
    params: Mapping[str, Any] | type[Any] | None = None,
) -> Callable[[Function], Function]: ...


def pipeline(function: Any = None, /, **options: Any) -> Any:
    """Declare a pipeline: `@pipeline`, or `@pipeline(name=…, …)`. The function stays as it is.

    name            matches [a-z][a-z0-9_-]{0,62}; the function's name
    description     the docstring's first line
    schedule        a cron string; or every=seconds (also "1h30m"); none
    timezone        an IANA zone for the schedule; "UTC"
    tags            a list of text; none
    depends_on      a list of pipeline names; none
    retries         how often a failed run is tried again; 0 (`retry` is taken as well)
    retry_delay     seconds before the first retry, or text such as "30s"; 5
    retry_backoff   the factor from one delay to the next; 2
    timeout         seconds, or text such as "30m", for one attempt; the daemon's setting
    max_concurrent  how many runs may go at the same time; no limit
    on_overlap      what the next one does then: "queue", "skip" or "cancel_running"; "queue"
    params          a dict of default values, or a pydantic model class, which then validates

    Raises tau.errors.PipelineInvalidOption or PipelineInvalidName, naming the argument.
    """
    declaring = sys._getframe(1).f_globals
    if function is not None:
        if options:
            raise invalid(next(iter(options)), "give options alone: @pipeline(…) above the def")
        return _declare(function, options, declaring)
    return lambda decorated: _declare(decorated, options, declaring)


def _declare(function: Any, options: Mapping[str, Any], declaring: dict[str, Any]) -> Any:
    spec = PipelineSpec.of(function, options)
    setattr(function, SPEC_ATTRIBUTE, spec)
    # Kept by the module that declares it, and not found in its namespace: so that an imported
    # pipeline is none of this file's, and two of one name are both seen.
    declaring.setdefault(REGISTRY_NAME, []).append((spec, function))
    return function
