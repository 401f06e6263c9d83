"""What `@pipeline` says about one function: checked, frozen, and as JSON for the daemon."""

from collections.abc import Mapping
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from tau.pipeline.options import check_name, check_options, invalid

DEFAULT_RETRY_DELAY_S = 5.0
DEFAULT_RETRY_BACKOFF = 2.0
DEFAULT_TIMEZONE = "UTC"
DEFAULT_ON_OVERLAP = "queue"

# The flags of a code object; `inspect` names them too, but its import costs more than this file.
_VARARGS, _GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x04, 0x20, 0x80, 0x200


class PipelineSpec(NamedTuple):
    """One pipeline as its file declares it. Times in seconds; `line` is the decorator's.

    A NamedTuple, since `dataclasses` would cost each user of `tau` 5 ms at import.
    """

    name: str
    function: str
    line: int
    is_async: bool
    description: str | None = None
    schedule: str | None = None
    every: float | None = None
    timezone: str = DEFAULT_TIMEZONE
    tags: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    retries: int = 0
    retry_delay: float = DEFAULT_RETRY_DELAY_S
    retry_backoff: float = DEFAULT_RETRY_BACKOFF
    timeout: float | None = None
    max_concurrent: int | None = None
    on_overlap: str = DEFAULT_ON_OVERLAP
    defaults: Mapping[str, Any] = {}
    model: type | None = None

    @classmethod
    def of(cls, function: Any, options: Mapping[str, Any]) -> "PipelineSpec":
        """The spec of a decorated function.

        Raises PipelineInvalidOption or PipelineInvalidName, which say what is wrong.
        """
        check_function(function)
        checked = check_options(options)
        name = checked.pop("name", None) or check_name(function.__name__, given=False)
        params = checked.pop("params", {})
        is_model = isinstance(params, type)
        for listed in ("tags", "depends_on"):
            checked[listed] = tuple(checked.get(listed, ()))
        checked.setdefault("description", _first_line(function))
        return cls(
            name=name,
            function=function.__name__,
            line=written(function).__code__.co_firstlineno,
            is_async=is_coroutine_function(function),
            defaults={} if is_model else params,
            model=params if is_model else None,
            **checked,
        )

    def to_dict(self) -> dict[str, Any]:
        """The spec as the JSON that an inspection answers with."""
        document = self._asdict()
        document["tags"], document["depends_on"] = list(self.tags), list(self.depends_on)
        model, defaults = document.pop("model"), dict(document.pop("defaults"))
        document["params"] = {"defaults": defaults, "model": None, "schema": None}
        if model is not None:
            document["params"] = _describe_model(model)
        return document


def is_coroutine_function(function: Any) -> bool:
    """Whether it is an `async def`."""
    return bool(_code_of(function).co_flags & _COROUTINE)


def check_function(function: Any) -> None:
    """Refuse what can't be a pipeline: only a def that takes the context alone can."""
    if isinstance(function, type):
        raise invalid("function", f"the class {function.__name__} is no pipeline; use a def")
    if not isinstance(function, FunctionType):
        raise invalid(
            "function", f"a def is wanted, not {type(function).__name__}; options go by name"
        )
    if function.__name__ == "<lambda>":
        raise invalid("function", "a lambda is no pipeline; use a def")
    if _code_of(function).co_flags & (_GENERATOR | _ASYNC_GENERATOR):
        raise invalid("function", f"{function.__name__} yields; a pipeline returns its result")
    _check_parameters(function)


def _check_parameters(function: FunctionType) -> None:
    code = function.__code__
    optional = function.__kwdefaults__ or {}
    names = code.co_varnames
    positional, keyword_only = code.co_argcount, code.co_kwonlyargcount
    required = positional - len(function.__defaults__ or ())
    wanted = [
        name for name in names[positional : positional + keyword_only] if name not in optional
    ]
    if positional == 0 and not code.co_flags & _VARARGS:
        raise invalid("function", f"{function.__name__} is to take the context: ctx")
    if required > 1 or wanted:
        extra = [*names[1:required], *wanted]
        raise invalid(
            "function",
            f"{function.__name__} is called with the context alone, but also requires "
            f"{', '.join(extra)}; read them from ctx.params",
        )


def _code_of(function: Any) -> CodeType:
    code: CodeType = function.__code__
    return code


def written(function: Any) -> Any:
    """The function as the user wrote it, below other decorators that kept `__wrapped__`."""
    for _ in range(32):
        inner = getattr(function, "__wrapped__", None)
        if not isinstance(inner, FunctionType):
            break
        function = inner
    return function


def _first_line(function: FunctionType) -> str | None:
    lines = (function.__doc__ or "").strip().splitlines()
    return lines[0].strip()[:200] if lines else None


def _describe_model(model: Any) -> dict[str, Any]:
    from tau.pipeline.encoding import encode_lenient
    from tau.pipeline.exceptions import NotSerializable

    try:
        schema = encode_lenient(model.model_json_schema(), budget=64 * 1024)
        defaults = {
            name: encode_lenient(field.default)
            for name, field in model.model_fields.items()
            if not field.is_required() and field.default_factory is None
        }
    except NotSerializable:
        raise
    except Exception as error:
        raise invalid("params", f"{model.__name__} has no JSON schema: {error}") from error
    described = {"defaults": defaults, "model": model.__name__, "schema": schema}
    return described | ({"names": _names(model)} if _takes_names_as_they_are(model) else {})


def _takes_names_as_they_are(model: Any) -> bool:
    """Whether the model's fields say all about the names it takes: no alias, nothing before it."""
    validators = model.__pydantic_decorators__.model_validators.values()
    early = any(validator.info.mode != "after" for validator in validators)
    fields = model.model_fields.values()
    return not early and not any(field.alias or field.validation_alias for field in fields)


def _names(model: Any) -> dict[str, Any]:
    """Which params have to be given, and which may be; None where any may."""
    fields = model.model_fields
    return {
        "required": [name for name, field in fields.items() if field.is_required()],
        "known": list(fields) if model.model_config.get("extra") == "forbid" else None,
    }
