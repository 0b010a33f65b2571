"""How much memory a process holds."""

import psutil


def resident_megabytes(pid: int) -> float:
    """The server's own process; PostgreSQL's share theirs with the page cache and aren't counted."""
    size: int = psutil.Process(pid).memory_info().rss
    return size / 1_000_000
