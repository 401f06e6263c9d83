"""What may be a secret: its name, its value, and what is to be said about a value. Pure."""

import re

from tau.errors import SecretInvalid
from tau.pipeline.secret_forms import MIN_SECRET_CHARS
from tau.schemas.base import NamedWarning

MAX_BYTES = 64 * 1024
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,127}")


def is_ours(name: str) -> bool:
    """Whether it is a variable of Tau's own, which no pipeline is given."""
    return name.upper().startswith("TAU_")


def check_name(name: str) -> None:
    """Raises SecretInvalid."""
    if not _NAME.fullmatch(name) or is_ours(name):
        raise SecretInvalid(
            f"{name[:80]!r} can't be a secret's name.",
            hint="A letter, then up to 127 letters, digits, _ . or -; TAU_ is Tau's own.",
            field="name",
        )


def check_value(value: str) -> str:
    """The value as it is kept. Raises SecretInvalid, which does not show it."""
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        raise SecretInvalid("The value is no Unicode text.", field="value") from None
    if size == 0:
        raise SecretInvalid("The value is empty.", field="value")
    if size > MAX_BYTES:
        raise SecretInvalid(f"The value has {size} bytes; {MAX_BYTES} are possible.", field="value")
    return value


def warnings_on(value: str) -> list[NamedWarning]:
    """What whoever sets it should know."""
    if len(value) >= MIN_SECRET_CHARS:
        return []
    message = (
        f"Values of less than {MIN_SECRET_CHARS} characters are not taken out of logs: "
        "hiding them would hide everything else too."
    )
    return [NamedWarning(code="secret.short", message=message)]
