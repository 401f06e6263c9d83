"""Durations as people write them: 90, "90s", "30m", "1h30m", "2d". Stdlib only."""

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def parse_duration(value: object) -> float:
    """Seconds. Raises ValueError for anything that is no duration."""
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is no duration; write seconds, or text such as '30m'")
    if isinstance(value, int | float):
        return float(value)
    text = str(value).strip().lower().replace(" ", "")
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = _PART.findall(text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise ValueError(f"{value!r} is no duration; write seconds, or text such as '30m'")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
