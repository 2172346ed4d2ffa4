"""Fetching a file from an address that a stranger may have written.

requests-hardened resolves the name once, refuses private addresses (after redirects too,
because every request passes its filter) and connects to the very address it looked at.
What it leaves to us: a limit on the bytes and on the total time (requests' timeout starts
anew with every byte that arrives), redirect bodies (requests reads them whole), compressed
answers (a small download may unpack into a large one), and proxies and passwords from the
environment, which would go round the filter or to the wrong host.
"""

from __future__ import annotations

import ipaddress
import logging
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import BaseAdapter
from requests_hardened import Config, HTTPSession
from requests_hardened.ip_filter import InvalidIPAddress
from requests_hardened.ip_filter_adapter import IPFilterAdapter

from overpaint.errors import UserError
from overpaint.net.deadlines import Deadline, UnderDeadline
from overpaint.text import printable

TIMEOUT = 10.0
"""Seconds that a server may stay silent."""
TOTAL_SECONDS = 60.0
"""Seconds for everything: looking up, redirects, headers and body."""
MAX_REDIRECTS = 5

_CHUNK = 1 << 16
_REDIRECTS = {301, 302, 303, 307, 308}
_INSTEAD = "download the picture yourself and give its path"

# The filter logs each refusal; without this the message would reach stderr beside our sentence.
logging.getLogger("requests_hardened").addHandler(logging.NullHandler())


def fetch(url: str, *, max_bytes: int) -> bytes:
    """Download what is at an http or https address on the public internet.

    Raises:
        UserError: the address is not http(s), is not public (nor is one that it redirects to),
            does not answer, answers an error or a web page, holds more than `max_bytes`,
            or takes longer than `TOTAL_SECONDS` in all.
    """
    with _session() as session:
        return _fetch(url, session, max_bytes, TOTAL_SECONDS)


def shown_url(url: str) -> str:
    """`url` in one line without what may be secret: user, password, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return printable(url)
    return printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


def is_plain(url: str) -> bool:
    """Whether all programs read an address alike: no backslash, no control characters in it.

    Some take a backslash for a slash and so find another host; some leave out tabs and line ends.
    """
    return "\\" not in url and not any(unicodedata.category(c) in _HIDDEN for c in url)


_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _fetch(url: str, session: requests.Session, max_bytes: int, total_seconds: float) -> bytes:
    """`fetch` over a given session (tests bring one that may talk to this machine)."""
    where = shown_url(url)
    if not url.lower().startswith(("http://", "https://")):
        scheme = url.partition(":")[0]
        raise UserError(
            f"cannot fetch a {scheme}: address, only http and https ones; "
            "for a file on this machine give its path."
        )
    deadline = Deadline(total_seconds)
    try:
        with deadline, _follow(url, session, deadline) as response:
            content = _read_body(response, where, max_bytes)
    except InvalidIPAddress as error:
        raise UserError(
            f"cannot fetch {where}: {error} is not a public internet address; {_INSTEAD}."
        ) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        why = f"it took longer than {total_seconds:g} s" if deadline.passed else _reason(error)
        raise UserError(f"cannot fetch {where}: {why}; {_INSTEAD}.") from error
    # A body without a declared length looks complete when the deadline cuts it.
    if deadline.passed:
        raise UserError(
            f"cannot fetch {where}: it took longer than {total_seconds:g} s; {_INSTEAD}."
        )
    return content


@contextmanager
def _follow(url: str, session: requests.Session, deadline: Deadline) -> Iterator[requests.Response]:
    """The answer at the end of the redirects; their bodies are never read."""
    where = shown_url(url)
    for _ in range(MAX_REDIRECTS + 1):
        adapter = session.get_adapter(url)
        if isinstance(adapter, _Adapter):
            adapter.deadline = deadline
        if not is_plain(url):
            raise requests.exceptions.InvalidURL(where)
        request = session.prepare_request(requests.Request("GET", url))
        response = adapter.send(request, stream=True, timeout=TIMEOUT)
        try:
            location = response.headers.get("location")
            if response.status_code not in _REDIRECTS or not location:
                yield response
                return
            url = urljoin(url, location)
        finally:
            response.close()
    raise UserError(
        f"cannot fetch {where}: it redirects more than {MAX_REDIRECTS} times; {_INSTEAD}."
    )


def _read_body(response: requests.Response, where: str, max_bytes: int) -> bytes:
    """The body of an answer, refused as soon as it is known to be too long."""
    if response.status_code != 200:
        raise UserError(
            f"cannot fetch {where}: the server answered {response.status_code} "
            f"{printable(response.reason or '')}".rstrip()
            + "; check the address."
        )
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        raise UserError(
            f"{where} is a web page, not a picture: give the address of the picture itself."
        )
    if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise UserError(f"cannot fetch {where}: the server compresses its answer; {_INSTEAD}.")
    too_large = UserError(
        f"{where} is larger than {max_bytes / 2**20:.3g} MiB, the limit for a download; "
        "make it smaller, or download it yourself and give its path."
    )
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise too_large
    body = bytearray()
    while chunk := response.raw.read(_CHUNK, decode_content=False):
        body += chunk
        if len(body) > max_bytes:
            raise too_large
    return bytes(body)


def _reason(error: Exception) -> str:
    """A network error in a few words (their own texts carry object ids and nested causes)."""
    if isinstance(error, requests.exceptions.InvalidSchema):
        return "it leads to an address that is neither http nor https"
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.MissingSchema):
        return "it is not a valid address"
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError | TimeoutError):
        return f"the server was silent for {TIMEOUT:g} s"
    if isinstance(error, requests.ConnectionError) and "resolve" in str(error):
        return "no server of that name was found"
    if isinstance(error, urllib3.exceptions.IncompleteRead | urllib3.exceptions.ProtocolError):
        return "the connection ended before the file did"
    if isinstance(error, requests.ConnectionError | OSError):
        return "the server could not be reached"
    return "it is not a valid address"


class _Adapter(UnderDeadline, IPFilterAdapter):  # type: ignore[misc]  # untyped base
    """The library's filter with two holes closed, under the deadline."""

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        host, pool = super().build_connection_pool_key_attributes(*args, **kwargs)
        # `is_private` misses site-local (fec0::/10) and IPv4-compatible (::a.b.c.d) addresses.
        address = ipaddress.ip_address(host["host"].strip("[]"))
        loopback = self._allow_loopback and address.is_loopback
        site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
        if not loopback and (not address.is_global or address.is_reserved or site_local):
            raise InvalidIPAddress(address)
        return host, pool


def _session(*, allow_loopback: bool = False) -> requests.Session:
    """A session that reaches public addresses only (and this machine, for tests)."""
    session: requests.Session = HTTPSession(
        Config(
            ip_filter_enable=True,
            ip_filter_allow_loopback_ips=allow_loopback,
            never_redirect=True,
            default_timeout=TIMEOUT,
            user_agent_override="overpaint",
        )
    )
    session.trust_env = False
    session.headers["Accept"] = "image/*"
    session.headers["Accept-Encoding"] = "identity"
    session.adapters.clear()
    for scheme in ("http", "https"):
        filtering: Any = _Adapter  # mypy cannot read the library's base of it
        adapter: BaseAdapter = filtering(scheme == "https", allow_loopback=allow_loopback)
        session.mount(f"{scheme}://", adapter)
    return session
