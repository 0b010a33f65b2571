"""`python -m tests.torture`: many rounds, each of four kills and more; stopped with Ctrl-C, it says how to go on."""

import asyncio
import random
import shutil
import sys
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic

from tests.torture.rounds import Told, rounds

from hopper.services.neo4j import EmbeddedNeo4j

STAGE = 10
"""Rounds on the same data; every third stage has a Neo4j."""


class Run:
    """Rounds from one on, all of whose chance comes from one seed."""

    def __init__(self, seed: int, first: int, last: int) -> None:
        self.seed = seed
        self.next = first
        self._last = last
        self._began = monotonic()
        self._slowest = 0.0
        self.kills = self.writes = self.failed = 0

    async def go(self) -> None:
        while self.next < self._last:
            await self._stage(Path(mkdtemp(prefix="hopper-torture-")))

    async def _stage(self, home: Path) -> None:
        stage = self.next // STAGE
        told: Told | None = None
        with ExitStack() as opened:
            neo4j = opened.enter_context(EmbeddedNeo4j(home)) if stage % 3 == 2 else None
            async with rounds(home, f"{self.seed}-{self.next}", neo4j) as played:
                while self.next < min(self._last, (stage + 1) * STAGE):
                    told = await played.round(f"{self.seed}-{self.next}")
                    self._tell(told, home, bool(neo4j))
                    self.next += 1
                    if told.wrong:
                        break
        if not (told and told.wrong):
            shutil.rmtree(home)

    def _tell(self, told: Told, home: Path, graph: bool) -> None:
        self.kills += told.kills
        self.writes += told.writes
        self._slowest = max(self._slowest, told.ready_seconds)
        rate = 60 * self.kills / (monotonic() - self._began)
        _say(
            f"round {self.next} seed {told.seed}{' with Neo4j' if graph else ''}: {told.kills} kills, {told.writes} "
            f"writes, ready after {told.ready_seconds:.1f} s; {self.kills} kills so far, {rate:.0f} a minute"
        )
        if told.wrong:
            self.failed += 1
            _say(f"  FAILED after {', '.join(told.faults)}; all of it is kept in {home}")
            for wrong in told.wrong[:20]:
                _say(f"  {wrong}")

    def summary(self) -> str:
        return (
            f"{self.kills} kills, {self.writes} acknowledged writes, {self.failed} rounds failed; the slowest was "
            f"ready {self._slowest:.1f} s after PostgreSQL"
        )


def _say(sentence: str) -> None:
    print(sentence, flush=True)  # noqa: T201


def main() -> None:
    parser = ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--rounds", type=int, default=250)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--round", type=int, default=0, help="the first one")
    asked = parser.parse_args()
    run = Run(asked.seed, asked.round, asked.rounds)
    try:
        asyncio.run(run.go())
    except KeyboardInterrupt:
        _say(f"Stopped. Go on with --seed {run.seed} --round {run.next}.")
    _say(run.summary())
    sys.exit(bool(run.failed))


if __name__ == "__main__":
    main()
