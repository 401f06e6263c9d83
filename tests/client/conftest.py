import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.client.standin import KEY, StandIn, serve


@pytest.fixture(autouse=True)
def clean_environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("TAU_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TAU_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TAU_AUTOSTART", "0")


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A stand-in daemon that TAU_HOST and TAU_API_KEY lead to."""
    with serve() as standin:
        monkeypatch.setenv("TAU_HOST", standin.url)
        monkeypatch.setenv("TAU_API_KEY", KEY)
        yield standin
