"""`python -m tests.torture`: many rounds, each of four kills and more; stopped with Ctrl-C, it says how to go on."""

import asyncio
import os
import random
import shutil
import signal
import sys
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from time import monotonic

from tests.torture.faults import TROUBLES, fill_disk
from tests.torture.rounds import Told, rounds
from tests.torture.stage import small_disk

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
            await self._stage()

    async def _stage(self) -> None:
        """Some rounds on the same data."""
        stage = self.next // STAGE
        with ExitStack() as opened:
            disk = opened.enter_context(small_disk())
            home = disk or Path(opened.enter_context(TemporaryDirectory(prefix="hopper-torture-")))
            troubles = (*TROUBLES, fill_disk) if disk else TROUBLES
            graph = Path(opened.enter_context(TemporaryDirectory(prefix="hopper-torture-")))
            neo4j = opened.enter_context(EmbeddedNeo4j(graph)) if stage % 3 == 2 else None
            async with rounds(home, f"{self.seed}-{self.next}", neo4j) as played:
                while self.next < min(self._last, (stage + 1) * STAGE):
                    told = await played.round(f"{self.seed}-{self.next}", troubles)
                    self._tell(told, bool(neo4j))
                    self.next += 1
                    if told.wrong:
                        break
            if told.wrong:
                kept = Path(mkdtemp(prefix="hopper-torture-failed-"))
                shutil.copytree(home, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".s.*"))
                (kept / "told.txt").write_text(f"{told}\n")
                _say(f"  its data, logs and told.txt are kept in {kept}")

    def _tell(self, told: Told, graph: bool) -> None:
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
            _say(f"  FAILED after {', '.join(told.faults)}")
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
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))  # nothing is left behind
    run = Run(asked.seed, asked.round, asked.rounds)
    try:
        asyncio.run(run.go())
    except KeyboardInterrupt:
        _say(f"Stopped. Go on with --seed {run.seed} --round {run.next}.")
    _say(run.summary())
    sys.exit(bool(run.failed))


if __name__ == "__main__":
    main()
