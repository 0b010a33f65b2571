"""Which measurements `python -m bench` takes."""

import sys
from functools import partial

import pytest
from bench import __main__ as bench
from bench.figures import Figure


@pytest.mark.parametrize(
    ("asked", "measured"),
    [
        (
            [],
            [
                "create",
                "bulk",
                "routing",
                "decisions",
                "duplicates",
                "claims",
                "processes",
                "sync",
                "newcomers",
                "vectors",
            ],
        ),
        (["many-vectors"], ["many-vectors"]),
    ],
)
def test_the_long_measurement_is_made_for_its_name_only(
    asked: list[str], measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make bench` would take half an hour, and nobody would run it."""
    made: list[str] = []

    def recorded(name: str, _asked: object) -> list[Figure]:
        made.append(name)
        return []

    for name in bench.MEASUREMENTS:
        monkeypatch.setitem(bench.MEASUREMENTS, name, partial(recorded, name))
    monkeypatch.setattr(sys, "argv", ["bench", *asked])
    bench.main()
    assert made == measured
