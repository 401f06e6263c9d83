"""A secret that was handed out is nowhere in what an attempt leaves."""

import base64
import json
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from tests.fixtures.attempts import Listener, job

from tau.pipeline.protocol import EXIT_FILE, SPOOL_FILE
from tau.workers.attempt_files import attempt_dir
from tau.workers.base import Answer
from tau.workers.local import LocalWorker

SECRET = 'hunter/2 "Ümlaut"\\+&?x'

ABOUT = {"name": "PASSWORD", "source": "store", "version": 3}

SOURCE = """
import base64, json, logging
from urllib.parse import quote, quote_plus

@pipeline
async def main(ctx):
    secret = ctx.secret("PASSWORD")
    data = secret.encode()
    print("plain", secret)
    print("quoted", quote(secret), quote(secret, safe=""), quote_plus(secret))
    for before in (b"", b"u", b"u:"):
        print("base64", base64.b64encode(before + data + b"!").decode())
        print("base64", base64.urlsafe_b64encode(before + data).decode())
    print("json", json.dumps({"a": secret}), json.dumps(secret, ensure_ascii=False))
    print("repr", repr(secret), [secret])
    ctx.log(f"log {secret}", field=secret, nested={secret: [secret]})
    logging.getLogger("x").warning("logging %s", secret)
    sys.stderr.write(f"stderr {secret}\\n")
    half = len(data) // 2
    os.write(1, b"raw " + data[:half])
    time.sleep(0.05)
    os.write(1, data[half:] + b"\\n")
    os.write(2, b"raw " + data)
    ctx.check(True, name=secret, evidence=secret)
    async with ctx.step(f"step {secret}") as step:
        step.metric(f"m {secret}", 1)
    if ctx.params["raise"]:
        raise ValueError(f"bad {secret}")
    return {"value": secret, secret: [secret]}
"""


def forms(secret: str) -> list[str]:
    data = secret.encode()
    shown = [secret, quote(secret), quote(secret, safe=""), quote_plus(secret)]
    shown += [json.dumps(secret)[1:-1], json.dumps(json.dumps(secret))[2:-2]]
    shown += [base64.b64encode(b"x" * n + data)[4:-4].decode() for n in range(3)]
    return [json.dumps(form)[1:-1] for form in shown] + shown


@pytest.mark.parametrize("raises", [False, True])
async def test_in_every_form(raises: bool, worker: LocalWorker, home: Path, tmp_path: Path) -> None:
    listener = Listener({"secret": lambda _: Answer(SECRET, secret=ABOUT)})
    request = job(tmp_path, SOURCE, params={"raise": raises})

    record = await worker.run(request, listener)

    assert record.status == ("failed" if raises else "success"), record
    directory = attempt_dir(home, "run-1", 1)
    left = (directory / SPOOL_FILE).read_text() + (directory / EXIT_FILE).read_text()
    assert [form for form in forms(SECRET) if form in left] == []
    assert left.count("[redacted]") > 25
    assert "plain [redacted]" in listener.messages
    assert "raw [redacted]" in listener.messages


async def test_state_reaches_the_store_as_the_pipeline_wrote_it(
    worker: LocalWorker, tmp_path: Path
) -> None:
    source = """
    @pipeline
    def main(ctx):
        ctx.state["cursor"] = "at " + ctx.secret("X")
    """
    answers = {
        "secret": lambda _: Answer("2026", secret=ABOUT),
        "state": lambda _: Answer({"data": {}, "run_number": None}),
    }
    listener = Listener(answers)

    record = await worker.run(job(tmp_path, source), listener)

    assert record.state == {"data": {"cursor": "at 2026"}} or record.state == {
        "cursor": "at 2026"
    }, record
    assert b"at 2026" not in b"".join(listener.lines)


async def test_secrets_of_the_environment_are_known(worker: LocalWorker, tmp_path: Path) -> None:
    source = """
    @pipeline
    def main(ctx):
        print("is", os.environ["GITHUB_TOKEN"], os.environ["PLACE"])
    """
    listener = Listener()
    env = {"GITHUB_TOKEN": "abcdefgh-1", "PLACE": "abcdefgh-2"}

    await worker.run(job(tmp_path, source, env=env), listener)

    assert listener.messages == ["is [redacted] abcdefgh-2"]
