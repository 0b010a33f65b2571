"""How much memory processes hold, and whether that grows."""

from time import perf_counter

import numpy as np
import psutil

from bench.figures import Figure

_EVERY_SECONDS = 2.0

_WARM_UP = 0.3
"""The share of the time in which caches may fill."""

_FLAT = 0.05
"""Memory counts as flat if a line through what was held after the warm-up rises by no more than this share of it."""


def resident_megabytes(pid: int) -> float:
    """The server's own process; PostgreSQL's share theirs with the page cache and aren't counted."""
    size: int = psutil.Process(pid).memory_info().rss
    return size / 1_000_000


class Watched:
    """Memory and processor time of processes with all their children, looked at now and then.

    It is their own memory: without the files of programs, and without PostgreSQL's shared buffers, which fill with data
    up to what they are set to. PostgreSQL's children serve for as long as it runs, so its memory is theirs too. The
    server's are started for a task and end with it: what they take is told apart.
    """

    def __init__(self, pids: dict[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._began = perf_counter()
        self._looked = -_EVERY_SECONDS
        self._times: list[float] = []
        self._held: dict[str, list[float]] = {name: [] for name in pids}
        self._training = 0.0
        self._cpu_before = self._cpu()

    def look(self) -> None:
        now = perf_counter() - self._began
        if now - self._looked < _EVERY_SECONDS:
            return
        self._looked = now
        self._times.append(now / 60)
        for name, process in self._processes.items():
            own, *children = [_megabytes(one) for one in _family(process)]
            if name == "server":
                self._training = max(self._training, sum(children))
            else:
                own += sum(children)
            self._held[name].append(own)

    def figures(self) -> list[Figure]:
        found = []
        first = int(len(self._times) * _WARM_UP)
        for name, held in self._held.items():
            slope = float(np.polyfit(self._times[first:], held[first:], 1)[0])
            rise = slope * (self._times[-1] - self._times[first])
            found += [
                Figure(name=f"load: memory of {name}, at the end", value=held[-1], unit="MB"),
                Figure(name=f"load: memory of {name}, growth after the warm-up", value=slope, unit="MB/min"),
                Figure(
                    name=f"load: memory of {name}, rise after the warm-up",
                    value=100 * rise / held[first],
                    unit="%",
                    goal=100 * _FLAT,
                    at_least=False,
                ),
            ]
        found.append(Figure(name="load: memory of the process that learns, at most", value=self._training, unit="MB"))
        return found + [
            Figure(name=f"load: processor time of {name}", value=after - self._cpu_before[name], unit="s")
            for name, after in self._cpu().items()
        ]

    def _cpu(self) -> dict[str, float]:
        found = {}
        for name, process in self._processes.items():
            times = [one.cpu_times() for one in _family(process)]
            own = process.cpu_times()
            gone = own.children_user + own.children_system
            found[name] = sum(one.user + one.system for one in times) + gone
        return found


def _megabytes(process: psutil.Process) -> float:
    try:
        size = process.memory_info()
    except psutil.NoSuchProcess:  # a child that has just ended
        return 0
    megabytes: float = (size.rss - size.shared) / 1e6
    return megabytes


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children()]
