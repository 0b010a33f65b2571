"""Deciding who should take a task. Pure: everything it knows comes in as evidence.

A manual pattern decides before anything else, if its record and other manual ones leave it sure enough. Otherwise each
kind of evidence gives every candidate log odds against "it isn't theirs": patterns by their record, the text model,
the most similar past tasks (`neighbours`), recency, and a little what other Hoppers share (`shared`). They add up, as
independent evidence does (Good 1950), and become probabilities beside the chance that nobody here is right. The
winner's is calibrated, and less while few outcomes are known; below the policy's bound Hopper abstains. Who is full is
never chosen.
"""

from collections.abc import Container, Sequence
from dataclasses import replace
from math import exp

import numpy as np
from numpy.typing import NDArray

from hopper.domain.decision import Alternative, Decision, Factor, FactorKind, Strategy
from hopper.domain.ids import InstanceId
from hopper.domain.pattern import PatternSource
from hopper.domain.task import Task
from hopper.routing.evidence import Evidence
from hopper.routing.factors import factors_of, load_factors, pattern_factor
from hopper.routing.neighbours import NEIGHBOUR_WEIGHT, belonging, refusals
from hopper.routing.odds import calibration_terms, pattern_log_odds, probabilities
from hopper.routing.patterns import Match, proven_confidence
from hopper.routing.policy import Policy
from hopper.routing.recency import recency_prior
from hopper.routing.records import record_odds
from hopper.routing.shared import shared_odds

_NEW = 100
"""Who knows so many outcomes of their own is half as new as who knows none."""

_PATTERN_WEIGHT = 1.5
"""A pattern's log odds count so much: it speaks of just those tasks, while it was made for them.

So do those of a learned one until a text model is there, which has found how much it says beside itself.
"""

_NOBODY = 1.0
"""Log odds that nobody here is right, while no text model has learned what little evidence looks like."""

_RECENCY_WEIGHT = 0.5
"""Recency is no independent evidence: what comes in runs is often alike, too."""

_SHOWN = 5
"""How many alternatives a decision lists."""


Numbers = NDArray[np.float64]


def decide(task: Task, ids: Sequence[InstanceId], evidence: Evidence, policy: Policy) -> Decision:
    """Which of these instances should take the task, with every factor that led there."""
    if not ids:
        return Decision(
            episode_id=None,
            task_id=task.id,
            chosen_instance=None,
            confidence=0.0,
            strategy=Strategy.ABSTAIN,
            decision_factors=(),
            alternatives=(),
        )
    matches = [match for match in evidence.matches if match.pattern.target_instance in ids]
    by_rule = _manual_shares(matches, ids)
    if by_rule.max() > 0 and by_rule.max() >= policy.abstain_below:
        rules = [match for match in matches if match.pattern.source is PatternSource.MANUAL]
        factors = tuple(pattern_factor(rule, proven_confidence(rule.pattern)) for rule in rules)
        first = _first(by_rule, ids, evidence.full, policy)
        full = load_factors(evidence.full, {rule.pattern.target_instance for rule in rules})
        return _decision(task, ids, by_rule, first, None, (*factors, *full), Strategy.MANUAL_PATTERN)

    log_odds = weigh(ids, matches, evidence)
    total = sum(log_odds.values(), np.zeros(len(ids))).round(9)
    raw = probabilities(total, _NOBODY if evidence.text is None else 0.0)
    shares = _ceiling(evidence, matches) * _calibrated(raw, evidence)
    first = _first(shares, ids, evidence.full, policy)
    best = int(raw.argmax()) if first is None else first
    shown = [int(at) for at in np.argsort(-shares, kind="stable") if at != first][:_SHOWN]
    shown = shown if first is None else sorted([first, *shown], key=lambda at: -shares[at])
    factors = factors_of(task, ids, shown, log_odds, matches, evidence)
    strategy = _carried_by(best, log_odds, [m for m in matches if m.pattern.target_instance == ids[best]])
    decision = _decision(task, ids, shares, first, float(raw[best]), factors, strategy)
    return replace(decision, degraded=evidence.degraded)


def weigh(ids: Sequence[InstanceId], matches: Sequence[Match], evidence: Evidence) -> dict[FactorKind, Numbers]:
    """Log odds (instance,) by the kind of evidence they come from; those of patterns stand under learned ones."""
    scores = belonging(evidence.similar, ids)
    text = evidence.text
    weight = text.model.neighbour_weight if text else NEIGHBOUR_WEIGHT
    learned_weight = text.model.pattern_weight if text else _PATTERN_WEIGHT
    prior = recency_prior(evidence.recent, ids, evidence.idle)
    weighed = {
        FactorKind.LEARNED_PATTERN: _pattern_odds(matches, ids, learned_weight),
        FactorKind.SIMILAR_EPISODES: weight * scores - NEIGHBOUR_WEIGHT * refusals(evidence.similar, ids),
        FactorKind.RECENT_OUTCOMES: _RECENCY_WEIGHT * np.log(prior * len(ids)),
        FactorKind.DELEGATION_RECORD: record_odds(evidence.standings, ids),
    }
    if evidence.shared:
        newness = 0.0 if matches else _NEW / (_NEW + _outcomes(evidence))
        weighed[FactorKind.NORTHBOUND_PATTERN] = shared_odds(evidence.shared, ids, evidence.labels, newness)
    if text:
        said = [text.of(instance, float(score)) for instance, score in zip(ids, scores, strict=True)]
        weighed[FactorKind.TEXT_MODEL] = np.array(said)
    return weighed


