"""Finding rules in outcomes: what tasks have in common that belong to one instance.

A rule is one criterion, or two that have to be met together. It has to be right lately and on the whole, whichever
says less: lately, each of the tasks that it matches counts a little less than the next newer one, so a rule heeds what
has become of its own last tasks, however seldom they come; on the whole all count alike, so a run of tasks of one kind
makes no rule. Confidence is the mean of a Beta posterior whose prior is worth one task and comes from the target's
share of all outcomes (a unit information prior, Kass & Wasserman 1995). A lower credible bound decides whether a rule
is good enough, and the false discovery rate (Benjamini & Hochberg 1995) whether chance would explain it, for thousands
of terms are tried. A narrower rule is only kept beside a wider one when it is clearly more precise; of the rules for a
target, those are chosen that each explain tasks that the others don't (covering, as in CBA: Liu, Hsu & Ma 1998).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from hopper.domain.ids import InstanceId
from hopper.routing import beta
from hopper.routing.choosing import Candidate, choose
from hopper.routing.examples import Example, Numbers, Occurrences
from hopper.routing.rules import Conditions, Criterion, Rule, RuleKey, generalisations

WINDOW = 20_000
"""So many of the newest outcomes are mined."""

_SUPPORT = 5
"""A rule has to have been right so many times."""

_HALF_LIFE = 30
"""After so many newer tasks of the same rule, a task counts half."""

_TAIL = 0.1
"""The lower bound leaves out so much of the posterior."""

_GOOD, _STILL_GOOD = 0.6, 0.5
"""The lower bound that a new rule needs, and the one below which a rule is given up: in between nothing flutters."""

_SURE = 0.95
"""A rule of such confidence isn't combined with anything: what it would gain is little."""

_BETTER_ODDS = 1.5
"""How much better the odds have to be, at the lower bound, than those of the target among all tasks."""

_FALSE_DISCOVERIES = 0.05
"""How large a share of the new rules may be chance."""

_REFINED_BY_CHANCE = 0.005
"""So improbable it has to be that a narrower rule only seems to be better than a wider one."""

_NEVER = 1e-9
"""No prior is quite certain."""

_PARTS = 24
"""How many criteria a target's combinations are tried from, at most …"""

_PAIRS = 40_000
"""… and how many combinations altogether, about."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A rule's evidence: counts, those that are heeded (of all tasks or of the latest), and which it gets right."""

    key: RuleKey
    right: int
    matched: int
    mean: float
    heeded_right: float
    heeded: float
    hits: Numbers = field(compare=False)


@dataclass(frozen=True, slots=True)
class _Good:
    """A rule that is good enough, and the probability of such evidence if it said nothing of its target."""

    found: _Found
    lower: float
    chance: float


def mine(
    examples: Sequence[Example],
    targets: Sequence[InstanceId],
    *,
    standing: Sequence[RuleKey] = (),
    allowed: Callable[[RuleKey], bool] = lambda _key: True,
) -> tuple[Rule, ...]:
    """The rules that the examples (the newest first) bear out, for these targets.

    Rules that are `standing` come first and need less to stay, so that mining the same examples again, with what was
    found standing, finds the same. What isn't `allowed` is passed over.
    """
    evidence = _Evidence(examples[:WINDOW], targets)
    staying = [kept for key in standing if (kept := evidence.kept(key)) and allowed(key)]
    return choose(staying, (new for new in evidence.candidates() if allowed(new.rule.key)))


