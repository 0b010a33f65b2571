"""Which of a task's words and tags may become criteria of a learned pattern.

No list of stop words: what says nothing about the target is found out by counting, in any language. But a pattern is
shown to people and may travel, so what looks like a secret, a number, an id or an address is never a term.
"""

import re

from hopper.domain.task import Tags, labels
from hopper.domain.text import folded

_PRIVATE = re.compile(
    r"""[^\s@]{1,64}@[^\s@]+                                       # mail addresses
    | \w{1,20}://\S+ | www\.\S+                                  # web addresses
    | (?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key)\s*[:=]\s*\S+
    | (?<![\w-])(?=[\w-]*\d)(?=[\w-]*[^\W\d])[\w-]{12,}           # long and mixed: keys, UUIDs
    """,
    re.VERBOSE | re.IGNORECASE,
)
_MIXED_CASE = re.compile(r"\b[A-Z]*(?:[a-z]+[A-Z]+){5,}\w*")
"""Upper and lower case at random, as in keys."""

_HEX = re.compile(r"[0-9a-f]{6,}")
_BARRIER = " 0 "
"""Stands where something private stood: a number is no term, and no phrase reaches across it."""

_LONGEST = 40
_DIGITS = 3


def words(text: str) -> list[str]:
    """The words of a text as patterns compare them, in order."""
    return folded(text).split()


def public(text: str) -> str:
    """The text without what looks private."""
    return _MIXED_CASE.sub(_BARRIER, _PRIVATE.sub(_BARRIER, text))


def public_words(text: str) -> list[str]:
    """Its words without what looks private."""
    return words(public(text))


def may_be_term(word: str) -> bool:
    """Whether a word is no number, id or secret, as far as can be told by its looks."""
    digits = sum(character.isdigit() for character in word)
    if digits == 0:
        return len(word) <= _LONGEST
    return digits <= _DIGITS and digits < len(word) <= 2 * _LONGEST // 5 and not _HEX.fullmatch(word)


def tag_terms(tags: Tags) -> set[str]:
    """The tags as patterns name them, without what looks private."""
    public_tags = {
        name: value if isinstance(value, str) and _may_be_tag(value) else True
        for name, value in tags.items()
        if _may_be_tag(name)
    }
    return set(labels(public_tags))


def _may_be_tag(part: str) -> bool:
    found = words(part)
    return bool(found) and public_words(part) == found and all(map(may_be_term, found)) and len(part) <= 2 * _LONGEST
