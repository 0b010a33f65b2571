"""Who may sync: sources, their tokens, and what they are told."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest
from secrets import token_hex

from hopper.domain.ids import InstanceId, new_id

_PREFIX = "hps_"
"""Lets scanners for secrets find a token that went astray."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncSource:
    """A Hopper that may sync. `contribution_cap` is how many cases of a pattern it counts for, at most.

    A muted one is heard, but counts for nothing; a revoked one isn't heard. `sequence` is that of its last push.
    """

    source_instance_id: InstanceId
    name: str
    contribution_cap: int
    is_muted: bool = False
    is_revoked: bool = False
    sequence: int = 0
    created_at: datetime
    last_synced_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord(SyncSource):
    """A source and how much came from it."""

    patterns: int
    episodes: int
    total_feedback: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSource(SyncSource):
    """A source with its token, which is told this once."""

    token: str


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a token: 256 bits of chance need no slow hash."""

    id: str
    key_hash: str

    def is_of(self, secret: str) -> bool:
        """Whether this is the secret, in a time that doesn't depend on how much of it is right."""
        return compare_digest(self.key_hash, hashed(secret))


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReceipt:
    """What became of a push. `patterns_merged` counts all of its patterns; the others count each one once."""

    status: str = "synced"
    patterns_merged: int
    patterns_new: int
    patterns_changed: int
    patterns_unchanged: int
    episodes_new: int
    episodes_unchanged: int
    feedback_changed: bool


def issue() -> tuple[str, ApiKey]:
    """A new token, and what is kept of it."""
    id, secret = new_id(), token_hex(32)
    return f"{_PREFIX}{id}_{secret}", ApiKey(id, hashed(secret))


def parts(token: str) -> tuple[str, str] | None:
    """The key's id and the secret in a token; None for what can't be one."""
    id, _, secret = token.removeprefix(_PREFIX).partition("_")
    return (id, secret) if token.startswith(_PREFIX) and token.isascii() and len(token) <= 200 and secret else None


def hashed(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
