"""A pipeline file as it is sent: read as bytes, checked, and taken as UTF-8 text."""

import os
from pathlib import Path

from tau.errors import FileNotFound, PipelineNotText, PipelineTooLarge, UsageError

MAX_BYTES = 1024 * 1024


def is_file_name(text: str) -> bool:
    """Whether it names a file and no pipeline: no pipeline's name has a dot or a slash."""
    return text.endswith(".py") or os.sep in text


def read_source(path: str | os.PathLike[str]) -> str:
    """The text of a pipeline file, byte for byte.

    Raises FileNotFound, PipelineTooLarge, PipelineNotText, or UsageError where it is no file.
    """
    file = Path(path)
    try:
        with open(file, "rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise FileNotFound(f"No such file: {file}.", hint=_nearest(file), file=str(file)) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{file} cannot be read: {reason}.", file=str(file)) from error
    if len(content) > MAX_BYTES:
        raise PipelineTooLarge(
            f"{file.name} is larger than {MAX_BYTES // 1024} KiB.", file=str(file), limit=MAX_BYTES
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PipelineNotText(
            f"{file.name} is not UTF-8: byte {error.start} is 0x{content[error.start]:02x}.",
            file=str(file), position=error.start,
        ) from error  # fmt: skip


def _nearest(file: Path) -> str | None:
    from difflib import get_close_matches

    try:
        names = [entry.name for entry in os.scandir(file.parent) if entry.is_file()]
    except OSError:
        return None
    near = get_close_matches(file.name, names, n=1)
    return f"Did you mean {file.with_name(near[0])}?" if near else None
