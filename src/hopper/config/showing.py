"""The settings in force, fit to be shown: each with its value and with who gave it."""

from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from hopper.config.names import known
from hopper.config.problems import Origin, Place, dotted
from hopper.config.reading import Reading
from hopper.config.urls import MASK, masked


def shown(reading: Reading) -> Iterator[tuple[Place, Any, Origin]]:
    """Every setting; secrets are masked. Nothing while there is something to mend."""
    for place in known() if reading.settings else ():
        yield place, _fit(attrgetter(dotted(place))(reading.settings)), reading.origin(place)


def secrets_in_file(reading: Reading) -> list[Place]:
    """The secrets that stand in the file."""
    return [
        place
        for place, value, origin in shown(reading)
        if origin.source == "file" and isinstance(value, str) and MASK in value
    ]


def _fit(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, Path):
        return str(value)
    return masked(value) if isinstance(value, str) and "://" in value else value
