"""What the wheel and all it needs take on disk, in an environment that holds nothing else."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import Figure, Goal, one
from benchmarks.server import ROOT, environment

DUCKDB = ("duckdb", "_duckdb")


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="tau-bench-") as folder:
        site = _install(Path(folder))
        core = sum(_size(entry) for entry in site.iterdir() if not entry.name.startswith(DUCKDB))
        whole = sum(_size(entry) for entry in site.iterdir())
        _run(sys.executable, "-m", "compileall", "-q", "-j", "0", str(site))
        compiled = sum(_size(entry) for entry in site.iterdir())
    return [
        Figure("install with DuckDB", "MB", one(whole / 1e6), goal=Goal(at_most=150)),
        Figure("install without DuckDB", "MB", one(core / 1e6)),
        Figure("install with DuckDB and bytecode", "MB", one(compiled / 1e6)),
    ]


def _install(folder: Path) -> Path:
    """Build the wheel, install it alone; the folder with all its packages."""
    venv = folder / "venv"
    _run("uv", "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT))
    _run("uv", "venv", "--quiet", "--python", sys.executable, str(venv))
    wheel = next(folder.glob("*.whl"))
    _run("uv", "pip", "install", "--quiet", "--python", str(venv / "bin" / "python"), str(wheel))
    return next(venv.glob("lib/python*/site-packages"))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, env=environment(), cwd=ROOT)


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder, as they lie on the disk."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_blocks * 512 for file in files)
