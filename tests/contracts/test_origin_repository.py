"""Where tasks came from, in a store."""

from tests.builders import NOW, a_task, later
from tests.contracts.working import UnitOfWorkFactory, add

from hopper.domain.moving import Origin
from hopper.ports.unit_of_work import UnitOfWork


async def test_an_origin_is_found_by_its_source_and_external_id(uow: UnitOfWork) -> None:
    """An import that is repeated would make every task twice."""
    first, second = Origin("a#1", "t1", {"title": "1f"}, NOW), Origin("Ä #2", "t2", {})
    await uow.origins.put("github", [first, second])
    await uow.origins.put("beads", [Origin("a#1", "t3", {})])
    assert await uow.origins.find("github", ["a#1", "Ä #2", "a#3"]) == {"a#1": first, "Ä #2": second}
    assert await uow.origins.find("github", []) == {}
    assert await uow.origins.find("taskwarrior", ["a#1"]) == {}
    assert await uow.origins.of_source("github") == (first, second)
    assert await uow.origins.of_source("taskwarrior") == ()


async def test_what_a_record_says_now_replaces_what_it_said(uow: UnitOfWork) -> None:
    """A change at the source would be taken over again and again, over what was changed here since."""
    await uow.origins.put("github", [Origin("a#1", "t1", {"title": "1f", "tags.x": "2e"})])
    later_on = Origin("a#1", "t1", {"title": "3d"}, later(1))
    await uow.origins.put("github", [later_on])
    assert await uow.origins.find("github", ["a#1"]) == {"a#1": later_on}


async def test_a_source_goes_by_another_name(uow: UnitOfWork) -> None:
    """A server that is known by its id now would have forgotten what was pushed to its address."""
    first, second, known = (
        Origin("a", "t1", {"title": "1f"}, NOW),
        Origin("b", "t2", {}),
        Origin("b", "t2", {"title": "2"}),
    )
    await uow.origins.put("http://press", [first, second])
    await uow.origins.put("press", [known])
    await uow.origins.rename("http://press", "press")
    await uow.origins.rename("nobody", "press")
    assert await uow.origins.of_source("press") == (first, known)
    assert await uow.origins.of_source("http://press") == ()


async def test_a_task_that_was_removed_keeps_its_origin(uow_factory: UnitOfWorkFactory) -> None:
    """The next import would bring back what somebody has removed."""
    origin = Origin("a#1", "t1", {})
    async with uow_factory() as uow:
        await add(uow, a_task(id="t1"))
        await uow.origins.put("github", [origin])
        await uow.commit()
    async with uow_factory() as uow:
        await uow.tasks.delete("t1")
        await uow.commit()
    async with uow_factory() as uow:
        assert await uow.origins.find("github", ["a#1"]) == {"a#1": origin}