def _pattern_odds(matches: Sequence[Match], ids: Sequence[InstanceId], learned_weight: float) -> Numbers:
    """The strongest pattern of each candidate: patterns that match one text mostly say the same."""
    odds: dict[int, float] = {}
    for match in matches:
        weight = learned_weight if match.pattern.source is PatternSource.LEARNED else _PATTERN_WEIGHT
        at = ids.index(match.pattern.target_instance)
        said = weight * pattern_log_odds(proven_confidence(match.pattern))
        odds[at] = max(odds.get(at, -np.inf), said)
    return np.array([odds.get(at, 0.0) for at in range(len(ids))])


def _calibrated(raw: Numbers, evidence: Evidence) -> Numbers:
    """The winner's probability becomes what such ones turned out to be worth; the others share the rest as before."""
    if evidence.text is None:
        return raw
    best = int(raw.argmax())
    said = min(max(float(raw[best]), 1e-6), 1 - 1e-6)
    worth = float(1 / (1 + exp(-(calibration_terms(raw[best]) @ np.array(evidence.text.model.calibration)))))
    # The winner stays the winner, by a hair, however little such a lead has been worth.
    second = float(np.delete(raw, best).max()) if len(raw) > 1 else 0.0
    worth = max(worth, (1 + 1e-9) * second / (second + 1 - said)) if second else worth
    others = raw * (1 - worth) / (1 - said)
    others[best] = worth
    return others


def _ceiling(evidence: Evidence, matches: Sequence[Match]) -> float:
    """How sure anyone can be who has seen so few outcomes: Laplace's rule of succession."""
    in_patterns = sum(4 + m.pattern.success_count + m.pattern.failure_count for m in matches)
    outcomes = _outcomes(evidence) + in_patterns
    return (outcomes + 1) / (outcomes + 2)


def _outcomes(evidence: Evidence) -> int:
    """How many are known here, as far as the evidence tells."""
    examples = evidence.text.model.examples if evidence.text else 0
    return max(len(evidence.recent), len(evidence.similar), examples)


def _carried_by(best: int, log_odds: dict[FactorKind, Numbers], own: Sequence[Match]) -> Strategy:
    """The kind of evidence without which the winner, whose own patterns these are, would be least ahead of the others.

    So it is the one that a counterfactual names (`explain`): nobody, too, is ahead of whom nothing speaks for.
    """
    if all(odds[best] <= 0 for odds in log_odds.values()):
        return Strategy.RECENT_OUTCOMES

    def lead_without(kind: FactorKind) -> float:
        rest = sum((odds for other, odds in log_odds.items() if other is not kind), np.zeros_like(log_odds[kind]))
        return round(float(rest[best] - np.delete(rest, best).max(initial=0.0)), 9)

    kind = min(log_odds, key=lambda kind: (lead_without(kind), -float(log_odds[kind][best])))
    if kind is FactorKind.LEARNED_PATTERN and any(match.pattern.source is PatternSource.MANUAL for match in own):
        return Strategy.MANUAL_PATTERN
    return Strategy(kind.value)


def _first(shares: Numbers, ids: Sequence[InstanceId], full: Container[InstanceId], policy: Policy) -> int | None:
    """The largest share of those that take more, if it reaches the bound."""
    best = next((int(at) for at in np.argsort(-shares, kind="stable") if ids[at] not in full), None)
    return best if best is not None and float(shares[best]) >= policy.abstain_below else None


def _decision(
    task: Task,
    ids: Sequence[InstanceId],
    shares: Numbers,
    first: int | None,
    raw: float | None,
    factors: tuple[Factor, ...],
    strategy: Strategy,
) -> Decision:
    """The choice of the first one; None: nobody is, and the confidence is that of the best guess."""
    ranked = [int(at) for at in np.argsort(-shares, kind="stable")]
    others = [at for at in ranked if at != first][:_SHOWN]
    return Decision(
        episode_id=None,
        task_id=task.id,
        chosen_instance=None if first is None else ids[first],
        confidence=round(float(shares[ranked[0] if first is None else first]), 6),
        raw_confidence=None if raw is None else round(raw, 6),
        strategy=Strategy.ABSTAIN if first is None else strategy,
        decision_factors=factors,
        alternatives=tuple(Alternative(instance_id=ids[at], confidence=round(float(shares[at]), 6)) for at in others),
    )


def _manual_shares(matches: Sequence[Match], ids: Sequence[InstanceId]) -> Numbers:
    """Shares when people's own rules apply; rules that disagree take from each other's confidence."""
    strongest = np.zeros(len(ids))
    for match in matches:
        if match.pattern.source is PatternSource.MANUAL:
            at = ids.index(match.pattern.target_instance)
            strongest[at] = max(strongest[at], proven_confidence(match.pattern))
    return strongest * strongest / strongest.sum() if strongest.sum() else strongest
