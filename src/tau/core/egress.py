"""The way out to addresses that others have named: looked up once, checked, and then kept to.

A name is resolved here and nowhere else, every address it has must be allowed, and the connection
goes to one of exactly these: a name that has another address a moment later changes nothing.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpx

from tau.errors import WebhookUrlRefused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to addresses as text. Raises OSError."""

MAX_URL_CHARS = 2000
_NAT64 = ip_network("64:ff9b::/96")


class SendFailed(Exception):
    """Nothing that counts as an answer came back; the message says why, in a few words."""


class Egress:
    """POSTs to URLs of others. `allow_private` are networks that are allowed though not public."""

    def __init__(
        self,
        *,
        allow_private: Sequence[Network] = (),
        allow_http: bool = False,
        timeout_s: float = 10.0,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = tuple(allow_private)
        self._schemes = ("https", "http") if allow_http else ("https",)
        self._timeout_s = timeout_s
        self._resolve = resolve or _resolve
        self._tls = tls

    def check(self, text: str) -> httpx.URL:
        """The URL, if it may be one of a webhook. Raises WebhookUrlRefused."""
        try:
            url = httpx.URL(text)
        except (httpx.InvalidURL, TypeError, ValueError) as error:
            raise WebhookUrlRefused(f"That is no URL: {error}") from error
        if len(text) > MAX_URL_CHARS:
            raise WebhookUrlRefused(f"The URL has more than {MAX_URL_CHARS} characters.")
        if url.scheme not in self._schemes:
            raise WebhookUrlRefused(
                f"The URL's scheme is {url.scheme or 'missing'}, not https.",
                hint="In the clear only with allow_http = true under [webhooks] in tau.toml.",
            )
        if not url.raw_host or url.userinfo:
            what = "holds a password" if url.userinfo else "names no host"
            raise WebhookUrlRefused(f"The URL {what}.")
        literal = _literal(url.host)
        if literal is not None:
            self._check_address(literal)
        return url

    async def look_up(self, url: httpx.URL) -> list[str]:
        """The addresses of the URL's host, all allowed. Raises WebhookUrlRefused, SendFailed."""
        port = url.port or {"https": 443, "http": 80}[url.scheme]
        host = url.raw_host.decode("ascii")
        try:
            found = await asyncio.wait_for(self._resolve(host, port), self._timeout_s)
        except (OSError, UnicodeError, TimeoutError) as error:
            raise SendFailed(f"the name can't be resolved: {_words(error)}") from error
        addresses = list(dict.fromkeys(found))
        if not addresses:
            raise SendFailed("the name has no address")
        for address in addresses:
            self._check_address(ip_address(address))
        return addresses

    async def post(self, text: str, *, content: bytes, headers: Mapping[str, str]) -> int:
        """The status of the answer, of which nothing else is read.

        Redirects are answers like others. Raises WebhookUrlRefused, SendFailed.
        """
        url = self.check(text)
        try:
            async with asyncio.timeout(self._timeout_s):
                addresses = await self.look_up(url)
                async with self._client() as client:
                    return await _post_to_any(client, url, addresses, content, headers)
        except TimeoutError as error:
            raise SendFailed(f"no answer within {self._timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise SendFailed(_words(error)) from error

    def _client(self) -> httpx.AsyncClient:
        """One for each request.

        A connection that is kept is found again by its address: it would be used for another
        name at the same address, for which its certificate was never checked.
        """
        if self._tls is None:
            self._tls = httpx.create_ssl_context(trust_env=True)
        return httpx.AsyncClient(
            verify=self._tls,
            trust_env=False,  # a proxy would look the name up again
            follow_redirects=False,
            timeout=self._timeout_s,
        )

    def _check_address(self, address: Address) -> None:
        for real in _meant(address):
            if not _is_public(real) and not any(real in network for network in self._allowed):
                raise WebhookUrlRefused(
                    f"The URL leads to {real}, which is no public address.",
                    hint='Allow the network by allow_private = ["…/32"] under [webhooks] '
                    "in tau.toml.",
                )


async def _resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    # The type is given for each address to come once.
    found = await loop.getaddrinfo(host, port, type=1)
    return [str(entry[4][0]) for entry in found]


async def _post_to_any(
    client: httpx.AsyncClient,
    url: httpx.URL,
    addresses: Sequence[str],
    content: bytes,
    headers: Mapping[str, str],
) -> int:
    """Post to the first address that can be connected to; after a connection no other is tried."""
    name = url.raw_host.decode("ascii")
    given = {**headers, "Host": url.netloc.decode("ascii")}
    for number, address in enumerate(addresses, start=1):
        request = client.build_request(
            "POST",
            url.copy_with(host=address),
            content=content,
            headers=given,
            extensions={"sni_hostname": name} if url.scheme == "https" else None,
        )
        try:
            response = await client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            if number == len(addresses):
                raise
            continue
        await response.aclose()
        return response.status_code
    raise SendFailed("the name has no address")


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _meant(address: Address) -> list[Address]:
    """The address, and the IPv4 addresses that it stands for on the way."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in _NAT64:
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    inner: list[Address] = [address]
    if address.sixtofour is not None:
        inner.append(address.sixtofour)
    if address.teredo is not None:
        inner += address.teredo
    return inner


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address.is_site_local:
        return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified
    )


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")[:200]
