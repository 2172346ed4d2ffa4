"""Asking a server that the user named, within limits of bytes and time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
import urllib3

from overpaint.net.deadlines import Deadline, UnderDeadline
from overpaint.text import printable


@dataclass(frozen=True)
class Answer:
    """What a server said: `content` is its body, unpacked."""

    status: int
    reason: str
    content: bytes


def post_json(
    url: str,
    body: Mapping[str, Any],
    headers: Mapping[str, str],
    *,
    max_bytes: int,
    connect_seconds: float,
    total_seconds: float,
) -> Answer:
    """Send JSON to a server that the user named, which may be on this machine.

    The headers go to this host only: no redirect is followed.

    Raises:
        OSError: no connection, or an answer that ends early, in few words.
        ValueError: its body holds more than `max_bytes` once unpacked, or cannot be unpacked.
        TimeoutError: it took longer than `total_seconds` in all.
    """
    deadline = Deadline(total_seconds)
    user = requests.utils.get_auth_from_url(url)
    with deadline, requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter(deadline))
        try:
            with session.post(
                url,
                json=body,
                headers={"Accept-Encoding": "identity", **headers},
                timeout=(connect_seconds, total_seconds),
                allow_redirects=False,
                stream=True,
                auth=user if any(user) else _as_it_is,
            ) as response:
                content = bytearray()
                for chunk in response.iter_content(_UNPACKED_FROM):
                    content += chunk
                    if len(content) > max_bytes:
                        raise ValueError(f"its answer holds more than {max_bytes >> 20} MiB")
        except requests.exceptions.ContentDecodingError as error:
            raise ValueError("its answer cannot be unpacked") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            if deadline.passed:
                raise TimeoutError(f"it took longer than {total_seconds:g} s") from error
            raise ConnectionError(f"no connection ({type(error).__name__})") from error
    if deadline.passed:  # a body without a declared length looks whole when it is cut
        raise TimeoutError(f"it took longer than {total_seconds:g} s")
    return Answer(response.status_code, printable(response.reason or ""), bytes(content))


_UNPACKED_FROM = 1 << 12  # bytes that are unpacked at once: at most a thousand times as many


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Instead of a password from the user's .netrc, which would replace the key."""
    return request


class _Adapter(UnderDeadline):
    """For a server that the user named: any address."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self.deadline = deadline
