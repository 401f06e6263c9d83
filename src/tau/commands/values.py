"""What a word on the command line means: integers, durations, JSON objects, choices."""

import json
import re
from typing import Any

from tau.commands.spec import Argument, Option
from tau.errors import FileNotFound, ParamsInvalid, UsageError

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", re.ASCII)
_SECONDS = (86400, 3600, 60, 1)


def convert(option: Argument | Option, value: Any) -> Any:
    """A value as its handler takes it. Raises UsageError or ParamsInvalid."""
    if isinstance(option, Argument):
        if option.kind == "text" or value is None:
            return value
        return _integer(value, name=option.metavar)
    if option.kind == "flag":
        return bool(value)
    if option.many:
        return [_convert_one(option, text) for text in value or ()]
    return option.default if value is None else _convert_one(option, value)


def _convert_one(option: Option, text: str) -> Any:
    if option.choices:
        return _choice(option, text)
    if option.kind == "integer":
        return _integer(text, name=option.name, minimum=option.minimum)
    if option.kind == "names":
        return _names(option, text)
    if option.kind == "duration":
        return duration(text, option=option.name)
    return json_object(text, option=option.name) if option.kind == "json" else text


def duration(text: str, *, option: str) -> float:
    """Seconds from `90`, `1.5`, `10m` or `1h30m`."""
    match = _DURATION.fullmatch(text.strip())
    if not match or not any(match.groups()):
        raise UsageError(
            f"{option} is no duration: {text!r}.",
            hint="Give seconds, or a number with a unit: 90, 90s, 10m, 1h30m.",
            option=option,
        )
    parts = zip(match.groups(), _SECONDS, strict=True)
    total = float(sum(float(part) * seconds for part, seconds in parts if part))
    if total == float("inf"):
        raise UsageError(f"{option} is too long.", option=option)
    return total


def json_object(text: str, *, option: str) -> dict[str, Any]:
    """The JSON object in `text`, or in the file that `@file` names."""
    source = option
    if text.startswith("@"):
        source, text = text[1:], _read(text[1:])
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ParamsInvalid(
            f"{source} is not JSON: {error}.",
            hint="""Quote the whole: --params '{"region":"eu"}', or write it to a file: @file.""",
        ) from error
    if not isinstance(value, dict):
        raise ParamsInvalid(f"{source} must be a JSON object, not {type(value).__name__}.")
    return value


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError as error:
        raise FileNotFound(f"No such file: {path}.", file=path) from error
    except UnicodeDecodeError as error:
        raise ParamsInvalid(f"{path} is not UTF-8 text.", file=path) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", file=path) from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _integer(text: str, *, name: str, minimum: int = 1) -> int:
    try:
        number = int(text)
    except ValueError:
        raise UsageError(f"{name} takes a number, not {text!r}.") from None
    if number < minimum:
        raise UsageError(f"{name} must be at least {minimum}, not {number}.")
    return number


def _names(option: Option, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UsageError(f"{option.name} takes names with commas between: a,b; not {text!r}.")
    return list(dict.fromkeys(names))


def _choice(option: Option, text: str) -> str:
    if text in option.choices:
        return text
    from difflib import get_close_matches

    near = get_close_matches(text.lower(), option.choices, n=1)
    raise UsageError(
        f"{option.name} cannot be {text!r}.",
        hint=f"Did you mean {near[0]}?" if near else None,
        choices=list(option.choices),
    )
