"""Deciding who should take a task. Pure: everything it knows comes in as evidence.

A manual pattern decides before anything else, if its record and other manual ones leave it sure enough. Otherwise
past episodes and patterns cast votes: an episode's fades exponentially with its distance (distance-weighted nearest
neighbours, Dudani 1976), a pattern's grows with its record. A small constant stands for "none of these", and recency
(see `recency`) weighs the whole. The winner's share is the confidence, less while few outcomes are known; below the
policy's bound Hopper abstains.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

from hopper.domain.decision import Alternative, Decision, Factor, FactorKind, Strategy
from hopper.domain.episode import SimilarEpisode
from hopper.domain.ids import InstanceId
from hopper.domain.pattern import Pattern, PatternSource
from hopper.domain.task import Task
from hopper.routing.evidence import Evidence
from hopper.routing.patterns import Match
from hopper.routing.recency import recency_prior

NEIGHBOURS = 20
"""How many similar episodes are asked for."""

_FADING = 0.05
"""A vote shrinks by e with each such step of cosine similarity below 1."""

_UNKNOWN = exp((0.55 - 1.0) / _FADING)
"""What stands for "I don't know": as much as one episode that is 0.55 alike."""

_PATTERN_VOTE = 0.5
"""A proven learned pattern's vote: as much as half an identical task."""

_PRIOR_STRENGTH = 4
"""A pattern's stated confidence counts as much as so many outcomes."""

_SHOWN = 5
"""How many alternatives a decision lists."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`abstain_below` is the confidence (0 to 1) that a decision needs."""

    abstain_below: float = 0.5


Votes = NDArray[np.float64]


def decide(task: Task, ids: Sequence[InstanceId], evidence: Evidence, policy: Policy) -> Decision:
    """Which of these instances should take the task, with every factor that led there."""
    if not ids:
        return _decision(task, ids, np.zeros(0), (), Strategy.ABSTAIN, policy)
    matches = [match for match in evidence.matches if match.pattern.target_instance in ids]
    shares, factors = _by_manual_patterns(matches, ids)
    if shares.max() > 0 and shares.max() >= policy.abstain_below:
        return _decision(task, ids, shares, factors, Strategy.MANUAL_PATTERN, policy)

    from_patterns = _pattern_votes(matches, ids)
    from_episodes = _episode_votes(evidence.similar, ids)
    votes = np.maximum(from_patterns + from_episodes, 0.0)
    prior = recency_prior(evidence.recent, ids)
    weighed = (votes + _UNKNOWN * prior) * prior
    unknown = (2 * _UNKNOWN + _doubt(matches, ids[int(weighed.argmax())])) / len(ids)
    shares = _ceiling(evidence, matches) * weighed / (weighed.sum() + unknown)
    best = int(shares.argmax())
    strategy = _carried_by(
        [m for m in matches if m.pattern.target_instance == ids[best]], from_patterns[best], from_episodes[best]
    )
    shown = [int(at) for at in np.argsort(-shares, kind="stable")[:_SHOWN]]
    cast = float(from_patterns.sum() + np.abs(from_episodes).sum()) or 1.0
    factors = (
        *_pattern_factors(matches, ids, shown, cast),
        *_episode_factors(evidence.similar, ids, shown, from_episodes, cast),
        *_recency_factors(evidence.recent, ids, shown, prior),
    )
    return _decision(task, ids, shares, factors, strategy, policy)


def proven_confidence(pattern: Pattern) -> float:
    """A pattern's confidence after its record: the mean of a Beta posterior around the stated one."""
    outcomes = pattern.success_count + pattern.failure_count
    return (pattern.confidence * _PRIOR_STRENGTH + pattern.success_count) / (_PRIOR_STRENGTH + outcomes)


def _carried_by(own: Sequence[Match], from_patterns: float, from_episodes: float) -> Strategy:
    """The kind of evidence that says most for the leader, whose own patterns these are."""
    if from_patterns > from_episodes:
        manual = any(match.pattern.source is PatternSource.MANUAL for match in own)
        return Strategy.MANUAL_PATTERN if manual else Strategy.LEARNED_PATTERN
    return Strategy.SIMILAR_EPISODES if from_episodes > 0 else Strategy.RECENT_OUTCOMES


def _doubt(matches: Sequence[Match], leader: InstanceId) -> float:
    """What the leader's own patterns don't give to it: they say as much for "none of these"."""
    own = [match.pattern for match in matches if match.pattern.target_instance == leader]
    return sum(_PATTERN_VOTE * (1 - proven_confidence(pattern)) for pattern in own)


def _ceiling(evidence: Evidence, matches: Sequence[Match]) -> float:
    """How sure anyone can be who has seen so few outcomes: Laplace's rule of succession."""
    in_patterns = sum(_PRIOR_STRENGTH + m.pattern.success_count + m.pattern.failure_count for m in matches)
    outcomes = max(len(evidence.recent), len(evidence.similar)) + in_patterns
    return (outcomes + 1) / (outcomes + 2)


