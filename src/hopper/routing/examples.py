"""Past tasks as mining sees them, and where which words, tags and priorities occur among them.

This runs in a thread beside a server's event loop: no single step may hold Python's lock for long, as sorting a large
list would. Sorting an array lets others go on.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hopper.domain.ids import InstanceId
from hopper.domain.task import Priority, Tags
from hopper.routing.rules import Conditions, Criterion
from hopper.routing.terms import may_be_term, public_words, tag_terms, words

Numbers = NDArray[np.int64]
"""Numbers of examples, ascending: the newest is 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A task with a known outcome: it belonged to `target`, or, where that is None, it didn't belong to `wrong`."""

    text: str
    tags: Tags
    priority: Priority | None
    target: InstanceId | None
    wrong: InstanceId | None = None


class Occurrences:
    """For each criterion that at least `support` of the examples meet, which ones do."""

    def __init__(self, examples: Sequence[Example], support: int) -> None:
        self._of: dict[Criterion, Numbers] = {}
        self._add_words(examples, support)
        self._add_labels(examples, support)

    def of(self, criteria: Conditions) -> Numbers | None:
        """The examples that meet all of these criteria; None when too few meet one of them."""
        found: Numbers | None = None
        for criterion in criteria:
            here = self._of.get(criterion)
            if here is None:
                return None
            found = here if found is None else np.intersect1d(found, here, assume_unique=True)
        return found

    def distinct(self) -> Mapping[Criterion, Numbers]:
        """One criterion for each set of examples; of those that say the same of the past, the plainest one."""
        kept: dict[bytes, Criterion] = {}
        for criterion, numbers in self._of.items():
            same = numbers.tobytes()
            kept[same] = min(kept.get(same, criterion), criterion, key=_plainness)
        return {criterion: self._of[criterion] for criterion in kept.values()}

    def _add_words(self, examples: Sequence[Example], support: int) -> None:
        """Words and phrases of two. Only public words are terms, but they are counted wherever they stand."""
        public = Counter(word for example in examples for word in set(public_words(example.text)))
        terms = [word for word, count in public.items() if count >= support and may_be_term(word)]
        number = {word: at for at, word in enumerate(terms)}
        ids, owners = _flat(examples, number)
        known = ids >= 0
        pairs = known[:-1] & known[1:] & (owners[:-1] == owners[1:])
        for at, here in _grouped(ids[known], owners[known], support):
            self._of[Criterion("text", terms[at])] = here
        for at, here in _grouped((ids[:-1] * len(terms) + ids[1:])[pairs], owners[:-1][pairs], support):
            first, second = divmod(at, len(terms))
            self._of[Criterion("text", f"{terms[first]} {terms[second]}")] = here

    def _add_labels(self, examples: Sequence[Example], support: int) -> None:
        having: dict[Criterion, list[int]] = defaultdict(list)
        for at, example in enumerate(examples):
            for term in tag_terms(example.tags):
                having[Criterion("tag", term)].append(at)
            if example.priority:
                having[Criterion("priority", example.priority.value)].append(at)
        self._of |= {c: np.array(here, dtype=np.int64) for c, here in having.items() if len(here) >= support}


def _flat(examples: Sequence[Example], number: Mapping[str, int]) -> tuple[Numbers, Numbers]:
    """All words of all examples in a row, as numbers (-1 for those that are no terms), and whose they are."""
    parts = [np.fromiter((number.get(word, -1) for word in words(example.text)), np.int64) for example in examples]
    lengths = [len(part) for part in parts]
    return np.concatenate([*parts, np.zeros(0, np.int64)]), np.repeat(np.arange(len(parts)), lengths)


def _grouped(keys: Numbers, owners: Numbers, support: int) -> list[tuple[int, Numbers]]:
    """The owners of each key that has enough of them."""
    if len(keys) == 0:
        return []
    most = int(owners.max()) + 1
    both = np.sort(keys * most + owners)
    both = both[np.diff(both, prepend=-1) > 0]
    keys, owners = both // most, both % most
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    ends = np.append(starts[1:], len(keys))
    enough = ends - starts >= support
    return [(int(keys[start]), owners[start:end]) for start, end in zip(starts[enough], ends[enough], strict=True)]


def _plainness(criterion: Criterion) -> tuple[bool, int, int, Criterion]:
    """Tags before texts, words before phrases, long words before short ones."""
    return criterion.kind != "tag", len(criterion.term.split()), -len(criterion.term), criterion
