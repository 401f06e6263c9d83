"""Where each setting of a process came from, and how it is shown: secrets masked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr

from tau.core.config import Loaded, find_variable
from tau.core.config_file import BASE, Layer, Location
from tau.pipeline.redaction import Redactor, is_secret_name

MASK = "[masked]"


@dataclass(frozen=True)
class Shown:
    """A setting as an operator may see it."""

    name: str
    value: Any
    origin: str


def show(loaded: Loaded) -> list[Shown]:
    """Every setting with its value and where that came from, in the order of the example."""
    return [
        Shown(".".join(location), masked(location[-1], value), find_origin(loaded, location))
        for location, value in _leaves((), loaded.settings)
    ]


def find_origin(loaded: Loaded, location: Location) -> str:
    """`default`, `tau.toml:12`, `[env.prod]:30`, a variable's name, or `command line`."""
    if Layer(BASE, loaded.overrides).holds(location):
        return "command line"
    variable = find_variable(location)
    if variable is not None:
        return variable
    for layer in reversed(loaded.layers):
        if layer.holds(location):
            path = loaded.file.path or Path("tau.toml")
            where = f"[env.{layer.name}]" if layer.prefix else path.name
            return f"{where}:{loaded.file.line(layer, location)}"
    return "default"


def masked(name: str, value: Any) -> Any:
    """A value in JSON's terms without what is secret in it, by its type, its name or its form."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, SecretStr | SecretBytes):
        return MASK
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): masked(str(key), part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(name, part) for part in value]
    text = str(value)
    if text.startswith("${") and text.endswith("}"):
        return text  # it only says which secret or variable it is
    if is_secret_name(name):
        return MASK
    return Redactor().redact_text(text)


def _leaves(prefix: Location, value: Any) -> Iterator[tuple[Location, Any]]:
    if isinstance(value, BaseModel):
        parts = {name: getattr(value, name) for name in type(value).model_fields}
    elif isinstance(value, Mapping) and value:
        parts = {str(key): part for key, part in value.items()}
    else:
        yield prefix, value
        return
    for name, part in parts.items():
        yield from _leaves((*prefix, name), part)
