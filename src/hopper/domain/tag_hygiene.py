"""Which tags probably mean the same, and which nobody needs."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hopper.domain.graph import TagUse
from hopper.domain.graph_answer_models import AnsweredBy
from hopper.domain.text import normalized

_SEPARATORS = str.maketrans("", "", "-_ .")
_FEWEST, _MOST = 5, 50
"""Letters that names have which are compared for typing errors: shorter ones are too easily other words, and longer
ones make too many variants."""

_SHORTEST_PLURAL = 4
_WHOLE, _SINGULAR = -1, -2
_Key = tuple[int, str]


class Likeness(StrEnum):
    """Why a tag may be another one's double, the surest reason first."""

    SAME_LETTERS = "same_letters"
    PLURAL = "plural"
    ONE_EDIT = "one_edit"


class Uselessness(StrEnum):
    """Why a tag stands alone."""

    NO_TASK = "no_task"
    ONE_TASK = "one_task"


@dataclass(frozen=True, slots=True)
class Double:
    """A tag that is probably the same as the one that is used most, and why.

    `same_letters`: but for upper and lower case and `-`, `_`, `.` and spaces; `plural`: one is the other's plural;
    `one_edit`: one letter is another, missing, added, or swapped with the next one.
    """

    name: str
    tasks: int
    patterns: int
    why: Likeness


@dataclass(frozen=True, slots=True)
class TagGroup:
    """A tag, and those that are probably meant to be the same."""

    name: str
    tasks: int
    patterns: int
    doubles: tuple[Double, ...]


@dataclass(frozen=True, slots=True)
class OrphanTag:
    """A tag that a pattern asks for and no task has, or that one task has and no pattern asks for."""

    name: str
    why: Uselessness


@dataclass(frozen=True, slots=True, kw_only=True)
class TagHygiene:
    """What may be tidied up among all `tags`; the groups with most tasks first. The totals are exact."""

    tags: int
    groups: tuple[TagGroup, ...]
    total_groups: int
    orphans: tuple[OrphanTag, ...]
    total_orphans: int
    truncated: bool
    answered_by: AnsweredBy = AnsweredBy.POSTGRESQL

    @property
    def size(self) -> int:
        """Of how many tags it tells, about."""
        return 2 * len(self.groups) + len(self.orphans) + 1


def tag_hygiene(tags: Sequence[TagUse], limit: int) -> TagHygiene:
    """In time that grows with the letters of all tags, not with the square of their number."""
    groups = sorted(_groups(tags), key=lambda group: (-_tasks(group), group.name))
    orphans = sorted(_orphans(tags), key=lambda one: (one.why is Uselessness.ONE_TASK, one.name))
    return TagHygiene(
        tags=len(tags),
        groups=tuple(groups[:limit]),
        total_groups=len(groups),
        orphans=tuple(orphans[:limit]),
        total_orphans=len(orphans),
        truncated=max(len(groups), len(orphans)) > limit,
    )


def _tasks(group: TagGroup) -> int:
    return group.tasks + sum(double.tasks for double in group.doubles)


def _orphans(tags: Sequence[TagUse]) -> Iterator[OrphanTag]:
    for tag in tags:
        if tag.tasks == 0 and tag.patterns:
            yield OrphanTag(tag.name, Uselessness.NO_TASK)
        elif tag.tasks == 1 and not tag.patterns:
            yield OrphanTag(tag.name, Uselessness.ONE_TASK)


def _groups(tags: Sequence[TagUse]) -> Iterator[TagGroup]:
    """Around each tag, the most used first, those near it that are still left.

    Tags lie in buckets, by what is left of them without this or that letter (deletion neighbourhoods; Mor and Fraenkel
    1982). All in a bucket are equally near to whoever asks for it, and so taken at once: each is emptied just once.
    """
    forms = {tag.name: folded(tag.name) for tag in tags}
    buckets: dict[_Key, list[TagUse]] = defaultdict(list)
    for tag in tags:
        for key in _kept_under(forms[tag.name]):
            buckets[key].append(tag)
    left = {tag.name for tag in tags}
    for tag in sorted(tags, key=lambda one: (-one.tasks, -one.patterns, one.name)):
        if tag.name not in left:
            continue
        left.remove(tag.name)
        doubles = []
        for why, key in _near(forms[tag.name]):
            for other in buckets.pop(key, ()):
                if other.name in left:
                    left.remove(other.name)
                    doubles.append(Double(other.name, other.tasks, other.patterns, why))
        if doubles:
            yield TagGroup(tag.name, tag.tasks, tag.patterns, tuple(doubles))


def folded(name: str) -> str:
    """The name without what people write now so, now otherwise."""
    return normalized(name, "NFKC").casefold().translate(_SEPARATORS) or name


def singular(word: str) -> str:
    """English plurals without what makes them so; words that are too short to tell stay."""
    if len(word) < _SHORTEST_PLURAL or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-2] if word.endswith(("ches", "shes", "xes", "sses", "zes")) else word[:-1]


def _kept_under(form: str) -> Iterator[_Key]:
    """The buckets that a tag lies in: its form (-1), its singular (-2), and its form without the letter at a place.

    Digits are never left out: 2024 is no misspelt 2025.
    """
    yield _WHOLE, form
    yield _SINGULAR, singular(form)
    if _FEWEST <= len(form) <= _MOST:
        for at, letter in enumerate(form):
            if not letter.isdigit():
                yield at, form[:at] + form[at + 1 :]


def _near(form: str) -> Iterator[tuple[Likeness, _Key]]:
    """The buckets whose tags are near to one with this form."""
    yield Likeness.SAME_LETTERS, (_WHOLE, form)
    yield Likeness.PLURAL, (_SINGULAR, singular(form))
    if not _FEWEST <= len(form) <= _MOST:
        return
    for at, letter in enumerate(form):
        yield Likeness.ONE_EDIT, (at, form)  # they have a letter more, here
        if letter.isdigit():
            continue
        without = form[:at] + form[at + 1 :]
        yield Likeness.ONE_EDIT, (at, without)  # they have another letter here
        if len(without) >= _FEWEST:
            yield Likeness.ONE_EDIT, (_WHOLE, without)
        if at + 1 < len(form) and not form[at + 1].isdigit():
            yield Likeness.ONE_EDIT, (_WHOLE, form[:at] + form[at + 1] + letter + form[at + 2 :])
    yield Likeness.ONE_EDIT, (len(form), form)
