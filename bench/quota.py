"""Less than a core for a process, by Linux's control groups, so that the cores aren't what several processes share."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import sleep

_GROUPS = Path("/sys/fs/cgroup")
_PERIOD = 10_000
"""Microseconds: short, so that a process which has used up its share doesn't keep requests for long."""


@contextmanager
def shares(pids: Sequence[int], cores: float) -> Iterator[bool]:
    """Each process gets so much of a core and no more while the block lasts; False where one may not say so."""
    with ExitStack() as given:
        try:
            for pid in pids:
                given.enter_context(_share(pid, cores))
        except OSError:
            given.close()
            yield False
            return
        yield True


@contextmanager
def _share(pid: int, cores: float) -> Iterator[None]:
    """By cgroup-v2's or, where there is that, by cgroup-v1's names (the kernel's documentation, "CPU Controller")."""
    first = (_GROUPS / "cpu").is_dir()
    parent = _GROUPS / "cpu" if first else _GROUPS
    quota = round(cores * _PERIOD)
    group = parent / f"hopper-bench-{os.getpid()}-{pid}"
    group.mkdir()
    try:
        if first:
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (group / "cpu.max").write_text(f"{quota} {_PERIOD}")
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for left in (group / "cgroup.procs").read_text().split():
            (parent / "cgroup.procs").write_text(left)
        sleep(0.1)  # a group can be removed once its last process has left
        group.rmdir()
