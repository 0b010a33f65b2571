"""Which settings there are, and which of them somebody probably meant."""

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hopper.config.problems import Place, dotted
from hopper.config.settings import Settings

_ALIKE = 0.6
"""How much two names have in common when one may be a slip of the other."""

_NAME = re.compile(r"[\w.-]{1,60}")


@cache
def known() -> Mapping[Place, FieldInfo]:
    """All settings, in the order in which they are declared."""
    return dict(_fields(Settings, ()))


@cache
def sections() -> frozenset[Place]:
    """What holds settings, and has no value of its own."""
    return frozenset(place[:length] for place in known() for length in range(len(place)))


def _fields(model: type[BaseModel], above: Place) -> Iterator[tuple[Place, FieldInfo]]:
    for name, field in model.model_fields.items():
        inner: Any = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _fields(inner, (*above, name))
        else:
            yield (*above, name), field


def meant(place: Place) -> str:
    """A sentence with the setting that was probably meant, or how to go on without."""
    *above, name = place
    depth = len(above)
    if "." in name:
        return "Where it has a dot, write a section with the rest below it."
    if near := closest(name, {found[depth] for found in known() if found[:depth] == place[:depth] and found[depth:]}):
        return f"Did you mean {dotted((*above, near))!r}?"
    elsewhere = {found[-1]: found for found in reversed(list(known()))}
    if near := closest(name, elsewhere):
        return f"Did you mean {dotted(elsewhere[near])!r}?"
    return "Remove it, or correct its name."


def closest(name: str, names: Collection[str], alike: float = _ALIKE) -> str | None:
    """The one of the names that is most like this one, if any is like it."""
    return next(iter(get_close_matches(name, names, 1, alike)), None)


def fit_to_show(name: str) -> str:
    """A name that somebody gave, unless it may be something else, such as a line without its colon."""
    return repr(name) if _NAME.fullmatch(name) else "with such a name"
