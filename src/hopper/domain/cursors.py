"""Cursors on the wire: a position, sealed so that a URL can carry it and nobody is tempted to write one."""

from base64 import urlsafe_b64decode, urlsafe_b64encode


def seal(position: bytes) -> str:
    return urlsafe_b64encode(position).decode().rstrip("=")


def unseal(cursor: str) -> bytes:
    """Raises ValueError for what can't have been sealed; what comes out may still be anything."""
    return urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
