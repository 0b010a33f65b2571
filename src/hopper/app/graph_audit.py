"""How the graph database stands, and comparing all of it with the truth."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from hopper.app.graph_projection import LABELS, graph_store
from hopper.app.projections import GRAPH
from hopper.domain.cursors import seal, unseal
from hopper.domain.errors import Conflict, Invalid
from hopper.domain.graph import Edge, Label, Node
from hopper.ports import Ports

PART = 1_000
"""Entities that one part of a check looks at."""

_LOOKS = 20
_PAUSE_SECONDS = 0.25
"""What differs while something waits may just be about to be written: it is looked at again, for five seconds."""

_ORDER = (*LABELS.values(), Label.TAG)

T = TypeVar("T", Node, Edge)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphStatus:
    """`lag_seconds` is for how long the oldest entity has waited; `trouble` what the graph database failed with last.

    `entities` are all that the graph should hold, besides tags. `done` of `total` steps tell how far this server has
    come with building it anew.
    """

    is_configured: bool
    entities: int
    is_followed: bool
    is_rebuilding: bool
    waiting: int
    failing: int
    lag_seconds: float
    last_error: str | None
    trouble: str | None
    done: int | None
    total: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphDifferences:
    """Where the graph differs from the truth, in a part of it; `next_cursor` leads to the next part.

    `missing` isn't in the graph, `extra` only there, and `different` has other properties there.
    """

    label: Label
    looked_at: int
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    different: tuple[str, ...]
    next_cursor: str | None


async def graph_status(*, ports: Ports) -> GraphStatus:
    async with ports.reading() as uow:
        state = await uow.projections.state(GRAPH)
        backlog = await uow.queue.backlog(GRAPH)
        entities = sum([await uow.graph_source.count(label) for label in LABELS.values()])
    progress = ports.memory.graph_rebuild
    return GraphStatus(
        is_configured=ports.graph_store is not None,
        entities=entities,
        is_followed=state.followed_since is not None,
        is_rebuilding=state.rebuilding,
        waiting=backlog.waiting,
        failing=backlog.failing,
        lag_seconds=backlog.oldest_seconds,
        last_error=backlog.last_error,
        trouble=ports.circuits[GRAPH].trouble,
        done=progress.done if progress else None,
        total=progress.total if progress else None,
    )


async def graph_differences(cursor: str | None, *, ports: Ports) -> GraphDifferences:
    """Compare a part of the graph with the truth, both ways: nodes, edges and all their properties.

    Raises Conflict while the graph is built anew.
    """
    label, after = _position(cursor)
    async with ports.reading() as uow:
        if (await uow.projections.state(GRAPH)).rebuilding:
            raise Conflict("The graph is being built anew. Check it afterwards (`hopper graph status`).")
    for _ in range(_LOOKS):
        found = await _compared(label, after, ports)
        if not (found.missing or found.extra or found.different):
            break
        async with ports.reading() as uow:
            if await uow.queue.depth(GRAPH) == 0:
                found = await _compared(label, after, ports)
                break
        await asyncio.sleep(_PAUSE_SECONDS)
    return found


async def _compared(label: Label, after: str, ports: Ports) -> GraphDifferences:
    if label is Label.TAG:
        async with ports.reading() as uow:
            wanted = await uow.graph_source.tag_graph()
        held = await graph_store(ports).tag_graph()
        nodes, edges = _differences(wanted.nodes, held.nodes), _differences(wanted.edges, held.edges)
        return _part(label, len(wanted.nodes), nodes, edges, following=None)
    async with ports.reading() as uow:
        units = await uow.graph_source.page(label, after, PART)
    last = units[-1].node.id if len(units) == PART else None
    stored = await graph_store(ports).units(label, after, last)
    nodes = _differences((unit.node for unit in units), (unit.node for unit in stored))
    edges = _differences(
        (edge for unit in units for edge in unit.edges), (edge for unit in stored for edge in unit.edges)
    )
    following = f"{label}:{last}" if last else f"{_after(label)}:"
    return _part(label, len(units), nodes, edges, following=following)


Found = tuple[list[str], list[str], list[str]]


def _part(label: Label, looked_at: int, nodes: Found, edges: Found, *, following: str | None) -> GraphDifferences:
    missing, extra, different = (tuple(first + second) for first, second in zip(nodes, edges, strict=True))
    return GraphDifferences(
        label=label,
        looked_at=looked_at,
        missing=missing,
        extra=extra,
        different=different,
        next_cursor=seal(following.encode()) if following else None,
    )


def _differences(wanted: Iterable[T], held: Iterable[T]) -> Found:
    """What isn't held, what is only held, and what is held otherwise, each by a name that a person can look up."""
    held = list(held)
    should: Mapping[tuple[str, ...], T] = {one.key: one for one in wanted}
    does: Mapping[tuple[str, ...], T] = {one.key: one for one in held}
    counted: Counter[tuple[str, ...]] = Counter(one.key for one in held)
    twice: list[tuple[str, ...]] = [key for key, times in counted.items() if times > 1]
    return (
        [_named(key) for key in should if key not in does],
        [_named(key) for key in (*(key for key in does if key not in should), *twice)],
        [_named(key) for key, one in should.items() if key in does and does[key] != one],
    )


def _named(key: tuple[str, ...]) -> str:
    return " ".join(part for part in key if part)


def _after(label: Label) -> Label:
    return _ORDER[_ORDER.index(label) + 1]


def _position(cursor: str | None) -> tuple[Label, str]:
    if cursor is None:
        return Label.INSTANCE, ""
    try:
        label, after = unseal(cursor).decode().split(":", 1)
        return Label(label), after
    except ValueError:
        raise Invalid("cursor", "This cursor isn't one that a check gave out. Start again without it.") from None
