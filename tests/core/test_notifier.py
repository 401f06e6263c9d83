"""The services of [notify], through the real apprise to a real server; no secret is ever said."""

import logging
import subprocess
import sys

import pytest
from pydantic import SecretStr
from tests.fixtures.receiver import Receiver

from tau.core.notifier import Notifier
from tau.errors import ConfigurationError

TOKEN = "s3cretT0kenOfTheService"


def service(receiver: Receiver, *, secret: str = TOKEN) -> SecretStr:
    """A service that is sent to as JSON, with a secret in its path and one in its userinfo."""
    return SecretStr(f"json://user:{secret}@127.0.0.1:{receiver.port}/hooks/{secret}")


async def test_a_text_arrives(receiver: Receiver) -> None:
    notifier = Notifier([service(receiver)])
    [target] = notifier.targets
    error = await notifier.send(target, title="orders#7: failed", body="no rows", mood="failure")
    assert error is None
    [request] = receiver.arrived
    document = request.json
    assert (document["title"], document["message"]) == ("orders#7: failed", "no rows")
    assert document["type"] == "failure"
    assert notifier.label(target) == "json://…"


@pytest.mark.parametrize("status", [500, 404, 403])
async def test_what_is_said_of_a_failure_holds_no_secret(
    receiver: Receiver, status: int, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    receiver.answers = [status]
    notifier = Notifier([service(receiver)])
    [target] = notifier.targets
    error = await notifier.send(target, title="t", body="b", mood="info")
    assert error
    assert str(status) in error or "json" in error.lower()
    said = error + caplog.text + "".join(capfd.readouterr()) + notifier.label(target) + target
    assert TOKEN not in said
    assert "127.0.0.1" not in error


async def test_nobody_answers() -> None:
    notifier = Notifier([SecretStr(f"json://127.0.0.1:9/{TOKEN}")])
    error = await notifier.send(notifier.targets[0], title="t", body="b", mood="info")
    assert error
    assert TOKEN not in error


async def test_a_service_that_hangs_is_given_up(receiver: Receiver) -> None:
    receiver.hold.clear()
    notifier = Notifier([service(receiver)], timeout_s=0.3)
    error = await notifier.send(notifier.targets[0], title="t", body="b", mood="info")
    assert error == "no answer within 0.3 s"


async def test_a_service_that_was_taken_out() -> None:
    assert "not in [notify]" in (
        await Notifier().send("0123", title="t", body="b", mood="info") or ""
    )


def test_a_url_that_apprise_does_not_know() -> None:
    Notifier([SecretStr("json://127.0.0.1/x")]).check()
    for url in (f"nonsense://{TOKEN}", TOKEN, "", f"slack://{TOKEN}"):
        with pytest.raises(ConfigurationError) as raised:
            Notifier([SecretStr("json://127.0.0.1/x"), SecretStr(url)]).check()
        assert "number 2" in raised.value.message
        assert TOKEN not in str(raised.value.to_dict())


def test_apprise_is_imported_only_where_it_is_used() -> None:
    code = (
        "import sys, tau.daemon.server\n"
        "from tau.core.notifier import Notifier\n"
        "Notifier([]).check()\n"
        "assert 'apprise' not in sys.modules and 'requests' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
