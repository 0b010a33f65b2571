"""Connections over the network that notice when nobody is there any more.

A router that forgets a connection, or a machine that loses its power, says nothing: whoever waits for an answer on it
would wait as long as a request may take, and the pool would hand it out again. asyncpg leaves the socket as the
operating system has it, which asks after two hours.
"""

import socket
from typing import Any

import asyncpg

_IDLE_SECONDS = 10
_BETWEEN_SECONDS = 5
_PROBES = 2
_UNANSWERED_SECONDS = _IDLE_SECONDS + _PROBES * _BETWEEN_SECONDS
"""As long as nothing is heard of what was sent (TCP_USER_TIMEOUT, RFC 5482), or of probes while all is quiet."""

_OPTIONS = {
    "TCP_KEEPIDLE": _IDLE_SECONDS,
    "TCP_KEEPALIVE": _IDLE_SECONDS,  # its name on macOS
    "TCP_KEEPINTVL": _BETWEEN_SECONDS,
    "TCP_KEEPCNT": _PROBES,
    "TCP_USER_TIMEOUT": 1000 * _UNANSWERED_SECONDS,
}

AT_THE_SERVER = {
    "tcp_keepalives_idle": str(_IDLE_SECONDS),
    "tcp_keepalives_interval": str(_BETWEEN_SECONDS),
    "tcp_keepalives_count": str(_PROBES),
    "tcp_user_timeout": str(1000 * _UNANSWERED_SECONDS),
}
"""The same for PostgreSQL's side: a session keeps its locks until it is known to be dead."""


class KeptAlive(asyncpg.Connection):  # type: ignore[misc]
    """A connection that ends, with an error for whoever waits, 20 seconds after the other side has gone."""

    def __init__(self, protocol: Any, transport: Any, *rest: Any) -> None:
        super().__init__(protocol, transport, *rest)
        connected = transport.get_extra_info("socket")
        if connected.family == socket.AF_UNIX:
            return
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _OPTIONS.items():
            if hasattr(socket, name):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
