"""A limit on the time that a request takes in all: looking up, connecting, and every byte."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

NETWORK_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError)
"""What requests and what is below it raise."""


class Deadline:
    """Ends the connections it watches once `seconds` have passed, whatever they are doing.

    A read that waits for the next byte cannot look at a clock, so another thread shuts the
    connection down under it. It holds a duplicate, since TLS takes over the first handle.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._handles: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._shut_down)
        self._timer.daemon = True

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._end

    def call(self, do: Callable[[], Any]) -> Any:
        """What `do` returns or raises; one that waits (for a name server, say) is left behind.

        Raises:
            TimeoutError: the time is over.
        """
        values: list[Any] = []
        errors: list[Exception] = []

        def run() -> None:
            try:
                values.append(do())
            except NETWORK_ERRORS as error:
                errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(max(0.0, self._end - time.monotonic()))
        if errors:
            raise errors[0]
        if not values:
            raise TimeoutError("the time is over")
        return values[0]

    def watch(self, connection: socket.socket) -> None:
        """Shut this connection down when the time is over; now, if it is."""
        with self._lock:
            self._handles.append(connection.dup())
        if self.passed:
            self._shut_down()

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            for handle in self._handles:
                handle.close()
            self._handles.clear()

    def _shut_down(self) -> None:
        with self._lock:
            for handle in self._handles:
                try:
                    handle.shutdown(socket.SHUT_RDWR)
                except OSError:  # the other side was faster
                    continue


class UnderDeadline(HTTPAdapter):
    """Looks names up and connects under a deadline."""

    deadline: Deadline | None = None

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        """As that of requests; a filter of addresses looks the name up here."""

        def build() -> Any:
            return super(UnderDeadline, self).build_connection_pool_key_attributes(*args, **kwargs)

        return build() if self.deadline is None else self.deadline.call(build)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """As that of requests, with connections that are made and watched under the deadline."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        deadline, plain = self.deadline, type(pool).ConnectionCls

        class Watched(plain):  # type: ignore[misc,valid-type]  # chosen by the scheme
            def _new_conn(self) -> socket.socket:
                if deadline is None:
                    return super()._new_conn()
                # It looks the name up where that was not done yet.
                connection: socket.socket = deadline.call(super()._new_conn)
                deadline.watch(connection)
                return connection

        pool.ConnectionCls = Watched
        return pool
