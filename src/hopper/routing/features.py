"""What a text model sees of a task: its words, pairs of words and pieces of words, hashed into buckets.

Feature hashing (Weinberger et al. 2009) keeps the model's size the same however many words there are, and needs no
dictionary. Title and description share their words' buckets; the first lines of a description count once more, since
they say what kind of task it is.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from hopper.domain.task import Tags, labels
from hopper.domain.text import normalized
from hopper.domain.training import READ_LENGTH

BUCKETS = 1 << 16

_TITLE_WORDS = 200
_BODY_WORDS = 400
HEAD = 300
"""Characters of a description that are its first lines."""

_PIECES = range(2, 6)
_WORD = re.compile(r"\w[\w+#\u0300-\u036f\u064b-\u065f\u0900-\u0963\u0966-\u0eff]*")
"""Vowel signs and other marks belong to their word: of accents, of Arabic, and of the scripts of South Asia."""


@dataclass(frozen=True, slots=True)
class Group:
    """Features of one kind: their buckets (int64) and how often they occur, damped (1 + log, float32)."""

    buckets: NDArray[np.int64]
    frequencies: NDArray[np.float32]


def features(title: str, description: str | None, tags: Tags) -> tuple[Group, ...]:
    """The groups that are there; each counts the same, however many features it has."""
    words = _words(title)[:_TITLE_WORDS]
    body = (description or "")[:READ_LENGTH]
    kinds: list[list[str]] = [
        list(_terms(words)),
        list(_pieces(words)),
        list(_terms(_words(body)[:_BODY_WORDS])),
        [f"head {term}" for term in _terms(_words(body[:HEAD]))],
        [f"tag {label}" for label in labels(tags)],
    ]
    return tuple(_group(kind) for kind in kinds if kind)


def wording(title: str, description: str | None, tags: Tags) -> Mapping[str, tuple[int, ...]]:
    """The words and tags of a task's beginning, as a person can read them, with the buckets that stand for them."""
    head = (description or "")[:HEAD]
    terms = {term for text in (title, head) for term in _terms(_words(text)[:_TITLE_WORDS])}
    read = {term: (bucket(term), bucket(f"head {term}")) for term in sorted(terms)}
    tagged = [f"tag {label}" for label in labels(tags)]
    return read | {tag: (bucket(tag),) for tag in tagged}


def bucket(feature: str) -> int:
    return fingerprint(feature) % BUCKETS


def fingerprint(feature: str) -> int:
    """32 bits: unlike buckets, hardly two features share one."""
    return crc32(feature.encode("utf-8", "replace"))


def _words(text: str) -> list[str]:
    return _WORD.findall(normalized(text.casefold(), "NFC"))


def _terms(words: Sequence[str]) -> Iterator[str]:
    yield from words
    for first, second in pairwise(words):
        yield f"{first} {second}"


def _pieces(words: Sequence[str]) -> Iterator[str]:
    """Runs of 2 to 5 characters within a word and its borders: they survive endings, compounds and misspellings."""
    for word in words:
        bordered = f" {word[:50]} "
        for length in _PIECES:
            for start in range(len(bordered) - length + 1):
                yield f"piece {bordered[start : start + length]}"


def _group(kind: Sequence[str]) -> Group:
    counted = Counter(map(bucket, kind))
    frequencies = 1 + np.log(np.fromiter(counted.values(), dtype=np.float32, count=len(counted)))
    return Group(np.fromiter(counted.keys(), dtype=np.int64, count=len(counted)), frequencies)
