"""Which of many good rules are kept: few a target, each for tasks that the others don't explain."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from hopper.domain.ids import InstanceId
from hopper.routing.examples import Numbers
from hopper.routing.rules import Rule, RuleKey

MOST = 300
"""Rules altogether: every decision compares its task with each of them."""

MOST_A_TARGET = 8
_NEW_SHARE = 0.2
"""How much of what a rule gets right has to be unexplained by those that were chosen before it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule, the examples that it gets right, and the more general rules that it would make more precise."""

    rule: Rule
    hits: Numbers = field(compare=False)
    wider: tuple[RuleKey, ...]


def choose(staying: Sequence[Candidate], new: Iterable[Candidate]) -> tuple[Rule, ...]:
    """Those that stay, and of the new ones the best, target by target in turns."""
    ranked = sorted(new, key=_rank)
    good = {one.rule.key for one in (*staying, *ranked)}
    choice = _Choice(good)
    for one in staying:
        choice.keep(one)
    by_target: dict[InstanceId, list[Candidate]] = defaultdict(list)
    for one in ranked:
        by_target[one.rule.key.target].append(one)
    known = {one.rule.key: one for one in ranked}
    turns = [iter(those) for those in by_target.values()]
    while turns:
        turns = [turn for turn in turns if any(choice.take(one, known) for one in turn)]
    return choice.rules()


class _Choice:
    def __init__(self, good: set[RuleKey]) -> None:
        self._good = good
        self._chosen: dict[RuleKey, Candidate] = {}
        self._counts: dict[InstanceId, int] = defaultdict(int)
        self._explained: dict[tuple[InstanceId, bool], set[int]] = defaultdict(set)

    def keep(self, one: Candidate) -> None:
        self._chosen[one.rule.key] = one
        self._counts[one.rule.key.target] += 1
        self._explained[self._level(one)].update(one.hits.tolist())

    def take(self, one: Candidate, known: dict[RuleKey, Candidate]) -> bool:
        """Keep it if there is room and need; what it refines comes first."""
        wider = [known[key] for key in one.wider if key in known]
        taken = [self.take(general, known) for general in wider]
        if self._is_full(one) or one.rule.key in self._chosen or not self._is_new(one):
            return any(taken)
        self.keep(one)
        return True

    def rules(self) -> tuple[Rule, ...]:
        return tuple(
            replace(one.rule, refines=tuple(key for key in one.wider if key in self._chosen))
            for one in self._chosen.values()
        )

    def _is_full(self, one: Candidate) -> bool:
        return len(self._chosen) >= MOST or self._counts[one.rule.key.target] >= MOST_A_TARGET

    def _is_new(self, one: Candidate) -> bool:
        explained = self._explained[self._level(one)]
        fresh = sum(number not in explained for number in one.hits.tolist())
        return fresh >= _NEW_SHARE * len(one.hits)

    def _level(self, one: Candidate) -> tuple[InstanceId, bool]:
        """Refinements explain again what the general rules do, and compete with one another only."""
        return one.rule.key.target, any(key in self._good for key in one.wider)


def _rank(one: Candidate) -> tuple[float, int, int, RuleKey]:
    """The surest first; of equals the more general, then by name, so that the order is always the same."""
    words = sum(len(criterion.term.split()) for criterion in one.rule.key.criteria)
    return -one.rule.lower, len(one.rule.key.criteria), words, one.rule.key
