"""What can be wrong with an embedded Neo4j, and how a person mends it."""

from pathlib import Path

from hopper.domain.errors import HopperError
from hopper.services.extras import how_to_install
from hopper.services.postgres_errors import about_the_disk

_MEMORY = ("insufficient memory", "Could not reserve enough space", "OutOfMemoryError", "Cannot allocate memory")

_KILLED = {-9, 137}


class Neo4jMissing(HopperError):
    """The packages that bring Neo4j aren't installed."""

    slug = "neo4j-missing"


class Neo4jFailed(HopperError):
    """Neo4j couldn't be fetched, or wouldn't start or stop."""

    slug = "neo4j-failed"


def missing(package: str, extra: str = "graph") -> Neo4jMissing:
    """The error for a package of the extra that isn't there."""
    return Neo4jMissing(f"The graph needs packages that aren't installed ({package}): {how_to_install(extra)}.")


def failed(home: Path, said: str, code: int | None) -> HopperError:
    """The error for a Neo4j that ended with the exit code `code` (None: unknown) and said `said`."""
    if any(sign in said for sign in _MEMORY):
        return Neo4jFailed("Neo4j ended for want of memory. It needs about 600 MB: free some, and start it again.")
    if code in _KILLED:
        return Neo4jFailed(
            "Neo4j was killed while it started, most likely by the system for want of memory. It needs about 600 MB: "
            "free some, and start it again."
        )
    if full := about_the_disk(home, said):
        return full
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    worst = [line for line in lines if line.startswith("Caused by:") or " ERROR " in line or line.startswith("Error")]
    reason = ([*lines[-1:], *worst] or ["it gave no reason"])[-1][:300]
    return Neo4jFailed(
        f"Neo4j wouldn't start: {reason} (more in {home}/neo4j/logs). If you can't mend that, stop Hopper and remove "
        f"{home}/neo4j: the graph is made again from the database."
    )
