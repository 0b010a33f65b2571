"""Putting the settings together: defaults < file < environment < flags.

pydantic-settings would do as much, but it doesn't say which line of a file, or which variable, a value came from.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from hopper.config import environment, file
from hopper.config.file import Given
from hopper.config.names import fit_to_show, known, meant
from hopper.config.problems import DEFAULT, BadConfiguration, Contradiction, Origin, Place, Problem, dotted
from hopper.config.settings import Settings

FLAGS: Mapping[Place, str] = {
    ("home",): "--home",
    ("host",): "--host",
    ("port",): "--port",
    ("database", "postgres", "url"): "--database-url",
    ("database", "neo4j", "enabled"): "--with-graph",
}
"""Which flag of `hopper serve` gives a setting."""

_FOLLOWED: Mapping[Place, Place] = {
    ("embeddings", "model"): ("database", "pgvector", "embedding_model"),
    ("database", "pgvector", "embedding_model"): ("embeddings", "model"),
    ("database", "neo4j", "enabled"): ("database", "neo4j", "url"),
}
"""A setting that isn't given follows from another."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read: the settings, None while there is something to mend, and who gave each that was given."""

    settings: Settings | None
    origins: Mapping[Place, Origin]
    problems: Sequence[Problem]
    file: Path | None

    def required(self) -> Self:
        """The same. Raises BadConfiguration with all there is to mend."""
        if self.problems:
            raise BadConfiguration("\n".join(problem.message for problem in self.problems), self.problems)
        return self

    def origin(self, place: Place) -> Origin:
        """Who gave the setting its value."""
        return self.origins.get(place) or self.origins.get(_FOLLOWED.get(place, ()), DEFAULT)


def load_settings(**flags: Any) -> Settings:
    """The settings in force; flags that are None don't count. Raises BadConfiguration with all there is to mend."""
    settings = read_settings(**flags).required().settings
    assert settings is not None
    return settings


def read_settings(path: Path | None = None, **flags: Any) -> Reading:
    """What all sources say; `path` is the file to read, otherwise the one that is found. Raises BadConfiguration."""
    path = path or file.chosen()
    in_file, problems = file.read(path) if path else ([], [])
    in_environment, slips = environment.read(os.environ)
    merged = _Merged([*in_file, *in_environment, *_flags(flags, ())])
    settings, wrong = merged.validated()
    found = sorted(
        [*problems, *wrong, *slips], key=lambda problem: (problem.origin.source != "file", problem.origin.line or 0)
    )
    return Reading(None if found else settings, merged.origins, found, path)


def _flags(given: Mapping[str, Any], above: Place) -> Iterator[Given]:
    for name, value in given.items():
        place = (*above, name)
        if isinstance(value, Mapping):
            yield from _flags(value, place)
        elif value is not None:
            yield Given(place, value, Origin("flag", FLAGS.get(place, "")))


class _Merged:
    """All that was given, weakest first, as one; `origins` says who had the last word on each."""

    def __init__(self, given: Sequence[Given]) -> None:
        self.origins: dict[Place, Origin] = {}
        self._tree: dict[str, Any] = {}
        self._dropped: set[Place] = set()
        for one in given:
            self._put(one)

    def _put(self, one: Given) -> None:
        section = self._tree
        for step in one.place[:-1]:
            section = section.setdefault(step, {})
            if not isinstance(section, dict):
                return  # something else stands where a section should be, and that is told of
        section[one.place[-1]] = one.value
        self.origins[one.place] = one.origin

    def validated(self) -> tuple[Settings | None, list[Problem]]:
        """The settings and what is wrong: once a wrong value is out of the way, what it hid comes out as well."""
        problems: list[Problem] = []
        while True:
            try:
                return Settings.model_validate(self._tree), problems
            except ValidationError as error:
                places: list[Place] = []
                for one in error.errors(include_url=False, include_input=False):
                    found, concerned = self._told(one)
                    problems += found
                    places += concerned
                if not [place for place in places if self._drop(place)]:
                    return None, problems

    def _told(self, error: Any) -> tuple[list[Problem], Sequence[Place]]:
        """The problems of one of pydantic's errors, and the places without which it wouldn't be."""
        place = self._place(error["loc"])
        reason = (error.get("ctx") or {}).get("error")
        if isinstance(reason, Contradiction):
            return [] if self._dropped.intersection(reason.depends) else [self._contradiction(reason)], reason.depends
        key, origin = fit_to_show(dotted(place)), self._origin(place)
        if error["type"] == "extra_forbidden":
            message = f"There is no setting {key} ({origin.told}). {meant(place)}"
        else:
            message = f"The setting {key} ({origin.told}) is wrong: {_reason(error)}."
        return [Problem(message, place, origin)], [place]

    def _contradiction(self, reason: Contradiction) -> Problem:
        given = [place for place in reason.places if place in self.origins]
        named = (f"{dotted(place)!r} ({self._origin(place).told})" for place in reason.places)
        place = given[0] if given else reason.places[0]
        return Problem(reason.template.format(*named), place, self.origins.get(place, DEFAULT))

    def _place(self, location: Sequence[int | str]) -> Place:
        """The setting or section that a location leads to, which may go on into a list."""
        whole = tuple(str(step) for step in location)
        settings = [whole[:length] for length in range(len(whole), 0, -1) if whole[:length] in known()]
        return settings[0] if settings else whole

    def _origin(self, place: Place) -> Origin:
        """Who gave a setting, or the first in a section."""
        if place in self.origins:
            return self.origins[place]
        below = [origin for given, origin in self.origins.items() if given[: len(place)] == place]
        return below[0] if below else DEFAULT

    def _drop(self, place: Place) -> bool:
        """Whether there was such a value; it isn't there any more."""
        self._dropped.add(place)
        section: Any = self._tree
        for step in place[:-1]:
            section = section.get(step)
            if not isinstance(section, dict):
                return False
        return bool(place) and section.pop(place[-1], self) is not self


def _reason(error: Any) -> str:
    """pydantic's words, or better ones; neither repeats the value."""
    match error["type"]:
        case "model_type" | "model_attributes_type":
            return "it holds settings of its own, each `name: value` on a line below it"
        case "string_type":
            return "it has to be a text; put quotes around it"
        case _:
            return str(error["msg"]).removeprefix("Value error, ")
