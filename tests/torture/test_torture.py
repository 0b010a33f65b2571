"""A short torture; `make torture` is the long one."""

import random
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.torture.rounds import rounds


async def test_nothing_acknowledged_is_lost_whatever_is_killed() -> None:
    """Somebody would lose a task that a server had taken, or two workers would do the same, after a bad night."""
    seed = f"{random.randrange(10**9)}"
    with TemporaryDirectory(prefix="hopper-torture-") as home:
        async with rounds(Path(home), seed) as played:
            told = await played.round(seed)
    assert not told.wrong, told
    assert told.writes, told
