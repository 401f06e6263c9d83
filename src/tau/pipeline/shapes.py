"""The shape of a value, never the value: what an error report shows of local variables.

Nothing of the user's is called on the way: types are read past metaclasses, lengths and items by
the built-in containers' own methods. A hostile object shows as its type's name.
"""

import re
from itertools import islice
from typing import Any

MAX_CHARS = 200
MAX_DEPTH = 3
MAX_KEYS = 12
SAMPLE = 10
REDACTED = "[redacted]"

_SECRET_NAME = re.compile(
    r"pass(w(or)?d|phrase|code)?$|passw|pwd|secret|token|credential|private|cookie|dsn"
    r"|(^|_)(key|keys|auth|pat|pin|otp)(_|$|\d)|apikey|api_key|accesskey|authoriz|bearer|jwt"
    r"|conn(ection)?_?(str|url|uri)|(database|db)_?ur[il]",
    re.IGNORECASE,
)
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_ .-]{0,39}")
_FRAME_LIBRARIES = frozenset({"pandas", "polars", "numpy", "pyarrow", "modin", "cudf", "dask"})

_name_of = type.__dict__["__name__"].__get__
_mro_of = type.__dict__["__mro__"].__get__
_dict_of = type.__dict__["__dict__"].__get__


def hints_at_secret(name: str) -> bool:
    """Whether a variable of that name probably holds a secret."""
    return _SECRET_NAME.search(name) is not None


def shape(value: Any) -> str:
    """Type, length and inner types, such as `list[3] of dict{id:int,email:str}`."""
    try:
        text = _shape(value, 0)
    except Exception:  # a container that another thread changes meanwhile, or a broken type
        text = type_name(value)
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + "…"


def type_name(value: Any) -> str:
    """The real type's name, whatever the value says of its class."""
    return str(_name_of(type(value)))


def _shape(value: Any, depth: int) -> str:
    kind = type(value)
    name = str(_name_of(kind))
    bases = _mro_of(kind)
    if value is None:
        return "None"
    if str in bases:
        return f"{name}[{str.__len__(value)}]"
    for base in (bytes, bytearray):
        if base in bases:
            return f"{name}[{base.__len__(value)}]"
    if dict in bases:
        return _dict_shape(value, name, depth)
    for container in (list, tuple, set, frozenset):
        if container in bases:
            size = container.__len__(value)
            sample = list(islice(container.__iter__(value), SAMPLE))
            return f"{name}[{size}]" + _inner(sample, depth)
    return _frame_shape(value, name, kind) or name


def _inner(sample: list[Any], depth: int) -> str:
    if not sample or depth >= MAX_DEPTH:
        return ""
    shapes = dict.fromkeys(_shape(item, depth + 1) for item in sample)
    if len(shapes) == 1:
        return f" of {next(iter(shapes))}"
    names = dict.fromkeys(type_name(item) for item in sample)
    return " of " + "|".join(islice(names, 4))


def _dict_shape(value: Any, name: str, depth: int) -> str:
    size = dict.__len__(value)
    items = list(islice(dict.items(value), MAX_KEYS))
    # Keys that look like field names are a schema; others may be data themselves.
    is_record = size <= 5 * MAX_KEYS and all(_is_field(key) for key, _ in items)
    if not is_record or depth >= MAX_DEPTH:
        keys = "|".join(islice(dict.fromkeys(type_name(key) for key, _ in items), 4))
        return f"{name}[{size}]" + (f" of {keys}" if keys else "")
    shown = ",".join(f"{key}:{_field_shape(key, item, depth)}" for key, item in items)
    return f"{name}{{{shown}{',…' if size > MAX_KEYS else ''}}}"


def _field_shape(key: str, item: Any, depth: int) -> str:
    if hints_at_secret(key):
        return REDACTED
    inner = _shape(item, depth + 1)
    # A record names the types of its fields; the length of each text would only blur it.
    return type_name(item) if str in _mro_of(type(item)) else inner


def _is_field(key: Any) -> bool:
    return type(key) is str and _PLAIN_KEY.fullmatch(key) is not None


def _frame_shape(value: Any, name: str, kind: type) -> str | None:
    """`DataFrame[344x8]` for the known libraries, whose attributes may be trusted to be cheap."""
    module = _dict_of(kind).get("__module__")
    if not isinstance(module, str) or module.partition(".")[0] not in _FRAME_LIBRARIES:
        return None
    dimensions = getattr(value, "shape", None)
    if not isinstance(dimensions, tuple) or not dimensions:
        return None
    sizes = "x".join(str(size) for size in dimensions if isinstance(size, int))
    columns = getattr(value, "columns", None)
    names = [str(column) for column in islice(columns, MAX_KEYS)] if columns is not None else []
    known = [column for column in names if _PLAIN_KEY.fullmatch(column)]
    return f"{name}[{sizes}]" + (f"{{{','.join(known)}}}" if known else "")