class _Evidence:
    """What the examples say of any rule."""

    def __init__(self, examples: Sequence[Example], targets: Sequence[InstanceId]) -> None:
        self._targets = list(targets)
        self._position = position = {target: at for at, target in enumerate(self._targets)}
        other = len(self._targets)  # an instance that has gone: it speaks against every rule and for none
        self._belongs = np.array([-1 if e.target is None else position.get(e.target, other) for e in examples], int)
        self._wrong = np.array([position.get(e.wrong, -2) if e.wrong else -2 for e in examples], int)
        known = self._belongs[self._belongs >= 0]
        self._share = np.bincount(known, minlength=other + 1) / max(1, len(known))
        self._weights = 0.5 ** (np.arange(len(examples)) / _HALF_LIFE)
        self._occurrences = Occurrences(examples, _SUPPORT)

    def kept(self, key: RuleKey) -> Candidate | None:
        """A standing rule, if the examples still bear it out."""
        numbers = self._occurrences.of(key.criteria)
        if numbers is None or key.target not in self._position:
            return None
        found = self._measured(key.criteria, numbers, self._position[key.target])
        lower = self._lower(found)
        share = self._share_of(found)
        return self._candidate(found, lower) if found.right >= _SUPPORT and lower >= max(_STILL_GOOD, share) else None

    def candidates(self) -> list[Candidate]:
        """New rules that are good, surely better than what they are made of, and no work of chance."""
        distinct = self._occurrences.distinct()
        seeds = self._seeds(distinct)
        pairs = [pair for found in seeds.values() for pair in self._pairs(found, len(seeds))]
        singles = [found for those in seeds.values() for found in those if found.key.criteria[0].kind != "priority"]
        good = [one for found in (*singles, *pairs) if (one := self._good(found))]
        tried = len(distinct) * len(self._targets) + len(pairs)
        return [self._candidate(one.found, one.lower) for one in _discoveries(good, tried)]

    def _seeds(self, distinct: Mapping[Criterion, Numbers]) -> dict[int, list[_Found]]:
        """For each target the single criteria that make it more likely than it is anyway."""
        seeds: dict[int, list[_Found]] = {}
        for criterion, numbers in distinct.items():
            belongs = self._belongs[numbers]
            known = belongs[belongs >= 0]
            counts = np.bincount(known, minlength=len(self._share))[:-1]
            likely = (counts >= _SUPPORT) & (counts > self._share[:-1] * len(known))
            for target in np.flatnonzero(likely):
                seeds.setdefault(int(target), []).append(self._measured((criterion,), numbers, int(target)))
        return seeds

    def _pairs(self, seeds: Sequence[_Found], targets: int) -> Iterator[_Found]:
        """Combinations of the criteria that say most of a target without being sure of it."""
        most = min(_PARTS, int((2 * _PAIRS / targets) ** 0.5) + 1)
        unsure = [found for found in seeds if found.mean < _SURE]
        unsure.sort(key=lambda found: (self._share_of(found) * found.matched - found.right, found.key))
        for one, other in combinations(unsure[:most], 2):
            criteria = tuple(sorted((*one.key.criteria, *other.key.criteria)))
            if any(wide in criteria for criterion in criteria for wide in generalisations(criterion)):
                continue
            numbers = self._occurrences.of(criteria)
            if numbers is not None and len(numbers) >= _SUPPORT:
                yield self._measured(criteria, numbers, self._position[one.key.target])

    def _measured(self, criteria: Conditions, numbers: Numbers, target: int) -> _Found:
        belongs = self._belongs[numbers]
        says = (belongs >= 0) | (self._wrong[numbers] == target)
        hit = belongs[says] == target
        weights = self._weights[: len(hit)]
        share = float(self._share[target])
        lately = float(weights[hit].sum()), float(weights.sum())
        whole = float(hit.sum()), float(len(hit))
        mean, (heeded_right, heeded) = min(
            ((right + share) / (all + 1), (right, all)) for right, all in (lately, whole)
        )
        return _Found(
            key=RuleKey(criteria, self._targets[target]),
            right=int(hit.sum()),
            matched=len(hit),
            mean=mean,
            heeded_right=heeded_right,
            heeded=heeded,
            hits=numbers[says][hit],
        )

    def _good(self, found: _Found) -> _Good | None:
        """A rule that is good enough, and clearly better than each of its parts; None for another."""
        if found.right < _SUPPORT or found.mean < _GOOD:
            return None
        share = self._share_of(found)
        least = max(_GOOD, _BETTER_ODDS * share / (1 - share + _BETTER_ODDS * share))
        if self._probability_below(least, found) > _TAIL:
            return None
        for wider in self._wider(found.key):
            if beta.by_chance(found.right, found.matched, wider.mean) > _REFINED_BY_CHANCE:
                return None
            if self._probability_below(wider.mean, found) > _TAIL:
                return None
        return _Good(found, self._lower(found), beta.by_chance(found.heeded_right, found.heeded, share))

    def _wider(self, key: RuleKey) -> Iterator[_Found]:
        """The same rule with less asked for."""
        for criteria in _wider_criteria(key.criteria):
            numbers = self._occurrences.of(criteria)
            if numbers is not None:
                yield self._measured(criteria, numbers, self._position[key.target])

    def _candidate(self, found: _Found, lower: float) -> Candidate:
        rule = Rule(
            key=found.key,
            confidence=round(found.mean, 4),
            lower=round(lower, 4),
            right=found.right,
            matched=found.matched,
        )
        wider = tuple(RuleKey(criteria, found.key.target) for criteria in _wider_criteria(found.key.criteria))
        return Candidate(rule, found.hits, wider)

    def _posterior(self, found: _Found) -> tuple[float, float]:
        """The two numbers of a Beta distribution: what was seen, and the prior's one task."""
        share = min(max(self._share_of(found), _NEVER), 1 - _NEVER)
        return found.heeded_right + share, found.heeded - found.heeded_right + 1 - share

    def _probability_below(self, bound: float, found: _Found) -> float:
        return beta.cumulative(bound, *self._posterior(found))

    def _lower(self, found: _Found) -> float:
        return beta.lower_bound(*self._posterior(found), _TAIL)

    def _share_of(self, found: _Found) -> float:
        return float(self._share[self._position[found.key.target]])


def _discoveries(good: Sequence[_Good], tried: int) -> list[_Good]:
    """Those that chance doesn't explain, although so many were tried."""
    ranked = sorted(one.chance for one in good)
    bounds = [chance for rank, chance in enumerate(ranked, 1) if chance * tried <= rank * _FALSE_DISCOVERIES]
    return [one for one in good if bounds and one.chance <= bounds[-1]]


def _wider_criteria(criteria: Conditions) -> list[Conditions]:
    """Each of the criteria alone where there are several, and what each of them implies."""
    alone = [(criterion,) for criterion in criteria] if len(criteria) > 1 else []
    implied = [(wide,) for criterion in criteria for wide in generalisations(criterion)]
    return [one for one in dict.fromkeys([*alone, *implied]) if one[0].kind != "priority"]