def _decision(
    task: Task,
    ids: Sequence[InstanceId],
    shares: Votes,
    factors: tuple[Factor, ...],
    strategy: Strategy,
    policy: Policy,
) -> Decision:
    """Choose the largest share if it reaches the bound."""
    ranked = [int(at) for at in np.argsort(-shares, kind="stable")]
    confidence = float(shares[ranked[0]]) if ranked else 0.0
    chosen = bool(ranked) and confidence >= policy.abstain_below
    others = ranked[1 : _SHOWN + 1] if chosen else ranked[:_SHOWN]
    return Decision(
        episode_id=None,
        task_id=task.id,
        chosen_instance=ids[ranked[0]] if chosen else None,
        confidence=round(confidence, 6),
        strategy=strategy if chosen else Strategy.ABSTAIN,
        decision_factors=factors,
        alternatives=tuple(Alternative(instance_id=ids[at], confidence=round(float(shares[at]), 6)) for at in others),
    )


def _by_manual_patterns(matches: Sequence[Match], ids: Sequence[InstanceId]) -> tuple[Votes, tuple[Factor, ...]]:
    """Shares and factors when people's own rules apply; rules that disagree take from each other's confidence."""
    strongest = np.zeros(len(ids))
    factors = []
    for match in matches:
        if match.pattern.source is PatternSource.MANUAL:
            confidence = proven_confidence(match.pattern)
            at = ids.index(match.pattern.target_instance)
            strongest[at] = max(strongest[at], confidence)
            factors.append(_pattern_factor(match, confidence))
    shares = strongest * strongest / strongest.sum() if strongest.sum() else strongest
    return shares, tuple(factors)


def _pattern_votes(matches: Sequence[Match], ids: Sequence[InstanceId]) -> Votes:
    votes = np.zeros(len(ids))
    for match in matches:
        votes[ids.index(match.pattern.target_instance)] += _PATTERN_VOTE * proven_confidence(match.pattern)
    return votes


def _episode_votes(similar: Sequence[SimilarEpisode], ids: Sequence[InstanceId]) -> Votes:
    """Votes for where similar tasks belonged and, half as strong, against where they were wrongly sent."""
    votes = np.zeros(len(ids))
    position = {instance: at for at, instance in enumerate(ids)}
    for episode in similar:
        vote = exp((episode.similarity - 1.0) / _FADING) * _trust(episode)
        if episode.outcome_instance in position:
            votes[position[episode.outcome_instance]] += vote
        elif episode.outcome_instance is None and episode.chosen_instance in position:
            votes[position[episode.chosen_instance]] -= vote / 2
    return votes


def _trust(episode: SimilarEpisode) -> float:
    """What a person confirmed counts in full, what was merely completed less, and what needed rework least."""
    if episode.confirmed:
        return 1.0
    return 0.4 if episode.required_rework else 0.7


def _pattern_factor(match: Match, contribution: float) -> Factor:
    pattern = match.pattern
    outcomes = pattern.success_count + pattern.failure_count
    record = f"right {pattern.success_count} of {outcomes} times" if outcomes else "no outcomes yet"
    return Factor(
        kind=FactorKind.MANUAL_PATTERN if pattern.source is PatternSource.MANUAL else FactorKind.LEARNED_PATTERN,
        instance_id=pattern.target_instance,
        contribution=round(contribution, 4),
        text=f"pattern “{pattern.name}” matches by {match.reason} ({record})",
        pattern_ids=(pattern.id,),
    )


def _pattern_factors(
    matches: Sequence[Match], ids: Sequence[InstanceId], shown: Sequence[int], total: float
) -> list[Factor]:
    listed = {ids[at] for at in shown}
    return [
        _pattern_factor(match, _PATTERN_VOTE * proven_confidence(match.pattern) / total)
        for match in matches
        if match.pattern.target_instance in listed
    ]


def _episode_factors(
    similar: Sequence[SimilarEpisode],
    ids: Sequence[InstanceId],
    shown: Sequence[int],
    votes: Votes,
    total: float,
) -> list[Factor]:
    factors = []
    for at in shown:
        here = [e for e in similar if e.outcome_instance == ids[at]]
        against = [e for e in similar if e.outcome_instance is None and e.chosen_instance == ids[at]]
        if not here and not against:
            continue
        said = []
        if here:
            said.append(f"{_share_of(here, similar)} belonged here")
        if against:
            said.append(f"{_share_of(against, similar)} didn't belong here")
        alike = max(e.similarity for e in (*here, *against))
        factors.append(
            Factor(
                kind=FactorKind.SIMILAR_EPISODES,
                instance_id=ids[at],
                contribution=round(float(votes[at]) / total, 4),
                text=f"{', '.join(said)} (the closest is {alike:.2f} alike)",
                task_ids=tuple(e.task_id for e in (*here, *against)[:3] if e.task_id),
            )
        )
    return factors


def _share_of(some: Sequence[SimilarEpisode], similar: Sequence[SimilarEpisode]) -> str:
    if len(similar) == 1:
        return "the one similar past task"
    return f"{len(some)} of the {len(similar)} most similar past tasks"


def _recency_factors(
    recent: Sequence[InstanceId], ids: Sequence[InstanceId], shown: Sequence[int], prior: Votes
) -> list[Factor]:
    """Only what recency makes at least twice as likely as chance is worth a line."""
    factors = []
    for at in shown:
        if prior[at] * len(ids) >= 2:
            last = recent[-10:]
            factors.append(
                Factor(
                    kind=FactorKind.RECENT_OUTCOMES,
                    instance_id=ids[at],
                    contribution=round(float(prior[at]), 4),
                    text=f"tasks come in runs: {last.count(ids[at])} of the last {len(last)} belonged here",
                )
            )
    return factors
