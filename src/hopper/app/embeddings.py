"""Looking after embeddings as a whole: how they stand, what they lack, mending that, and dropping a model's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hopper.app.evidence import is_stale
from hopper.app.projections import EMBEDDING
from hopper.domain.cursors import seal, unseal
from hopper.domain.errors import Conflict, Invalid, NotFound
from hopper.ports import Ports
from hopper.ports.models import Audited, EmbeddingModel, Roles, Waiting
from hopper.ports.unit_of_work import UnitOfWork
from hopper.ports.vectors import IndexState, VectorKind

PART = 1_000
"""Entities that one part of a check or a backfill looks at."""

OFF = (
    "Nothing is found by its meaning here: the setting database.pgvector.enabled is false. Set it to true and start "
    "the server again, or search by words (mode=keyword)."
)
FILLING = (
    "Nothing is found by its meaning before all there is has its vector; `hopper embeddings status` shows how far that "
    "is. Search by words (mode=keyword) meanwhile."
)


@dataclass(frozen=True, slots=True)
class Queued:
    """Entities of a kind that should have a vector, and how many of them wait for one."""

    kind: VectorKind
    entities: int
    waiting: int
    failing: int
    last_error: str | None


@dataclass(frozen=True, slots=True)
class StoredKind:
    """What a model has of a kind, and how it is searched."""

    kind: VectorKind
    stored: int
    index: IndexState


@dataclass(frozen=True, slots=True)
class ModelState:
    """A model: `trouble` says why this server can't embed with it, or what its provider failed with last."""

    model: str
    provider: str
    dimension: int
    is_searched: bool
    is_wanted: bool
    trouble: str | None
    kinds: tuple[StoredKind, ...]


