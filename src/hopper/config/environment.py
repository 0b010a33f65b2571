"""Reading the environment: a few names that are usual elsewhere, and one of Hopper's own for each setting."""

from collections.abc import Iterator, Mapping

from hopper.config.file import Given
from hopper.config.names import closest, known
from hopper.config.problems import Origin, Place, Problem

PREFIX = "HOPPER_"

USUAL: Mapping[str, Place] = {
    "PORT": ("port",),
    "DATABASE_URL": ("database", "postgres", "url"),
    "NEO4J_URL": ("database", "neo4j", "url"),
    "NEO4J_USERNAME": ("database", "neo4j", "username"),
    "NEO4J_PASSWORD": ("database", "neo4j", "password"),
    "HOPPER_ADMIN_KEY": ("auth", "admin_key"),
}
"""Other names of settings, most of them such as other programs and platforms use, too. Hopper's own win over them."""

OTHERS = frozenset({"HOPPER_SERVER", "HOPPER_CONFIG", "HOPPER_API_KEY", "HOPPER_SYNC_TOKEN", "HOPPER_TEAM_KEY"})
"""Variables of Hopper's that are no settings; a test holds them equal to those that the code reads."""

_ALIKE = 0.75
"""Kubernetes gives its pods variables such as HOPPER_SERVICE_HOST, which are nobody's slip."""


def own_name(place: Place) -> str:
    """HOPPER_DATABASE__POSTGRES__URL for database.postgres.url."""
    return PREFIX + "__".join(place).upper()


def names_of(place: Place) -> list[str]:
    """The variables that give a setting; a later one wins."""
    return [*(name for name, usual in USUAL.items() if usual == place), own_name(place)]


def read(environment: Mapping[str, str]) -> tuple[list[Given], list[Problem]]:
    """The settings of the environment, weakest first, and the variables that are slips; empty ones don't count."""
    given = [
        Given(place, value, Origin("environment", name))
        for place in known()
        for name in names_of(place)
        if (value := environment.get(name))
    ]
    return given, list(_slips(name for name, value in environment.items() if value))


def _slips(names: Iterator[str]) -> Iterator[Problem]:
    settings = {own_name(place) for place in known()}
    right = {name.removeprefix(PREFIX): name for name in (*USUAL, *OTHERS, *settings)}
    for name in names:
        if not name.startswith(PREFIX) or name in settings | OTHERS | USUAL.keys():
            continue
        near = closest(name.removeprefix(PREFIX), right, _ALIKE)
        if near or "__" in name:
            advice = f"Did you mean {right[near]}?" if near else "Unset it, or correct its name."
            yield Problem(f"There is no setting for the variable {name}. {advice}", origin=Origin("environment", name))
