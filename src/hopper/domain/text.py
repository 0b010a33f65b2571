"""What a text says, word by word."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """Words and how often a text has them; `length` is how many different words it has, also those not named."""

    words: Mapping[str, int]
    length: int
