"""What is counted of what happens."""

from hopper.ports import Ports
from hopper.ports.tally import Counted


async def test_only_what_was_committed_counts(ports: Ports) -> None:
    """The numbers would tell of claims and decisions that nobody has."""
    async with ports.unit_of_work() as uow:
        uow.count(Counted.CLAIM)
    assert ports.tally[Counted.CLAIM, ""] == 0
    async with ports.unit_of_work() as uow:
        uow.count(Counted.CLAIM)
        await uow.commit()
    assert ports.tally[Counted.CLAIM, ""] == 1
