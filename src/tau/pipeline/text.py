"""Text that any store can hold and any reader can bear: safe characters, bounded lengths."""

from typing import Any

from tau.pipeline.protocol import MAX_LOG_CHARS

REPR_CHARS = 200


def safe_text(text: str) -> str:
    """The text without what a store can't hold: lone surrogates and NUL are shown as escapes."""
    if "\0" in text:
        text = text.replace("\0", "\\x00")
    if text.isascii():
        return str(text)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def cut_middle(text: str, limit: int = MAX_LOG_CHARS) -> str:
    """The text, its middle replaced by a mark where it has more than `limit` characters."""
    if len(text) <= limit:
        return text
    kept = max(limit - 40, 2)
    head = kept // 4
    return f"{text[:head]} …[{len(text) - kept} characters cut]… {text[head - kept :]}"


def short_repr(value: Any, limit: int = REPR_CHARS) -> str:
    """The value's repr, shortened; its type's name where the repr raises."""
    try:
        text = repr(value)
    except Exception:  # a user's __repr__ may raise anything, and must not end the run
        text = f"<{type(value).__name__}>"
    return safe_text(cut_middle(text, limit))
