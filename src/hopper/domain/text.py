"""What a text says, word by word."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from unicodedata import normalize

_MANY_MARKS = re.compile(r"[^\w\s\x21-\x7e]{30}")
_JOINER = "\u034f"
_WORD = re.compile(r"\w[\w+#]*")  # C++ and C# are words of their own


def normalized(text: str, form: Literal["NFC", "NFKC"]) -> str:
    """The text with é as é, however it is encoded.

    Runs of more marks than any script has are broken up first, as UAX #15's stream-safe format does: putting thousands
    in order would take seconds.
    """
    return normalize(form, _MANY_MARKS.sub(lambda marks: marks[0] + _JOINER, text))


def folded(text: str) -> str:
    """Lower-cased words between single spaces, so that a phrase is found by `in`; é is é, however it is encoded."""
    return f" {' '.join(_WORD.findall(normalized(text, 'NFKC').casefold()))} "


@dataclass(frozen=True, slots=True)
class Text:
    """Words and how often a text has them; `length` is how many different words it has, also those not named."""

    words: Mapping[str, int]
    length: int
