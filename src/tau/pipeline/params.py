"""A run's params: the declared defaults under what was given, or what the model makes of it."""

import copy
from typing import Any

from tau.pipeline.exceptions import ParamsInvalid
from tau.pipeline.spec import PipelineSpec


def resolve_params(spec: PipelineSpec, given: dict[str, Any]) -> dict[str, Any]:
    """What `ctx.params` is. With a model: its fields by name, as the Python values it made.

    Raises ParamsInvalid with the fields that the model refused.
    """
    if spec.model is None:
        return copy.deepcopy(dict(spec.defaults)) | copy.deepcopy(given)
    model: Any = spec.model
    try:
        validated = model.model_validate(given)
    except ValueError as error:
        if not callable(getattr(error, "errors", None)):
            raise
        # Its own message holds the values that were given, which may be secret.
        raise _invalid(error, model.__name__) from None
    params: dict[str, Any] = validated.model_dump()
    return params


def _invalid(error: Any, model_name: str) -> ParamsInvalid:
    fields = [
        {"field": ".".join(map(str, item["loc"])) or "params", "reason": str(item["msg"])}
        for item in error.errors()
    ]
    listed = "; ".join(f"{field['field']}: {field['reason']}" for field in fields[:5])
    return ParamsInvalid(f"the params do not fit {model_name}: {listed}", fields=fields)
