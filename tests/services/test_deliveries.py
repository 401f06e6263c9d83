"""Messages on their way: signed, tried again, given up, and sent by one daemon each."""

import asyncio
import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from standardwebhooks import Webhook as Signer
from standardwebhooks import WebhookVerificationError
from tests.fixtures.receiver import Receiver
from tests.fixtures.waiting import eventually_async

from tau.core.config import NotifySettings
from tau.core.crypto import Keyring
from tau.core.database import Database
from tau.core.egress import Egress
from tau.core.ids import UlidFactory
from tau.core.notice_types import NoticeType
from tau.core.notifier import Notifier
from tau.core.signals import Signals
from tau.daemon.courier import Courier
from tau.models import OutboxMessage, Webhook
from tau.pipeline.types import RunStatus
from tau.repositories.outbox_repo import Claimed
from tau.repositories.webhook_repo import WebhookRepository
from tau.services.delivery_service import DELAYS_S, LEASE, PER_TARGET, DeliveryService
from tau.services.late_service import LateService
from tau.services.notice_service import Ending, NoticeService
from tau.services.vault import Vault
from tau.testing import FakeClock

MakeReceiver = Callable[..., Receiver]
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
SECOND = timedelta(seconds=1)


class Post:
    """The outbox of a store, and daemons that send from it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.vault = Vault(database, ring=Keyring(folder / "secrets.key"), environ={})
        # Signatures are of the real time: a receiver refuses what is five minutes old.
        self.clock, self.signals = FakeClock(datetime.now(UTC)), Signals()
        self.ids = UlidFactory()
        self.notices = NoticeService(self.clock, self.ids, signals=self.signals)
        self.egress = Egress(allow_private=[ip_network("127.0.0.0/8")], allow_http=True)
        self._number = 0

    def daemon(self, owner: str = "node-a", **given: Any) -> DeliveryService:
        parts: dict[str, Any] = {"egress": self.egress, "notifier": Notifier()} | given
        return DeliveryService(
            self.database,
            self.clock,
            owner=owner,
            vault=self.vault,
            random=lambda: 0.5,
            **parts,
        )

    async def webhook(self, url: str, name: str = "hook") -> None:
        await self.vault.prepare()
        sealed = self.vault.seal_signing(name, SECRET)
        async with self.database.transaction() as session:
            await WebhookRepository(session).add(
                Webhook(
                    id=name,
                    url=url,
                    secret=sealed.token,
                    key_id=sealed.key_id,
                    events=list(NoticeType),
                    created_at=self.clock.now(),
                    created_by="tester",
                    failures=0,
                )
            )

    async def tell(self) -> None:
        """Something happens."""
        self._number += 1
        end = Ending(
            run_id=f"run{self._number}", pipeline_id="p", pipeline="orders",
            number=self._number, trigger="manual", status=RunStatus.FAILED, attempts=1,
        )  # fmt: skip
        async with self.database.transaction() as session:
            await self.notices.ended(session, end)

    async def send_due(self, daemon: DeliveryService) -> int:
        """One round of a daemon; how many messages it sent."""
        claimed = await daemon.claim(limit=100, busy={})
        for message in claimed:
            await daemon.deliver(message)
        return len(claimed)

    async def messages(self) -> list[OutboxMessage]:
        async with self.database.read() as session:
            return list(await session.scalars(select(OutboxMessage).order_by(OutboxMessage.id)))

    async def statuses(self) -> list[str]:
        return [message.status for message in await self.messages()]

    async def hook(self, name: str = "hook") -> Webhook:
        async with self.database.read() as session:
            found = await WebhookRepository(session).find(name)
        assert found is not None
        return found


@pytest.fixture
def post(database: Database, tmp_path: Path) -> Post:
    return Post(database, tmp_path)


async def test_a_delivery_is_signed_and_verified_by_the_library(
    post: Post, receiver: Receiver
) -> None:
    await post.webhook(receiver.url)
    await post.tell()
    assert await post.send_due(post.daemon()) == 1
    assert await post.send_due(post.daemon()) == 0
    [request] = receiver.arrived
    [message] = await post.messages()
    assert request.event_id == message.event_id
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("tau/")
    document = request.verified(SECRET)
    assert document["type"] == "run.failed"
    assert document["data"]["run"] == "orders#1"
    for body, headers in (
        (request.body.replace(b"orders", b"ordens"), request.headers),
        (request.body, request.headers | {"webhook-id": "evt_other"}),
        (request.body, request.headers | {"webhook-timestamp": "1700000000"}),
    ):
        with pytest.raises(WebhookVerificationError):
            Signer(SECRET).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        request.verified("whsec_" + base64.b64encode(b"x" * 32).decode())
    assert (message.status, message.attempts, message.last_status) == ("delivered", 1, 204)
    assert message.finished_at == post.clock.now()
    hook = await post.hook()
    assert (hook.last_status, hook.failures, hook.last_error) == (204, 0, None)
    assert hook.last_delivered_at == post.clock.now()


async def test_it_is_tried_again_later_under_the_same_id(post: Post, receiver: Receiver) -> None:
    receiver.answers = [500, 429, 404, 200]
    daemon = post.daemon()
    await post.webhook(receiver.url)
    await post.tell()
    for attempt, status in enumerate((500, 429, 404), start=1):
        assert await post.send_due(daemon) == 1
        [message] = await post.messages()
        assert (message.status, message.last_status) == ("pending", status)
        hook = await post.hook()
        assert (hook.failures, hook.last_error) == (attempt, f"it answered {status}")
        delay = timedelta(seconds=DELAYS_S[attempt - 1] * 1.1)
        assert message.next_at - post.clock.now() == delay
        assert await daemon.next_at() == message.next_at
        post.clock.advance(delay - SECOND)
        assert await post.send_due(daemon) == 0
        post.clock.advance(1)
    assert await post.send_due(daemon) == 1
    assert await post.statuses() == ["delivered"]
    assert await daemon.next_at() is None
    assert (await post.hook()).failures == 0
    assert len({request.event_id for request in receiver.arrived}) == 1
    assert len({request.body for request in receiver.arrived}) == 1
    stamps = [int(request.headers["webhook-timestamp"]) for request in receiver.arrived]
    assert stamps == sorted(set(stamps))
    for request in receiver.arrived:
        at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
        expected = Signer(SECRET).sign(request.event_id, at, request.body.decode())
        assert request.headers["webhook-signature"] == expected


async def test_after_the_last_attempt_it_is_dead(post: Post, receiver: Receiver) -> None:
    receiver.answers = [503]
    await post.webhook(receiver.url)
    await post.tell()
    began, daemon = post.clock.now(), post.daemon()
    for _ in range(len(DELAYS_S)):
        assert await post.send_due(daemon) == 1
        assert await post.statuses() == ["pending"]
        post.clock.advance((await post.messages())[0].next_at - post.clock.now())
    assert await post.send_due(daemon) == 1
    [message] = await post.messages()
    assert (message.status, message.last_error) == ("dead", "it answered 503")
    assert message.attempts == len(DELAYS_S) + 1 == len(receiver.arrived)
    assert timedelta(days=1) < post.clock.now() - began < timedelta(days=2)
    post.clock.advance(timedelta(days=30))
    assert await post.send_due(daemon) == 0
    async with post.database.read() as session:
        backlog = (await WebhookRepository(session).backlogs(["hook"]))["hook"]
    assert backlog == (0, 1, "it answered 503")


async def test_an_endpoint_that_is_gone_is_disabled(post: Post, receiver: Receiver) -> None:
    receiver.answers = [500, 410]
    await post.webhook(receiver.url)
    for _ in range(3):
        await post.tell()
    daemon = post.daemon()
    claimed = await daemon.claim(limit=2, busy={})
    for message in claimed:
        await daemon.deliver(message)
    hook = await post.hook()
    assert (hook.disabled_at, hook.disabled_reason) == (post.clock.now(), "it answered 410 Gone")
    assert await post.statuses() == ["dead"] * 3
    await post.tell()
    assert len(await post.messages()) == 3
    post.clock.advance(timedelta(days=1))
    assert await post.send_due(daemon) == 0
    assert len(receiver.arrived) == 2


@pytest.mark.parametrize("status", [301, 307])
async def test_a_redirect_is_no_delivery(
    post: Post, make_receiver: MakeReceiver, status: int
) -> None:
    target, door = make_receiver(), make_receiver()
    door.answers, door.headers = [status], {"Location": target.url}
    await post.webhook(door.url)
    await post.tell()
    await post.send_due(post.daemon())
    [message] = await post.messages()
    assert message.status == "pending"
    assert message.last_error == f"it answered {status}: redirects are not followed"
    assert target.arrived == []


async def test_an_address_that_is_refused(post: Post, receiver: Receiver) -> None:
    """Also of a webhook that was added when it was allowed, or has another address since."""
    await post.webhook(receiver.url, "here")
    await post.webhook("https://169.254.169.254/latest", "metadata")

    async def flipped(host: str, port: int) -> list[str]:
        return ["10.0.0.7"]

    await post.webhook("https://hooks.example/", "flipped")
    await post.tell()
    await post.send_due(post.daemon(egress=Egress(resolve=flipped, allow_http=True)))
    errors = {message.target: message.last_error for message in await post.messages()}
    assert errors == {
        "here": "refused: The URL leads to 127.0.0.1, which is no public address.",
        "metadata": "refused: The URL leads to 169.254.169.254, which is no public address.",
        "flipped": "refused: The URL leads to 10.0.0.7, which is no public address.",
    }
    assert await post.statuses() == ["pending"] * 3
    assert receiver.arrived == []


# --- several daemons, and their deaths -------------------------------------------------------


async def test_each_message_is_claimed_by_one_daemon(post: Post, receiver: Receiver) -> None:
    daemons = [post.daemon(f"node-{n}") for n in range(4)]
    for name in "abcdef":
        await post.webhook(receiver.url, name)
    for _ in range(10):
        await post.tell()
    taken: list[Claimed] = []
    while len(taken) < 60:
        rounds = await asyncio.gather(*(d.claim(limit=3, busy={}) for d in daemons))
        assert any(rounds)
        taken += [message for claimed in rounds for message in claimed]
    assert len({message.id for message in taken}) == len(taken) == 60


async def test_what_a_dead_daemon_was_sending_is_sent_by_another(
    post: Post, receiver: Receiver
) -> None:
    dead, other = post.daemon("node-dead"), post.daemon("node-other")
    await post.webhook(receiver.url)
    await post.tell()
    [message] = await dead.claim(limit=5, busy={})
    assert await other.claim(limit=5, busy={}) == []
    assert await other.next_at() == post.clock.now() + LEASE
    post.clock.advance(LEASE + SECOND)
    assert await post.send_due(other) == 1
    assert await post.statuses() == ["delivered"]
    # It was not dead after all: what it says late changes nothing, and the receiver sees the id.
    receiver.answers = [500]
    await dead.deliver(message)
    assert await post.statuses() == ["delivered"]
    assert (await post.hook()).failures == 0
    assert len(receiver.arrived) == 2
    assert len(receiver.events) == 1


async def test_a_daemon_that_comes_back_goes_on_at_once(post: Post, receiver: Receiver) -> None:
    await post.webhook(receiver.url)
    await post.tell()
    for owner in ("node-a", "node-b"):
        await post.tell()
        assert await post.daemon(owner).claim(limit=1, busy={})
    again = post.daemon("node-a")
    await again.release()
    assert len(await again.claim(limit=5, busy={"other": 2})) == 2


async def test_a_target_that_is_busy_is_passed_over(post: Post, receiver: Receiver) -> None:
    for name in ("a", "b"):
        await post.webhook(receiver.url, name)
    for _ in range(3):
        await post.tell()
    claimed = await post.daemon().claim(limit=10, busy={"a": PER_TARGET - 1})
    assert sorted(message.target for message in claimed) == ["a"] + ["b"] * PER_TARGET
    assert await post.daemon().claim(limit=10, busy={"a": PER_TARGET, "b": PER_TARGET}) == []


async def test_what_is_for_nobody_here_is_left_alone(post: Post, receiver: Receiver) -> None:
    """Of a webhook that was deleted meanwhile, of a service that only another daemon names."""
    post.notices = NoticeService(
        post.clock, post.ids, signals=post.signals, services=["service-of-b"]
    )
    await post.webhook(receiver.url, "deleted")
    await post.tell()
    async with post.database.transaction() as session:
        assert await WebhookRepository(session).remove("deleted") == 1
    assert [m.target for m in await post.messages()] == ["service-of-b"]
    assert await post.daemon().next_at() is None
    assert await post.send_due(post.daemon()) == 0


# --- the daemon's task -----------------------------------------------------------------------


def courier(post: Post, **given: Any) -> Courier:
    late = LateService(post.database, post.clock, notices=post.notices, settings=NotifySettings())
    return Courier(post.daemon(**given), late, clock=post.clock, signals=post.signals)


async def test_the_courier_sends_at_the_word_of_a_commit(post: Post, receiver: Receiver) -> None:
    await post.webhook(receiver.url)
    sending = courier(post)
    await sending.start()
    try:
        for number in range(1, 20):
            await post.tell()
            await eventually_async(lambda n=number: len(receiver.arrived) == n, within=5)
        await eventually_async(lambda: _all(post, "delivered"))
    finally:
        await sending.stop()


async def test_a_slow_endpoint_holds_up_no_other(post: Post, make_receiver: MakeReceiver) -> None:
    slow, quick = make_receiver(), make_receiver()
    slow.hold.clear()
    await post.webhook(slow.url, "slow")
    await post.webhook(quick.url, "quick")
    sending = courier(post)
    await sending.start()
    try:
        for _ in range(30):
            await post.tell()
        await eventually_async(lambda: len(quick.arrived) == 30)
        assert len(slow.arrived) <= PER_TARGET
        slow.hold.set()
        await eventually_async(lambda: len(slow.events) == 30)
    finally:
        await sending.stop()


async def test_the_courier_outlives_a_store_that_fails(post: Post, receiver: Receiver) -> None:
    await post.webhook(receiver.url)
    daemon = post.daemon()
    whole, faults = daemon.claim, iter([OSError("gone"), ValueError("odd")])

    async def broken(**given: Any) -> list[Claimed]:
        for fault in faults:
            raise fault
        return await whole(**given)

    daemon.claim = broken  # type: ignore[method-assign, assignment]
    late = LateService(post.database, post.clock, notices=post.notices, settings=NotifySettings())
    sending = Courier(daemon, late, clock=post.clock, signals=post.signals)
    await sending.start()
    try:
        await post.tell()
        await eventually_async(lambda: receiver.arrived, within=10)
    finally:
        await sending.stop()


async def _all(post: Post, status: str) -> bool:
    return set(await post.statuses()) == {status}