@dataclass(frozen=True, slots=True)
class EmbeddingStatus:
    """`searched` answers now; `wanted` is what search moves to once it is complete. Mostly they are the same.

    `none_searched` says why this server finds nothing by its meaning, and what to do about it.
    """

    searched: str | None
    wanted: str | None
    none_searched: str | None
    queue: tuple[Queued, ...]
    models: tuple[ModelState, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """Where vectors differ from the truth, in a part of one kind's entities; `next_cursor` leads to the next part.

    `outdated_outcome` are episodes whose vector isn't searched although their outcome is known, or the reverse.
    """

    model: str
    kind: VectorKind
    looked_at: int
    missing: tuple[str, ...]
    stale: tuple[str, ...]
    wrong_dimension: tuple[str, ...]
    outdated_outcome: tuple[str, ...]
    orphaned: tuple[str, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Dropped:
    """How many of a model's vectors went, and whether there are none left."""

    model: str
    vectors: int
    is_done: bool


async def embedding_status(*, ports: Ports) -> EmbeddingStatus:
    """How embeddings stand: what waits, what each model has, which one is searched."""
    async with ports.reading() as uow:
        roles, models = await uow.models.roles(), await uow.models.all()
        stored, entities, waiting = await uow.models.stored(), await uow.models.entities(), await uow.models.waiting()
    return EmbeddingStatus(
        searched=_name(roles.searched),
        wanted=_name(roles.wanted),
        none_searched=ports.none_searched,
        queue=tuple(_queued(kind, entities[kind], waiting[kind]) for kind in VectorKind),
        models=tuple([await _state(model, roles, stored, ports) for model in models]),
    )


async def differences(cursor: str | None, *, ports: Ports, model: str | None = None) -> Differences:
    """Compare a part of the truth with a model's vectors, both ways; the wanted model's unless another is named."""
    async with ports.reading() as uow:
        return await _differences(cursor, await _model(model, uow), uow)


async def backfill(cursor: str | None, *, ports: Ports, model: str | None = None) -> Differences:
    """Have a part of the entities embedded that lack a current vector; returns what there was to mend.

    Each part stands by itself: a backfill that was broken off is run again, and finds what is still lacking.
    """
    async with ports.unit_of_work() as uow:
        found = await _differences(cursor, await _model(model, uow), uow)
        if found.outdated_outcome:
            await uow.models.follow_outcomes(found.model, found.outdated_outcome)
        wrong = found.wrong_dimension + found.orphaned
        if wrong:
            await uow.models.remove(found.kind, found.model, wrong)
        lacking = {*found.missing, *found.stale, *found.wrong_dimension}
        if lacking:
            await uow.queue.enqueue([(EMBEDDING, found.kind.value, id) for id in lacking])
        await uow.commit()
    return found


async def drop_model(model: str, *, ports: Ports) -> Dropped:
    """Remove a model's indexes and a part of its vectors; call it until it is done. Refused for models in use."""
    async with ports.reading() as uow:
        await _require_unused(model, uow)
    await ports.vector_indexes.drop(model)
    async with ports.unit_of_work() as uow:
        await _require_unused(model, uow)
        removed = await uow.models.drop(model, 10 * PART)
        await uow.commit()
    return Dropped(model, removed, is_done=removed == 0)


async def _require_unused(model: str, uow: UnitOfWork) -> None:
    roles = await uow.models.roles()
    if model == _name(roles.searched):
        raise Conflict(
            f"The model {model!r} is searched. Set another one (embeddings.model), start the server, and drop this one "
            "when `hopper embeddings status` shows that search has moved."
        )
    if model == _name(roles.wanted):
        raise Conflict(f"Search is moving to the model {model!r}. Set another one (embeddings.model) to keep it away.")
    if model not in {known.model for known in await uow.models.all()}:
        raise NotFound("embedding model", model)


def _name(model: EmbeddingModel | None) -> str | None:
    return model.model if model else None


async def _model(name: str | None, uow: UnitOfWork) -> EmbeddingModel:
    if name is None:
        wanted = (await uow.models.roles()).wanted
        if wanted is None:
            raise Conflict(OFF)
        return wanted
    for model in await uow.models.all():
        if model.model == name:
            return model
    raise NotFound("embedding model", name)


async def _differences(cursor: str | None, model: EmbeddingModel, uow: UnitOfWork) -> Differences:
    kind, after = _position(cursor)
    rows = await uow.models.audit(kind, model.model, after, PART)
    return Differences(
        model=model.model,
        kind=kind,
        looked_at=len(rows),
        missing=tuple(row.id for row in rows if row.stored_hash is None),
        stale=tuple(row.id for row in rows if is_stale(kind, row.stored_hash, row.text)),
        wrong_dimension=tuple(row.id for row in rows if row.dimension not in (None, model.dimension)),
        outdated_outcome=tuple(row.id for row in rows if row.is_outdated),
        orphaned=() if after else tuple(await uow.models.orphans(kind, model.model, PART)),
        next_cursor=_next(kind, rows),
    )


def _position(cursor: str | None) -> tuple[VectorKind, str]:
    if cursor is None:
        return next(iter(VectorKind)), ""
    try:
        kind, colon, after = unseal(cursor).decode().partition(":")
    except ValueError:
        kind = colon = after = ""
    if kind not in set(VectorKind) or not colon or len(after) > 36 or not after.isprintable():
        raise Invalid("cursor", "This cursor isn't one that the part before gave out. Start again without it.")
    return VectorKind(kind), after


def _next(kind: VectorKind, rows: Sequence[Audited]) -> str | None:
    """The rest of this kind, or the beginning of the next one."""
    if len(rows) == PART:
        return _cursor(kind, rows[-1].id)
    kinds = [*VectorKind]
    following = kinds[kinds.index(kind) + 1 :]
    return _cursor(following[0], "") if following else None


def _cursor(kind: VectorKind, after: str) -> str:
    return seal(f"{kind}:{after}".encode())


def _queued(kind: VectorKind, entities: int, waits: Waiting) -> Queued:
    return Queued(kind, entities, waits.waiting, waits.failing, waits.last_error)


async def _state(
    model: EmbeddingModel, roles: Roles, stored: Mapping[tuple[str, VectorKind], int], ports: Ports
) -> ModelState:
    states = await ports.vector_indexes.states(model.model, model.dimension)
    return ModelState(
        model=model.model,
        provider=model.provider,
        dimension=model.dimension,
        is_searched=model.model == _name(roles.searched),
        is_wanted=model.model == _name(roles.wanted),
        trouble=(ports.models and ports.models.trouble(model)) or ports.circuits[model.model].trouble,
        kinds=tuple(StoredKind(kind, stored.get((model.model, kind), 0), states[kind]) for kind in VectorKind),
    )
