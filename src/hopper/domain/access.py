"""Who asks, and what they may do: keys, their roles, and the part of the instance tree that a key is bound to."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest
from secrets import token_hex

from hopper.domain.errors import HopperError
from hopper.domain.ids import InstanceId

PREFIX = "hpk_"
SOURCE_PREFIX = "hps_"
"""Let scanners for secrets find a token that went astray; the second is a source's that syncs."""


class Role(StrEnum):
    """What a key is for."""

    ADMIN = "admin"
    MEMBER = "member"
    AGENT = "agent"
    READ_ONLY = "read-only"
    SYNC = "sync"  # a source's, which pushes north


class Permission(StrEnum):
    """What a request needs."""

    READ = "read"  # see what is inside
    FILE = "file"  # file tasks and have them routed
    WORK = "work"  # claim, accept, reject and complete them, and say how it went
    CHANGE = "change"  # edit, delegate and remove tasks, write patterns, start and stop instances
    MANAGE = "manage"  # instances and keys
    OVERSEE = "oversee"  # see how the server as a whole stands
    OPERATE = "operate"  # change the server as a whole
    SYNC = "sync"


SERVER_WIDE = frozenset({Permission.OVERSEE, Permission.OPERATE})
"""What a key that is bound to a part of the tree never may."""

ALLOWED: Mapping[Role, frozenset[Permission]] = {
    Role.ADMIN: frozenset(Permission),
    Role.MEMBER: frozenset(Permission) - {Permission.MANAGE, Permission.OPERATE},
    Role.AGENT: frozenset({Permission.READ, Permission.FILE, Permission.WORK, Permission.SYNC}),
    Role.READ_ONLY: frozenset({Permission.READ, Permission.OVERSEE, Permission.SYNC}),
    Role.SYNC: frozenset({Permission.SYNC}),
}


class RateLimited(HopperError):
    """A key asks more often than it may; `retry_after` is in seconds."""

    slug = "rate-limited"

    def __init__(self, retry_after: float) -> None:
        seconds = max(retry_after, 0.1)
        super().__init__(f"This key has used up what it may ask for now. Try again in {seconds:.1f} seconds.")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Whoever asks: a key, or Hopper itself (`key_id` None).

    `within` is the instance at the root of what the key may see and change (None: everything). `action` and `entity`
    (its type and id) are what is asked for, and `request_id` in which request, for the audit log.
    """

    key_id: str | None = None
    name: str = "hopper"
    role: Role = Role.ADMIN
    within: InstanceId | None = None
    action: str = ""
    entity: tuple[str, str] | None = None
    request_id: str | None = None

    def may(self, permission: Permission) -> bool:
        return permission in ALLOWED[self.role] and not (self.within and permission in SERVER_WIDE)

    def refusal(self, permission: Permission) -> str:
        """Why it may not, and with whose key one may."""
        if permission in ALLOWED[self.role]:
            return (
                f"The key {self.name!r} is bound to a part of the instance tree, and this concerns the server as a "
                "whole: it takes a key that isn't bound."
            )
        roles = [role for role in Role if role is not Role.SYNC and permission in ALLOWED[role]]
        may = f"{', '.join(roles[:-1])} or {roles[-1]}" if roles[1:] else roles[0]
        unbound = ", and isn't bound to an instance" if permission in SERVER_WIDE else ""
        return f"The key {self.name!r} ({self.role}) may not do this: it takes one whose role is {may}{unbound}."


HOPPER = Asker()


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What may be told of a key. Its id is also the beginning of its token, after the prefix.

    `instance_id` is the root of the part of the tree that it is bound to (None: everything), `created_by` the key that
    made it.
    """

    id: str
    name: str
    role: Role
    instance_id: InstanceId | None = None
    created_at: datetime
    created_by: str | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey(Key):
    """A key with its token, which is told this once."""

    token: str


@dataclass(frozen=True, slots=True)
class Secret:
    """What is kept of a token: 256 bits of chance need no slow hash."""

    id: str
    key_hash: str

    def is_of(self, secret: str) -> bool:
        """Whether this is the secret, in a time that doesn't depend on how much of it is right."""
        return compare_digest(self.key_hash, hashed(secret))


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPolicy:
    """`admin` is the secret of a key that the server was given, and `rate` how often a key may ask (a second).

    A key may save up as much as two seconds give.
    """

    admin: Secret | None = None
    rate: float = 1_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what to what, and when; `entity_id` is None where no one entity was concerned."""

    id: int
    at: datetime
    key_id: str
    key_name: str
    action: str
    entity_type: str | None
    entity_id: str | None
    request_id: str | None


def issue(prefix: str = PREFIX) -> tuple[str, Secret]:
    """A new token, and what is kept of it."""
    id, secret = token_hex(8), token_hex(32)
    return f"{prefix}{id}_{secret}", Secret(id, hashed(secret))


def parts(token: str) -> tuple[str, str] | None:
    """The key's id and the secret in a token; None for what can't be one."""
    prefix, rest = token[: len(PREFIX)], token[len(PREFIX) :]
    id, _, secret = rest.partition("_")
    usable = prefix in (PREFIX, SOURCE_PREFIX) and token.isascii() and len(token) <= 200 and 0 < len(id) <= 36
    return (id, secret) if usable and secret else None


def hashed(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
