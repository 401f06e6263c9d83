"""The way out: only to public addresses, to exactly those that were checked, and no further."""

import asyncio
import socket
import ssl
import subprocess
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures.receiver import Receiver

from tau.core.egress import Egress, SendFailed
from tau.errors import WebhookUrlRefused

MakeReceiver = Callable[..., Receiver]
HERE = [ip_network("127.0.0.1/32")]
PUBLIC = "93.184.215.14"


class Names:
    """A resolver: each question takes the next of a name's answers, the last one stays."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self._answers = {name: list(found) for name, found in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self._answers[host.partition(".")[0]]
        return answers.pop(0) if len(answers) > 1 else answers[0]


def post(egress: Egress, url: str) -> Any:
    return egress.post(url, content=b"{}", headers={"X-Test": "1"})


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/hook",
        "https://127.8.9.10/hook",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.1.2.3/",
        "https://172.16.0.1/",
        "https://192.168.1.1/",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://240.0.0.1/",
        "https://198.18.0.1/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[2002:a9fe:a9fe::1]/",
        "https://[fe80::1]/",
        "https://[fc00::1]/",
        "https://[fec0::1]/",
        "https://[ff02::1]/",
        "https://127\u30020\u30020\u30021/",
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "example.com/hook",
        "https://user:password@example.com/",
        "https:///hook",
        "https://exa mple.com:x/",
        "https://example.com/" + "x" * 2000,
        "",
    ],
)
async def test_a_url_that_no_webhook_may_have(url: str) -> None:
    with pytest.raises(WebhookUrlRefused):
        Egress().check(url)
    with pytest.raises(WebhookUrlRefused):
        await post(Egress(), url)


@pytest.mark.parametrize(
    "url", ["https://2130706433/", "https://0x7f.1/", "https://0/", "https://127.1/",
            "https://0177.0.0.1/", "https://localhost/"],
)  # fmt: skip
async def test_spellings_that_the_system_reads_as_this_machine(url: str) -> None:
    """By the system's own resolver: what counts is the address, not how it was written."""
    with pytest.raises(WebhookUrlRefused):
        await post(Egress(), url)


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["169.254.169.254"], ["::1"], [PUBLIC, "10.0.0.1"], ["::ffff:10.0.0.1"],
     ["fe80::1%lo"]],
)  # fmt: skip
async def test_a_name_with_any_address_that_is_not_public(addresses: list[str]) -> None:
    egress = Egress(resolve=Names(hooks=[addresses]))
    with pytest.raises(WebhookUrlRefused, match="no public address"):
        await post(egress, "https://hooks.example/")


@pytest.mark.parametrize(
    "address", [PUBLIC, "2606:4700:4700::1111", "64:ff9b::5db8:d70e", "::ffff:93.184.215.14"]
)
async def test_public_addresses_are_allowed(address: str) -> None:
    egress = Egress(resolve=Names(hooks=[[address]]))
    assert await egress.look_up(egress.check("https://hooks.example/")) == [address]


async def test_what_is_allowed_besides_is_this_and_no_more(receiver: Receiver) -> None:
    egress = Egress(allow_private=HERE, allow_http=True)
    assert await post(egress, receiver.url) == 204
    assert receiver.arrived[0].headers["host"] == f"127.0.0.1:{receiver.port}"
    assert receiver.arrived[0].headers["x-test"] == "1"
    for other in ("http://127.0.0.2/", "http://[::1]/", "http://169.254.169.254/"):
        with pytest.raises(WebhookUrlRefused):
            await post(egress, other)


async def test_a_name_that_flips_changes_nothing(make_receiver: MakeReceiver) -> None:
    """Asked once: what is connected to is what was checked, whatever the name says a moment later.

    The next request asks anew, and finds what the name has become.
    """
    good = make_receiver()
    names = Names(hooks=[["127.0.0.1"], ["169.254.169.254"]])
    egress = Egress(allow_private=HERE, allow_http=True, resolve=names)
    asked = []
    loop, system = asyncio.get_running_loop(), asyncio.get_running_loop().getaddrinfo

    async def heard(host: Any, *args: Any, **options: Any) -> Any:
        asked.append(host)
        return await system(host, *args, **options)

    loop.getaddrinfo = heard  # type: ignore[method-assign, assignment]
    url = f"http://hooks.example:{good.port}/hook"
    assert await post(egress, url) == 204
    assert names.asked == ["hooks.example"]
    assert good.arrived[0].headers["host"] == f"hooks.example:{good.port}"
    # Below us nobody resolves a name, only the address that was checked.
    assert set(asked) <= {"127.0.0.1"}
    with pytest.raises(WebhookUrlRefused, match=r"169\.254\.169\.254"):
        await post(egress, url)
    assert len(good.arrived) == 1


