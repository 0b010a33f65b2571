"""Saying why: the evidence behind a decision as factors that a person can read."""

from collections.abc import Container, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hopper.domain.decision import WORDING_AS_A_WHOLE, Factor, FactorKind, PastTask
from hopper.domain.episode import SimilarEpisode
from hopper.domain.graph import Standing
from hopper.domain.ids import InstanceId
from hopper.domain.pattern import PatternSource
from hopper.domain.task import Task
from hopper.routing.evidence import Evidence
from hopper.routing.features import wording
from hopper.routing.patterns import Match
from hopper.routing.text_model import telling_words

_COUNTED = 20
"""Of so many of the most similar past tasks it is told where they belonged; those further away hardly count."""

_NAMED = 3
"""So many of them are named for each instance."""

_WORTH_A_LINE = 0.005
"""Share of what is heard; below it a record hardly moves anything."""

_WORDED = 2
"""For the winner and the runner-up the words are named."""

LogOdds = Mapping[FactorKind, NDArray[np.float64]]


def factors_of(
    task: Task,
    ids: Sequence[InstanceId],
    shown: Sequence[int],
    log_odds: LogOdds,
    matches: Sequence[Match],
    evidence: Evidence,
) -> tuple[Factor, ...]:
    """Everything worth a line about the shown instances, the best one first.

    Contributions are log odds over those of all that speaks for or against the instance with most of it.
    """
    heard = sum((np.abs(odds[list(shown)]) for odds in log_odds.values()), np.zeros(len(shown)))
    share = {kind: odds / (float(heard.max()) or 1.0) for kind, odds in log_odds.items()}
    return (
        *_pattern_factors(matches, ids, shown, share[FactorKind.LEARNED_PATTERN]),
        *_text_factors(task, ids, shown, share, evidence),
        *_episode_factors(evidence.similar[:_COUNTED], ids, shown, share[FactorKind.SIMILAR_EPISODES]),
        *_recency_factors(evidence.recent, ids, shown, share[FactorKind.RECENT_OUTCOMES]),
        *_record_factors(evidence.standings, ids, shown, share[FactorKind.DELEGATION_RECORD]),
        *_shared_factors(evidence, ids, shown, share),
        *load_factors(evidence.full, {ids[at] for at in shown}),
    )


def load_factors(full: Mapping[InstanceId, int], among: Container[InstanceId | None]) -> tuple[Factor, ...]:
    """Who of these takes no more just now."""
    return tuple(
        Factor(kind=FactorKind.LOAD, instance_id=id, contribution=0.0, text=f"is full: it takes {capacity} open tasks")
        for id, capacity in full.items()
        if id in among
    )


def pattern_factor(match: Match, contribution: float) -> Factor:
    pattern = match.pattern
    assert pattern.target_instance, "what names no instance isn't matched"
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
    matches: Sequence[Match], ids: Sequence[InstanceId], shown: Sequence[int], share: NDArray[np.float64]
) -> list[Factor]:
    listed = {ids[at]: at for at in shown}
    return [
        pattern_factor(match, float(share[listed[match.pattern.target_instance]]))
        for match in matches
        if match.pattern.target_instance in listed
    ]


def _text_factors(
    task: Task,
    ids: Sequence[InstanceId],
    shown: Sequence[int],
    share: Mapping[FactorKind, NDArray[np.float64]],
    evidence: Evidence,
) -> list[Factor]:
    if evidence.text is None:
        return []
    terms = wording(task.title, task.description, task.tags)
    factors = []
    for rank, at in enumerate(shown):
        words = telling_words(terms, ids[at], evidence.text) if rank < _WORDED else ()
        named = ", ".join(f"“{word}”" for word in words)
        factors.append(
            Factor(
                kind=FactorKind.TEXT_MODEL,
                instance_id=ids[at],
                contribution=round(float(share[FactorKind.TEXT_MODEL][at]), 4),
                text=f"its wording, {named} above all" if named else WORDING_AS_A_WHOLE,
            )
        )
    return factors


def _episode_factors(
    similar: Sequence[SimilarEpisode], ids: Sequence[InstanceId], shown: Sequence[int], share: NDArray[np.float64]
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
        named = [e for e in (*here, *against)[:_NAMED] if e.task_id]
        factors.append(
            Factor(
                kind=FactorKind.SIMILAR_EPISODES,
                instance_id=ids[at],
                contribution=round(float(share[at]), 4),
                text=f"{', '.join(said)} (the closest is {alike:.2f} alike)",
                task_ids=tuple(e.task_id for e in named if e.task_id),
                past_tasks=tuple(_past_task(e) for e in named),
            )
        )
    return factors


def _past_task(episode: SimilarEpisode) -> PastTask:
    belonged = episode.outcome_instance is not None
    return PastTask(task_id=episode.task_id or "", similarity=round(episode.similarity, 4), belonged=belonged)


def _share_of(some: Sequence[SimilarEpisode], similar: Sequence[SimilarEpisode]) -> str:
    if len(similar) == 1:
        return "the one similar past task"
    return f"{len(some)} of the {len(similar)} most similar past tasks"


def _recency_factors(
    recent: Sequence[InstanceId], ids: Sequence[InstanceId], shown: Sequence[int], share: NDArray[np.float64]
) -> list[Factor]:
    """Only what recency makes clearly likelier is worth a line."""
    factors = []
    last = recent[-10:]
    for at in shown:
        if share[at] > 0 and last.count(ids[at]) >= 2:
            factors.append(
                Factor(
                    kind=FactorKind.RECENT_OUTCOMES,
                    instance_id=ids[at],
                    contribution=round(float(share[at]), 4),
                    text=f"tasks come in runs: {last.count(ids[at])} of the last {len(last)} belonged here",
                )
            )
    return factors


def _shared_factors(
    evidence: Evidence, ids: Sequence[InstanceId], shown: Sequence[int], share: LogOdds
) -> list[Factor]:
    return [
        Factor(
            kind=FactorKind.NORTHBOUND_PATTERN,
            instance_id=ids[at],
            contribution=round(float(share[FactorKind.NORTHBOUND_PATTERN][at]), 4),
            text=f"other Hoppers share the pattern “{match.pattern.name}”, which matches by {match.reason}",
            pattern_ids=(match.pattern.id,),
        )
        for at in shown
        for match in evidence.shared
        if (label := evidence.labels.get(ids[at]))
        and match.pattern.shared_target in label.meant_by
        and abs(share[FactorKind.NORTHBOUND_PATTERN][at]) >= _WORTH_A_LINE
    ]


def _record_factors(
    standings: Mapping[InstanceId, Standing],
    ids: Sequence[InstanceId],
    shown: Sequence[int],
    share: NDArray[np.float64],
) -> list[Factor]:
    return [
        Factor(
            kind=FactorKind.DELEGATION_RECORD,
            instance_id=ids[at],
            contribution=round(float(share[at]), 4),
            text=f"it gave back {one.rejected} of {one.rejected + one.completed} delegations",
        )
        for at in shown
        if (one := standings.get(ids[at])) and abs(share[at]) >= _WORTH_A_LINE
    ]
