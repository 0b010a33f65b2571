"""How alike texts are by their words: BM25 (Robertson and Zaragoza 2009), as a share of a text's likeness to itself."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from hopper.domain.text import Text

_K1 = 1.2
_B = 0.75
"""The usual values: how soon a word's repetition stops counting, and how much a text's length does."""

_FEWEST = 1_000
"""Fewer texts don't tell which words are common: the first two tasks would share nothing that counts."""


def weights(frequencies: Mapping[str, int], texts: int) -> dict[str, float]:
    """What a word says of a text: the more, the fewer texts have it; nothing when half of them do."""
    texts = max(texts, _FEWEST)
    return {word: max(0.0, math.log((texts - n + 0.5) / (n + 0.5))) for word, n in frequencies.items()}


def promising(postings: Mapping[str, Iterable[str]], weighed: Mapping[str, float], limit: int) -> tuple[str, ...]:
    """The ids whose shared words weigh most."""
    totals: dict[str, float] = defaultdict(float)
    for word, ids in postings.items():
        for id in ids:
            totals[id] += weighed[word]
    best = sorted(totals, key=lambda id: (totals[id], id), reverse=True)
    return tuple(id for id in best[:limit] if totals[id] > 0)


def likeness(asked: Text, texts: Sequence[Text], weighed: Mapping[str, float]) -> list[float | None]:
    """How much each text says of what is asked, 1 for a copy; None when no word of it says anything."""
    lengths = [text.length for text in texts if text.length]
    mean = sum(lengths) / len(lengths) if lengths else 1.0
    own = _bm25(asked, asked, weighed, mean)
    return [min(1.0, _bm25(asked, text, weighed, mean) / own) if own else None for text in texts]


def _bm25(asked: Text, text: Text, weighed: Mapping[str, float], mean: float) -> float:
    length = _K1 * (1 - _B + _B * text.length / mean)
    score = 0.0
    for word in asked.words:
        n = text.words.get(word)
        if n:
            score += weighed.get(word, 0.0) * n * (_K1 + 1) / (n + length)
    return score
