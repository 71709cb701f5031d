"""A fault of the transport: the exception a client raised in, one of our errors out.

The official clients report refused, closed and reset connections alike as a timeout, so the class they raise says
nothing: the chain of causes behind it does.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator

from aikit.errors import AikitError, ConnectionFailed, DeadlineExceeded, ProtocolError, ProviderError

__all__ = ["causes", "error_of_fault", "is_disconnect"]


def causes(fault: BaseException) -> Iterator[BaseException]:
    """Yield the exception and what it came from, the deepest last."""
    seen: set[int] = set()
    link: BaseException | None = fault
    # Our own errors end the chain: they are what the caller was busy with before, not what this came from.
    while link is not None and id(link) not in seen and not isinstance(link, AikitError):
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__  # httpcore raises without `from`


def is_disconnect(fault: BaseException) -> bool:
    """Tell whether the server closed or reset the connection, after it had been made."""
    import aiohttp
    import httpx

    chain = list(causes(fault))
    if any(isinstance(link, aiohttp.ClientConnectorError | httpx.ConnectError | ssl.SSLError) for link in chain):
        return False
    gone = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError, httpx.RemoteProtocolError)
    return any(isinstance(link, gone) for link in chain)


def error_of_fault(fault: BaseException, *, provider: str, model: str, delivered: bool = False) -> ProviderError:
    """Return the error that a transport's exception is; `delivered` tells that the response had begun.

    The error quotes no more of the exception than its class and errno: its text may hold an address with a key in it.
    """
    import aiohttp
    import httpx

    chain = list(causes(fault))
    name = f"{provider}:{model}" if model else provider

    def has(*kinds: type[BaseException]) -> bool:
        return any(isinstance(link, kinds) for link in chain)

    def failed(what: str, *, sent: bool, retryable: bool = True) -> ConnectionFailed:
        text = f"{name} {what} ({_word(chain)})"
        return ConnectionFailed(text, provider=provider, model=model, sent=sent, retryable=retryable)

    if has(aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout, httpx.PoolTimeout):
        return DeadlineExceeded(
            f"{name} did not accept a connection in time", which="connect", provider=provider, model=model
        )
    if has(ssl.SSLError, ssl.CertificateError, aiohttp.ClientSSLError):
        return failed(
            "failed the TLS handshake: check the address and the certificate", sent=delivered, retryable=False
        )
    if has(aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, httpx.InvalidURL, httpx.UnsupportedProtocol):
        return failed("has no usable base_url", sent=False, retryable=False)
    if not delivered and has(aiohttp.ClientConnectorError, httpx.ConnectError):
        return failed("can't be reached", sent=False)
    if has(aiohttp.ServerTimeoutError, httpx.TimeoutException, asyncio.TimeoutError):
        return DeadlineExceeded(f"{name} sent nothing in time", which="progress", provider=provider, model=model)
    if has(aiohttp.ClientResponseError, httpx.DecodingError):
        return ProtocolError(
            f"{name} does not speak HTTP as it should ({_word(chain)})", provider=provider, model=model
        )
    return failed("closed the connection before the answer was whole", sent=True)


def _word(chain: list[BaseException]) -> str:
    deepest = chain[-1]
    errno = getattr(deepest, "errno", None)
    return f"{type(deepest).__name__}, errno {errno}" if isinstance(errno, int) else type(deepest).__name__
