"""Source files in the home by their SHA-256: a cache of the store, safe to delete."""

import hashlib
import os
from pathlib import Path


def sha256_of(source: str) -> str:
    return hashlib.sha256(source.encode("utf-8")).hexdigest()


class SourceCache:
    """Files `<home>/sources/<sha256>.py`, each written once and atomically."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, sha256: str) -> Path | None:
        path = self._folder / f"{sha256}.py"
        return path if path.is_file() else None

    def put(self, source: str) -> Path:
        """The path of a file with this content."""
        sha256 = sha256_of(source)
        path = self._folder / f"{sha256}.py"
        if not path.is_file():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = path.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_text(source, encoding="utf-8", newline="")
            temporary.replace(path)
        return path
