"""The arguments of `@pipeline`: what each may be, and what is said of one that may not."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from tau.errors import PipelineInvalidName, PipelineInvalidOption
from tau.pipeline.durations import parse_duration
from tau.pipeline.types import OnOverlap

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_-]{0,62}")
MAX_TEXT_CHARS = 1000
MAX_ITEMS = 100
MAX_WHOLE_NUMBER = 1_000_000


def invalid(argument: str, reason: str) -> PipelineInvalidOption:
    """The error for one argument, in the one wording."""
    return PipelineInvalidOption(
        f"@pipeline({argument}=…): {reason}", argument=argument, reason=reason
    )


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The given options, each in its normal form; None means that one was not given.

    Raises PipelineInvalidOption, or PipelineInvalidName for `name`.
    """
    unknown = next((name for name in options if name not in _CHECKS), None)
    if unknown is not None:
        raise invalid(unknown, _nearest(unknown))
    checked = {
        name: _CHECKS[name](name, value) for name, value in options.items() if value is not None
    }
    if "retry" in checked:
        if checked.setdefault("retries", checked["retry"]) != checked["retry"]:
            raise invalid("retry", "is another name of retries; give one of them")
        del checked["retry"]
    if "schedule" in checked and "every" in checked:
        raise invalid("every", "schedule and every exclude each other; give one of them")
    return checked


def check_name(name: str, *, given: bool) -> str:
    """A pipeline's name. `given` says whether the user wrote it or it is the function's."""
    if NAME_PATTERN.fullmatch(name):
        return name
    if given:
        raise PipelineInvalidName(f"the name {name!r} does not match [a-z][a-z0-9_-]{{0,62}}")
    raise PipelineInvalidName(
        f"the function's name {name!r} is no pipeline name",
        hint='Pass one that matches [a-z][a-z0-9_-]{0,62}: @pipeline(name="…").',
    )


def _nearest(unknown: str) -> str:
    import difflib  # only an error needs it, and it costs 4 ms

    near = difflib.get_close_matches(unknown, _CHECKS, n=1, cutoff=0.5)
    known = ", ".join(name for name in _CHECKS if name != "retry")
    return f"unknown argument; did you mean {near[0]}?" if near else f"unknown; known are {known}"


def _type(value: object) -> str:
    return type(value).__name__


def _name(argument: str, value: Any) -> str:
    if not isinstance(value, str):
        raise PipelineInvalidName(f"the name is to be text, not {_type(value)}")
    return check_name(value, given=True)


def _text(argument: str, value: Any) -> str:
    if not isinstance(value, str):
        raise invalid(argument, f"text is wanted, not {_type(value)}")
    text = value.strip()
    if not text:
        raise invalid(argument, "is empty; leave it out instead")
    if len(text) > MAX_TEXT_CHARS:
        raise invalid(argument, f"has {len(text)} characters; {MAX_TEXT_CHARS} is the most")
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise invalid(argument, "holds a character that is no text (NUL or a lone surrogate)")
    return text


def _schedule(argument: str, value: Any) -> str:
    if not isinstance(value, str):
        raise invalid(
            argument, f"a cron string is wanted, not {_type(value)}; seconds go to every="
        )
    return _text(argument, value)


def _duration(argument: str, value: Any) -> float:
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        raise invalid(argument, f'seconds or text such as "30m" are wanted, not {_type(value)}')
    try:
        seconds = parse_duration(value)
    except (ValueError, OverflowError) as error:
        raise invalid(argument, str(error)) from None
    if not math.isfinite(seconds):
        raise invalid(argument, "is not finite")
    return seconds


def _positive_duration(argument: str, value: Any) -> float:
    seconds = _duration(argument, value)
    if seconds <= 0:
        raise invalid(argument, f"is to be more than 0, not {value!r}")
    return seconds


def _delay(argument: str, value: Any) -> float:
    seconds = _duration(argument, value)
    if seconds < 0:
        raise invalid(argument, f"is to be 0 or more, not {value!r}")
    return seconds


def _backoff(argument: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise invalid(argument, f"a number is wanted, not {_type(value)}")
    if not (value >= 1 and math.isfinite(value)):
        raise invalid(argument, f"is to be 1 or more, not {value!r}")
    return float(value)


def _whole(least: int) -> Callable[[str, Any], int]:
    def check(argument: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise invalid(argument, f"a whole number is wanted, not {_type(value)}")
        if not least <= value <= MAX_WHOLE_NUMBER:
            raise invalid(argument, f"is to be {least} to {MAX_WHOLE_NUMBER}, not {value}")
        return int(value)

    return check


def _overlap(argument: str, value: Any) -> str:
    known = [option.value for option in OnOverlap]
    if value not in known:
        raise invalid(argument, f"is to be one of {', '.join(known)}, not {value!r}")
    return str(OnOverlap(value))


def _texts(argument: str, value: Any) -> list[str]:
    if not isinstance(value, list | tuple | set | frozenset):
        raise invalid(argument, f"a list of text is wanted, not {_type(value)}")
    items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
    texts = list(dict.fromkeys(_text(argument, item) for item in items))
    if len(texts) > MAX_ITEMS:
        raise invalid(argument, f"has {len(texts)} entries; {MAX_ITEMS} is the most")
    return texts


def _pipeline_names(argument: str, value: Any) -> list[str]:
    names = _texts(argument, value)
    wrong = next((name for name in names if not NAME_PATTERN.fullmatch(name)), None)
    if wrong is not None:
        raise invalid(argument, f"{wrong!r} is no pipeline name ([a-z][a-z0-9_-]{{0,62}})")
    return names


def _params(argument: str, value: Any) -> dict[str, Any] | type:
    if isinstance(value, type):
        if not callable(getattr(value, "model_validate", None)):
            raise invalid(argument, f"the class {value.__name__} is no pydantic model")
        return value
    if not isinstance(value, Mapping):
        raise invalid(
            argument, f"a dict of defaults or a pydantic model class is wanted, not {_type(value)}"
        )
    return _defaults(argument, value)


def _defaults(argument: str, value: Mapping[Any, Any]) -> dict[str, Any]:
    from tau.pipeline.encoding import encode  # its limits cost a dataclasses import: only if used
    from tau.pipeline.exceptions import NotSerializable

    wrong = next((key for key in value if not isinstance(key, str)), None)
    if wrong is not None:
        raise invalid(argument, f"names are to be text, not {wrong!r}")
    try:
        defaults: dict[str, Any] = encode(dict(value))
    except NotSerializable as error:
        raise invalid(argument, f"a default is no JSON: {error}") from None
    return defaults


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "name": _name,
    "description": _text,
    "schedule": _schedule,
    "every": _positive_duration,
    "timezone": _text,
    "tags": _texts,
    "depends_on": _pipeline_names,
    "retries": _whole(0),
    "retry": _whole(0),
    "retry_delay": _delay,
    "retry_backoff": _backoff,
    "timeout": _positive_duration,
    "max_concurrent": _whole(1),
    "on_overlap": _overlap,
    "params": _params,
}
