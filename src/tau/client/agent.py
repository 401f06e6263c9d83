"""Who is asking: the name of the agent that a command runs under, for the audit trail."""

import os
from collections.abc import Mapping

_MARKS = {
    "CLAUDECODE": "claude-code",
    "CURSOR_AGENT": "cursor",
    "GEMINI_CLI": "gemini-cli",
    "CODEX_SANDBOX": "codex",
}
_NAMES = ("AI_AGENT", "AGENT")
_MAX_CHARS = 100


def find_agent(environ: Mapping[str, str] = os.environ) -> str | None:
    """TAU_AGENT, else the agent whose variable is set, else None."""
    marked = (name for variable, name in _MARKS.items() if environ.get(variable))
    named = (environ[variable] for variable in _NAMES if environ.get(variable))
    found = environ.get("TAU_AGENT") or next(marked, None) or next(named, None)
    return _as_header(found) if found else None


def _as_header(name: str) -> str | None:
    kept = "".join(c if " " <= c <= "~" else "?" for c in name.strip())
    return kept[:_MAX_CHARS] or None
