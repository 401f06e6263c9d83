"""Secrets that pipelines ask for: those of the daemon's environment."""

from collections.abc import Mapping


class SecretService:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    async def find(self, name: str) -> str | None:
        """The value, if there is one; a variable of Tau's own is never handed out."""
        if name.upper().startswith("TAU_"):
            return None
        return self._environ.get(name)
