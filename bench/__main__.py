"""`python -m bench [MEASUREMENT …]`: print the figures, each beside its goal."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from bench import (
    bulk,
    claims,
    cli,
    create,
    decisions,
    duplicates,
    graph,
    growth,
    mixed,
    newcomers,
    processes,
    routing,
    sync,
    upgrade,
    vectors,
)
from bench.figures import Figure

DATA = Path(__file__).parents[2] / "shared" / "data"

MEASUREMENTS: dict[str, Callable[[Namespace], list[Figure]]] = {
    "create": lambda _: create.measure(),
    "bulk": lambda asked: bulk.measure(asked.data),
    "routing": lambda asked: routing.measure(asked.data),
    "decisions": lambda asked: decisions.measure(asked.data),
    "duplicates": lambda asked: duplicates.measure(asked.data),
    "claims": lambda _: claims.measure(),
    "processes": lambda _: processes.measure(),
    "sync": lambda _: sync.measure(),
    "newcomers": lambda asked: newcomers.measure(asked.data),
    "vectors": lambda _: vectors.measure(vectors.SIZES),
    "graph": lambda _: graph.measure(),
    "many-vectors": lambda _: vectors.measure(vectors.LARGE_SIZES),
    "cli": lambda _: cli.measure(),
    "load": lambda asked: mixed.measure(asked.seconds),
    "growth": lambda asked: growth.measure(asked.sizes, asked.place),
    "upgrade": lambda _: upgrade.measure(),
}
_ON_REQUEST = 6
"""So many of them, the last, take long or need more, and are made for their names only."""


def main() -> None:
    parser = ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "measurements",
        nargs="*",
        metavar="MEASUREMENT",
        help=f"{', '.join(MEASUREMENTS)}; all but the last six by default",
    )
    parser.add_argument("--data", type=Path, default=DATA, help="where the data sets are")
    parser.add_argument("--seconds", type=float, default=600, help="how long load goes on")
    parser.add_argument("--sizes", type=int, nargs="+", default=growth.SIZES, metavar="TASKS", help="for growth")
    parser.add_argument("--place", type=Path, default=growth.PLACE, help="where growth keeps its databases")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    unknown = set(asked.measurements) - MEASUREMENTS.keys()
    if unknown:
        parser.error(f"there is no measurement {min(unknown)!r}; there are {', '.join(MEASUREMENTS)}")
    names = asked.measurements or [*MEASUREMENTS][:-_ON_REQUEST]
    figures = [figure for name in names for figure in _told(MEASUREMENTS[name](asked), asked.json)]
    if asked.json:
        print(json.dumps([{**asdict(figure), "met": figure.met} for figure in figures], indent=2))


def _told(figures: list[Figure], silent: bool) -> list[Figure]:
    """Print each figure as soon as it is known."""
    for figure in () if silent else figures:
        bound = "" if figure.goal is None else f"goal {'≥' if figure.at_least else '≤'} {figure.goal:g} {figure.unit}"
        verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
        value = f"{figure.value:,.0f}" if figure.value >= 100 else f"{figure.value:.3g}"
        print(f"{figure.name:<50} {value:>9} {figure.unit:<8} {bound:<20} {verdict}".rstrip(), flush=True)
    return figures


if __name__ == "__main__":
    main()
