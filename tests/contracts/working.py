"""Working with a store through its ports, whichever store it is."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from hopper.domain.delegation import Delegation
from hopper.domain.episode import Episode
from hopper.domain.feedback import Feedback
from hopper.domain.instance import Instance
from hopper.domain.pattern import Pattern
from hopper.domain.task import Task
from hopper.ports.repositories import Page
from hopper.ports.unit_of_work import UnitOfWork
from hopper.ports.vectors import VectorIndexes

T = TypeVar("T")
Thing = Task | Instance | Delegation | Episode | Pattern | Feedback
UnitOfWorkFactory = Callable[[], UnitOfWork]


@dataclass(frozen=True)
class Backend:
    """A store as the application reaches it."""

    unit_of_work: UnitOfWorkFactory
    vector_indexes: VectorIndexes


async def add(uow: UnitOfWork, *things: Thing) -> None:
    """Add each to the repository where it belongs, in this order."""
    for thing in things:
        match thing:
            case Task():
                await uow.tasks.add(thing)
            case Instance():
                await uow.instances.add(thing)
            case Delegation():
                await uow.delegations.add(thing)
            case Episode():
                await uow.episodes.add(thing)
            case Pattern():
                await uow.patterns.add(thing)
            case Feedback():
                await uow.feedback.put(thing)


async def keep(uow_factory: UnitOfWorkFactory, *things: Thing) -> None:
    """Add them in a unit of work of their own."""
    async with uow_factory() as uow:
        await add(uow, *things)
        await uow.commit()


async def walk(fetch: Callable[[str | None], Awaitable[Page[T]]], limit: int) -> list[T]:
    """A whole listing, page by page; each page is as long as it may be, save the last."""
    found: list[T] = []
    cursor: str | None = None
    while True:
        page = await fetch(cursor)
        found += page.items
        if page.next_cursor is None:
            return found
        assert len(page.items) == limit
        assert page.next_cursor != cursor
        cursor = page.next_cursor


@asynccontextmanager
async def waiting(action: Awaitable[T]) -> AsyncIterator["asyncio.Task[T]"]:
    """Start an action that must wait until the block has ended; it ends soon after."""

    async def run() -> T:
        async with asyncio.timeout(10):
            return await action

    started = asyncio.create_task(run())
    try:
        await asyncio.wait({started}, timeout=0.2)
        assert not started.done(), "it did not wait"
        yield started
    except BaseException:
        started.cancel()
        raise
    await started