async def test_a_name_of_two_addresses_is_tried_at_both(receiver: Receiver) -> None:
    names = Names(hooks=[["127.0.0.2", "127.0.0.1"]])
    egress = Egress(allow_private=[ip_network("127.0.0.0/8")], allow_http=True, resolve=names)
    assert await post(egress, f"http://hooks.example:{receiver.port}/hook") == 204
    assert len(receiver.arrived) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(make_receiver: MakeReceiver, status: int) -> None:
    target, door = make_receiver(), make_receiver()
    door.answers, door.headers = [status], {"Location": target.url}
    assert await post(Egress(allow_private=HERE, allow_http=True), door.url) == status
    assert (len(door.arrived), target.arrived) == (1, [])


async def test_no_proxy_is_asked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert await post(Egress(allow_private=HERE, allow_http=True), receiver.url) == 204


async def test_a_long_answer_is_not_read(receiver: Receiver) -> None:
    receiver.body = b"x" * 50_000_000
    assert await post(Egress(allow_private=HERE, allow_http=True), receiver.url) == 204


async def test_what_never_answers_is_given_up(receiver: Receiver) -> None:
    receiver.hold.clear()
    egress = Egress(allow_private=HERE, allow_http=True, timeout_s=0.3)
    with pytest.raises(SendFailed, match="no answer within"):
        await post(egress, receiver.url)


async def test_an_answer_in_drops_is_given_up() -> None:
    """The time is for the whole attempt: a byte now and then does not prolong it."""

    ended = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000:
            if writer.is_closing():
                break
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)
        writer.close()
        ended.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    egress = Egress(allow_private=HERE, allow_http=True, timeout_s=0.3)
    with pytest.raises(SendFailed, match="no answer within"):
        await post(egress, f"http://127.0.0.1:{port}/")
    await asyncio.wait_for(ended.wait(), 30)
    server.close()
    await server.wait_closed()


async def test_a_resolver_that_hangs_or_fails() -> None:
    async def hang(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async def fail(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    async def none(host: str, port: int) -> list[str]:
        return []

    for resolve in (hang, fail, none):
        with pytest.raises(SendFailed):
            await post(Egress(resolve=resolve, timeout_s=0.2), "https://hooks.example/")


async def test_nobody_listens() -> None:
    egress = Egress(allow_private=HERE, allow_http=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(SendFailed, match="ConnectError"):
        await post(egress, f"http://127.0.0.1:{port}/")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key with a certificate for hooks.example, self-signed."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=hooks.example", "-addext", "subjectAltName=DNS:hooks.example",
         "-keyout", str(path) + ".key", "-out", str(path) + ".crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(Path(f"{path}.key").read_text() + Path(f"{path}.crt").read_text())
    return path


async def test_the_certificate_is_checked_for_the_name_not_the_address(
    make_receiver: MakeReceiver, certificate: Path
) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    names: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: names.append(name)
    receiver = make_receiver(tls=server)
    trusted = ssl.create_default_context(cafile=f"{certificate}.crt")
    resolve = Names(hooks=[["127.0.0.1"]], others=[["127.0.0.1"]])
    egress = Egress(allow_private=HERE, resolve=resolve, tls=trusted)
    assert await post(egress, f"https://hooks.example:{receiver.port}/") == 204
    assert names == ["hooks.example"]
    with pytest.raises(SendFailed, match="CERTIFICATE_VERIFY_FAILED"):
        await post(egress, f"https://others.example:{receiver.port}/")
    with pytest.raises(SendFailed, match="CERTIFICATE_VERIFY_FAILED"):
        await post(
            Egress(allow_private=HERE, resolve=resolve), f"https://hooks.example:{receiver.port}/"
        )
    assert len(receiver.arrived) == 1
