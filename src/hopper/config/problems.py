"""Where a setting was given, and what can be wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hopper.domain.errors import HopperError

Place = tuple[str, ...]
"""The way to a setting: ("database", "postgres", "url")."""


def dotted(place: Place) -> str:
    return ".".join(place)


@dataclass(frozen=True, slots=True)
class Origin:
    """What gave a setting its value: nobody, a line of a file, a variable, or a flag, which `name` is of."""

    source: Literal["default", "file", "environment", "flag"] = "default"
    name: str = ""
    line: int | None = None

    @property
    def told(self) -> str:
        """As it stands in a sentence."""
        match self.source:
            case "file":
                return f"in {self.name}" + (f", line {self.line}" if self.line else "")
            case "environment":
                return f"from the environment, {self.name}"
            case "flag":
                return f"given on the command line{f', {self.name}' if self.name else ''}"
            case "default":
                return "the default"

    @property
    def short(self) -> str:
        """As it stands in a table."""
        return f"{self.name}:{self.line}" if self.line else self.name or self.source


DEFAULT = Origin()


@dataclass(frozen=True, slots=True)
class Problem:
    """Something to mend; the message says how, and holds no secret."""

    message: str
    place: Place = ()
    origin: Origin = DEFAULT


class BadConfiguration(HopperError):
    """Settings are unknown or have values that can't be used; a line tells of each."""

    slug = "bad-configuration"

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems) or (Problem(message),)


class Contradiction(ValueError):
    """Settings that don't go together. In the message `{0}`, `{1}` … stand for the `places` that it tells of.

    `depends` are further places that it wouldn't be told without.
    """

    def __init__(self, message: str, *places: Place, depends: Sequence[Place] = ()) -> None:
        super().__init__(message.format(*(repr(dotted(place)) for place in places)))
        self.template = message
        self.places = places
        self.depends = (*places, *depends)
