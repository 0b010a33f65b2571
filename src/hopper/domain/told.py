"""What another machine says, taken only as what it has to be. The rest is a ValueError or a TypeError."""

import re
from typing import Any

from hopper.domain.ids import ID

_LONGEST = 100_000
_UNTELLABLE = re.compile("[\x00\ud800-\udfff]")
"""What can be neither stored nor written as UTF-8."""


def text(said: Any, most: int = _LONGEST) -> str:
    """A text of so many characters at most."""
    if not isinstance(said, str) or len(said) > most or _UNTELLABLE.search(said):
        raise ValueError("no such text")
    return said


def matching(said: Any, pattern: re.Pattern[str]) -> str:
    """A text that is as a whole what the pattern says."""
    if not pattern.fullmatch(said):
        raise ValueError("another text")
    return str(said)


def identifier(said: Any) -> str:
    """An id that also means itself in an address."""
    if not matching(said, ID).strip("."):
        raise ValueError("a part of a path")
    return str(said)


def whole(said: Any, least: int = 0) -> int:
    """A whole number that JSON keeps as it is everywhere."""
    if type(said) is not int or not least <= said < 2**53:
        raise ValueError("no such number")
    return said


def share(said: Any) -> float:
    """A number from 0 to 1."""
    if type(said) not in (int, float) or not 0 <= said <= 1:
        raise ValueError("no share")
    return float(said)
