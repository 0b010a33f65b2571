"""Syncing what Hoppers have learned: sources push north, and get back what enough of them have in common.

A merge, and whatever changes what sources count for, takes turns: all of them end in the same few rows.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields, replace

from hopper.app.background import Log, Repeating
from hopper.domain.access import SOURCE_PREFIX, issue, parts
from hopper.domain.errors import Conflict, Forbidden, NotFound, Unauthorized, Unavailable
from hopper.domain.ids import InstanceId
from hopper.ports import Ports
from hopper.ports.unit_of_work import UnitOfWork
from hopper.sync.merge import Contributed, ContributionMerge, contributed, keyed, merge_contributions, newest
from hopper.sync.pack import HEEDED, PACKED, PackedPattern, PatternPack
from hopper.sync.payload import FeedbackStats, NorthboundPayload
from hopper.sync.sources import NewSource, SyncReceipt, SyncSource

_REFRESH_SECONDS = 30.0
_TURN = "sync.northbound"
_PATIENCE_SECONDS = 10.0


async def authenticate(token: str | None, *, ports: Ports) -> SyncSource:
    """Whose token this is. Raises Unauthorized for an unknown one, Forbidden for one that was revoked."""
    if not ports.sync.enabled:
        raise Forbidden("This server takes no northbound sync: its setting sync.northbound.enabled is false.")
    presented = parts(token) if token else None
    async with ports.reading() as uow:
        found = await uow.sync.key(presented[0]) if presented else None
    if presented is None or found is None or not found[0].is_of(presented[1]):
        raise Unauthorized(
            "This server doesn't know that token: it is another server's, or its source was forgotten here. "
            "`hopper sync sources add` gives one."
            if token
            else "Send the token that `hopper sync sources add` gave for this source, as Authorization: Bearer …"
        )
    return _heard(found[1])


async def receive(payload: NorthboundPayload, source: SyncSource, *, ports: Ports) -> SyncReceipt:
    """Merge a push, all of it or nothing. A push that comes again, late, or beside others changes nothing wrongly.

    Raises Forbidden when the payload is another source's, Invalid for counts that decrease.
    """
    if payload.source_instance_id != source.source_instance_id:
        raise Forbidden(f"This token is {source.source_instance_id!r}'s; it can't speak for another source.")
    given, episodes = contributed(payload.patterns, payload.sequence), keyed(payload)
    async with _turn(ports) as uow:
        current = _heard(await _source(source.source_instance_id, uow))
        merge = await _merge_patterns(current, given, uow)
        new_episodes = await uow.sync.summarise(current.source_instance_id, episodes) if episodes else 0
        stats = payload.feedback_stats
        replaced = stats is not None and await _replace_feedback(current, payload.sequence, stats, uow)
        counts = {"patterns": merge.new + merge.changed, "episodes": new_episodes, "feedback": int(replaced)}
        await uow.sync.log(current.source_instance_id, {kind: count for kind, count in counts.items() if count})
        heard = replace(
            current,
            sequence=max(current.sequence, payload.sequence),
            last_synced_at=ports.clock.now(),
        )
        await uow.sync.update(heard)
        await uow.commit()
    return SyncReceipt(
        patterns_merged=len(payload.patterns),
        patterns_new=merge.new,
        patterns_changed=merge.changed,
        patterns_unchanged=len(given) - merge.new - merge.changed,
        episodes_new=new_episodes,
        episodes_unchanged=len(episodes) - new_episodes,
        feedback_changed=replaced,
    )


async def pack(*, ports: Ports) -> PatternPack:
    """What the sources have in common."""
    least = ports.sync.min_sources
    async with ports.reading() as uow:
        server = await uow.sync.identity()
        return PatternPack(
            source_instance_id=server,
            min_sources=least,
            patterns=tuple(PackedPattern.of(one, server) for one in await uow.sync.shared(least, PACKED)),
            feedback_stats=await uow.sync.global_feedback(least),
        )


def shared_keeper(ports: Ports, log: Log) -> Repeating:
    """Reads what others share every half minute: a decision takes what was read last, and asks for nothing."""
    failure = "reading what other Hoppers share failed"
    return Repeating(lambda: refresh_shared(ports=ports), _REFRESH_SECONDS, failure, log)


async def refresh_shared(*, ports: Ports) -> None:
    """Read what decisions take from other Hoppers: what enough of them share, and for which target."""
    async with ports.reading() as uow:
        found = await uow.sync.shared(ports.sync.min_sources, HEEDED)
        ports.memory.labels = await uow.sync.labels() if found else {}
    ports.memory.shared = tuple(one.pattern for one in found if one.pattern.target_scope or one.pattern.target_name)


async def add_source(source_instance_id: InstanceId, name: str, *, ports: Ports) -> NewSource:
    """Let a Hopper sync; with a new token also one that was revoked. Raises Conflict for one that may already."""
    token, key = issue(SOURCE_PREFIX)
    async with _turn(ports) as uow:
        source = await uow.sync.find(source_instance_id)
        if source and not source.is_revoked:
            raise Conflict(
                f"The source {source_instance_id!r} has a token. Revoke that first: the new one then takes its place."
            )
        if source is None:
            source = SyncSource(
                source_instance_id=source_instance_id,
                name=name,
                contribution_cap=ports.sync.contribution_cap,
                created_at=ports.clock.now(),
            )
            await uow.sync.add(source)
        await uow.sync.put_key(source_instance_id, name, key)
        await uow.commit()
    known = {field.name: getattr(source, field.name) for field in fields(SyncSource)}
    return NewSource(**known | {"is_revoked": False}, token=token)


async def change_source(
    source_instance_id: InstanceId, *, is_muted: bool | None = None, contribution_cap: int | None = None, ports: Ports
) -> SyncSource:
    """Mute a source, let it be heard again, or change what it counts for at most; what it sent stays."""
    async with _turn(ports) as uow:
        before = await _source(source_instance_id, uow)
        after = replace(
            before,
            is_muted=before.is_muted if is_muted is None else is_muted,
            contribution_cap=before.contribution_cap if contribution_cap is None else contribution_cap,
        )
        await uow.sync.update(after)
        await uow.sync.total(await uow.sync.keys_of(source_instance_id))
        await uow.sync.total_feedback()
        await uow.commit()
    return after


async def revoke_source(source_instance_id: InstanceId, *, ports: Ports) -> SyncSource:
    """Let a source push no more; what it sent stays, and counts unless it is muted."""
    async with _turn(ports) as uow:
        source = await _source(source_instance_id, uow)
        await uow.sync.revoke_keys(source_instance_id)
        await uow.commit()
    return replace(source, is_revoked=True)


async def forget_source(source_instance_id: InstanceId, *, ports: Ports) -> None:
    """Remove a source and everything that came only from it."""
    async with _turn(ports) as uow:
        keys = await uow.sync.keys_of(source_instance_id)
        await uow.sync.forget(source_instance_id)
        await uow.sync.total(keys)
        await uow.sync.total_feedback()
        await uow.commit()


@asynccontextmanager
async def _turn(ports: Ports) -> AsyncIterator[UnitOfWork]:
    """A unit of work that nobody merges beside. Who waits for it holds no connection."""
    async with ports.turns.take(_TURN, _PATIENCE_SECONDS) as taken:
        if not taken:
            raise Unavailable("Others are syncing, and it takes long. Send it again in a minute.")
        async with ports.unit_of_work() as uow:
            await uow.sync.take_turn()  # also beside a process whose turn was lost with its connection
            yield uow


async def _source(source_instance_id: InstanceId, uow: UnitOfWork) -> SyncSource:
    source = await uow.sync.find(source_instance_id)
    if source is None:
        raise NotFound("source", source_instance_id)
    return source


def _heard(source: SyncSource) -> SyncSource:
    if source.is_revoked:
        raise Forbidden(f"The token of the source {source.source_instance_id!r} was revoked.")
    return source


async def _merge_patterns(source: SyncSource, given: Mapping[str, Contributed], uow: UnitOfWork) -> ContributionMerge:
    """Join what the source says with what it said; of patterns that a person removed here nothing is kept."""
    unwanted = await uow.patterns.rejected()
    wanted = {key: one for key, one in given.items() if key not in unwanted}
    known = await uow.sync.contributions(source.source_instance_id, list(wanted))
    merge = merge_contributions(known, wanted)
    if merge.joined:
        await uow.sync.contribute(source.source_instance_id, merge.joined)
        await uow.sync.total([one.pattern.key for one in merge.joined])
    return merge


async def _replace_feedback(source: SyncSource, sequence: int, stats: FeedbackStats, uow: UnitOfWork) -> bool:
    """Keep the newer statistics; whether that changes anything but their sequence."""
    before = await uow.sync.feedback(source.source_instance_id)
    after = newest(before, (sequence, stats))
    if after == before:
        return False
    await uow.sync.put_feedback(source.source_instance_id, *after)
    if before and before[1] == stats:
        return False
    await uow.sync.total_feedback()
    return True
