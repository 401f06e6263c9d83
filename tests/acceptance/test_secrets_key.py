"""A daemon without the key of its store's secrets refuses to start, and says what is wrong."""

import base64
import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

from tests.fixtures.daemon import BIN, DaemonProcess

Make = Callable[..., DaemonProcess]


def refusal(daemon: DaemonProcess, **env: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [BIN / "taud", "start", "--port", "0"], env=daemon.environment() | env, cwd=daemon.home,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout)["error"]


def test_a_daemon_without_the_key_refuses_to_start(make_daemon: Make) -> None:
    daemon = make_daemon().start()
    with daemon.client() as client:
        assert client.put("/secrets/A", json={"value": "value of A"}).status_code == 200
    daemon.stop()
    key_file = daemon.home / "secrets.key"
    key = key_file.read_text()

    key_file.chmod(0o644)
    code, error = refusal(daemon)
    assert (code, error["code"]) == (6, "security.unsafe_file")
    key_file.unlink()
    code, error = refusal(daemon)
    assert (code, error["code"]) == (2, "secret.wrong_key")
    other = base64.b64encode(os.urandom(32)).decode()
    code, error = refusal(daemon, TAU_SECRETS_KEY=other)
    assert (code, error["code"]) == (2, "secret.wrong_key")
    assert other not in json.dumps(error)
    code, error = refusal(daemon, TAU_SECRETS_KEY="hunter22")
    assert (code, error["code"]) == (2, "config.invalid")
    assert "hunter22" not in json.dumps(error)

    daemon.env["TAU_SECRETS_KEY"] = f"{other},{key.strip()}"
    daemon.start()
    with daemon.client() as client:
        assert client.post("/secrets/rotate", json={}).json()["rotated"] == 1
    daemon.stop()
    daemon.env["TAU_SECRETS_KEY"] = other
    daemon.start()
