"""What may be said of tasks outside: words that several of them share, and that look like nobody's own.

A word counts only where it stands by itself, written in small letters alone: so that neither names, nor parts of
addresses, hosts, paths, identifiers, versions or numbers ever do, and not because a pattern of one was recognised.
Languages that write nouns with capitals lose those, and scripts without small letters all of their words; what is lost
here is less than what would be lost otherwise.
"""

import re
from collections import Counter
from collections.abc import Iterable

from hopper.domain.pattern import Criteria
from hopper.domain.text import folded, normalized

MIN_SUPPORT = 3
"""So many tasks have to have a word, or a tag, before it is told."""

_AROUND = "\"'“”\u2018\u2019„«»()[]{}<>.,;:!?…*`"
_BETWEEN = re.compile(r"[-_ ]")
"""Stands between the words of a tag."""

_LONGEST = 20
_UNPRONOUNCEABLE = re.compile(r"[bcdfghjklmnpqrstvwxz]{5}|q(?!u)|(.)\1\1")
_GAP = "|"
"""Keeps the words on both sides of what was left out from making a phrase."""


class Filter:
    """Decides by `private` (names and words that never leave) and by what the tasks say that it has seen."""

    def __init__(self, private: Iterable[str], min_support: int = MIN_SUPPORT) -> None:
        self._private = frozenset(word for text in private for word in folded(text).split() if len(word) > 1)
        self._min_support = min_support
        self._texts: list[str] = []
        self._words: Counter[str] = Counter()
        self._tags: Counter[str] = Counter()
        self._support: dict[str, int] = {}

    def see(self, text: str, tags: Iterable[str]) -> None:
        """Hear of a task, before anything is asked."""
        self._texts.append(clean := self._clean(text))
        self._words.update(set(clean.split()))
        self._tags.update({tag.strip().casefold() for tag in tags if self._is_plain_tag(tag)})

    def passes(self, criteria: Criteria | None, *, of_tags: bool) -> bool:
        """Whether all that criteria ask for, and all that they refuse, may be told."""
        if criteria is None:
            return True
        passes = self.passes_tag if of_tags else self.passes_term
        return all(passes(term) for term in (*criteria.any, *criteria.all, *criteria.none))

    def passes_tag(self, tag: str) -> bool:
        """Whether a tag may be told; one with a value never is: values say whose something is."""
        return self._is_plain_tag(tag) and self._tags[tag.strip().casefold()] >= self._min_support

    def passes_term(self, term: str) -> bool:
        """Whether a word or phrase may be told."""
        phrase = folded(term)
        words = phrase.split()
        if not words or any(self._words[word] < self._min_support for word in words):
            return False
        if len(words) > 1 and phrase not in self._support:
            self._support[phrase] = sum(phrase in text for text in self._texts)
        return len(words) == 1 or self._support[phrase] >= self._min_support

    def _clean(self, text: str) -> str:
        return f" {' '.join(self._plain(token.strip(_AROUND)) for token in normalized(text, 'NFKC').split())} "

    def _is_plain_tag(self, tag: str) -> bool:
        return _GAP not in map(self._plain, _BETWEEN.split(tag.strip()))

    def _plain(self, word: str) -> str:
        """A word as it is compared; _GAP unless it is of small letters alone, can be pronounced, and isn't private."""
        if not (word.isalpha() and all(map(str.islower, word))):
            return _GAP
        plain = folded(word).strip()
        may_be_told = (
            plain.isalpha()
            and len(plain) <= _LONGEST
            and plain not in self._private
            and not _UNPRONOUNCEABLE.search(plain)
        )
        return plain if may_be_told else _GAP
