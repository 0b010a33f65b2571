"""Who asks: keys are made, believed for a few seconds, and revoked."""

import time
from contextlib import nullcontext
from dataclasses import fields
from datetime import datetime
from hmac import compare_digest

from hopper.domain.access import Asker, Key, NewKey, RateLimited, Role, Secret, hashed, issue, parts
from hopper.domain.errors import Invalid, NotFound, Unauthorized
from hopper.domain.ids import InstanceId
from hopper.ports import Ports

BELIEVED_SECONDS = 5.0
"""For how long another process may heed a key that was revoked."""

_KEYS = 10_000
"""So many keys, and budgets, are remembered; with more, all are forgotten and asked for anew."""

_SAVED_SECONDS = 2.0

ADMIN = Asker(key_id="admin", name="admin key of the server's settings")


async def authenticate(token: str | None, *, ports: Ports) -> Asker:
    """Whose token this is. Raises Unauthorized for none, an unknown, revoked or expired one, RateLimited."""
    admin = ports.access.admin
    if token and admin and compare_digest(hashed(token), admin.key_hash):
        asker = ADMIN
    else:
        asker = await _asker(token, ports)
    spend(asker.key_id or "", ports)
    return asker


async def create_key(
    name: str, role: Role, *, ports: Ports, within: InstanceId | None = None, expires_at: datetime | None = None
) -> NewKey:
    """Make a key, bound to what its maker is bound to or to less. Its token is told this once."""
    if role is Role.SYNC:
        raise Invalid("role", "A source's key comes with the source: `hopper sync sources add` makes both.")
    now = ports.clock.now()
    if expires_at and expires_at <= now:
        raise Invalid("expires_at", "It has passed already. Give a time to come.")
    within = within or ports.asker.within
    token, secret = issue()
    key = Key(
        id=secret.id,
        name=name,
        role=role,
        instance_id=within,
        created_at=now,
        created_by=ports.asker.key_id,
        expires_at=expires_at,
    )
    async with ports.unit_of_work() as uow:
        if within and await uow.instances.missing([within]):
            raise Invalid("instance_id", f"There is no instance with the id {within!r}.")
        await uow.keys.add(key, secret)
        uow.audit.note(ports.asker, "key", key.id)
        await uow.commit()
    return NewKey(**{field.name: getattr(key, field.name) for field in fields(Key)}, token=token)


async def list_keys(*, ports: Ports) -> tuple[Key, ...]:
    """The keys that the asker may look after, the oldest first."""
    async with ports.unit_of_work() as uow:
        return await uow.keys.list(ports.asker.within)


async def revoke_key(key_id: str, *, ports: Ports) -> Key:
    """Let a key be used no more: here at once, at other processes within seconds. Twice is no error."""
    async with ports.unit_of_work() as uow:
        if key_id not in {key.id for key in await uow.keys.list(ports.asker.within)}:
            raise NotFound("key", key_id)
        revoked = await uow.keys.revoke(key_id, ports.clock.now())
        uow.audit.note(ports.asker, "key", key_id)
        await uow.commit()
    ports.memory.keys = {}  # another: what is being read just now isn't remembered
    return revoked


async def admit(token: str, name: str, *, ports: Ports) -> bool:
    """Let the holder of a token that was made elsewhere do everything here; False if it was revoked here."""
    presented = parts(token)
    if presented is None:
        return False
    id, secret = presented
    key = Key(id=id, name=name, role=Role.ADMIN, created_at=ports.clock.now())
    async with ports.unit_of_work() as uow:
        await uow.keys.add(key, Secret(id, hashed(secret)))
        stored = await uow.keys.use(id, hashed(secret), key.created_at)
        await uow.commit()
    return stored is not None and stored[0].revoked_at is None and stored[1].is_of(secret)


async def _asker(token: str | None, ports: Ports) -> Asker:
    if not token:
        raise Unauthorized(
            "Say who you are: Authorization: Bearer and a key. `hopper key create` makes one; commands take it from "
            "HOPPER_API_KEY, or on the server's own machine from admin.key in its data directory."
        )
    presented = parts(token)
    known = await _known(*presented, ports) if presented else None
    if presented is None or known is None or not known[1].is_of(presented[1]):
        raise Unauthorized(
            "This server doesn't know that key. Commands take it from HOPPER_API_KEY, or else from admin.key in the "
            "server's data directory; an admin makes one with `hopper key create`."
        )
    key = known[0]
    if key.revoked_at:
        raise Unauthorized("This key was revoked. Ask for another one.")
    if key.expires_at and key.expires_at <= ports.clock.now():
        raise Unauthorized(f"This key expired at {key.expires_at:%Y-%m-%d %H:%M %Z}. Ask for another one.")
    return Asker(key_id=key.id, name=key.name, role=key.role, within=key.instance_id)


async def _known(key_id: str, secret: str, ports: Ports) -> tuple[Key, Secret] | None:
    """A key as it was stored seconds ago."""
    remembered, now = ports.memory.keys, time.monotonic()
    known = remembered.get(key_id)
    if known and now < known[2]:
        return known[0], known[1]
    # Whoever makes up tokens gets no more of the database than two connections.
    async with nullcontext() if known else ports.memory.strangers, ports.reading() as uow:
        stored = await uow.keys.use(key_id, hashed(secret), ports.clock.now())
    if len(remembered) >= _KEYS:
        remembered.clear()
    if stored:
        remembered[key_id] = (*stored, now + BELIEVED_SECONDS)
    else:
        remembered.pop(key_id, None)
    return stored


def spend(key_id: str, ports: Ports) -> None:
    """One request of what a key may ask for, which comes back with time (a token bucket). Raises RateLimited."""
    budgets, now, rate = ports.memory.budgets, time.monotonic(), ports.access.rate
    left, then = budgets.get(key_id, (rate * _SAVED_SECONDS, now))
    left = min(left + (now - then) * rate, max(rate * _SAVED_SECONDS, 1.0))
    if len(budgets) >= _KEYS:
        budgets.clear()
    if left < 1:
        budgets[key_id] = (left, now)
        raise RateLimited((1 - left) / rate)
    budgets[key_id] = (left - 1, now)
