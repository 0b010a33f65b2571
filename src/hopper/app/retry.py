"""Retries are free: a create that carries an Idempotency-Key happens once."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retry:
    """`key` is the client's (with the kind of entity before it), `fingerprint` a digest of the request."""

    key: str
    fingerprint: str
