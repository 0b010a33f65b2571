"""What a set of patterns would have changed in decisions whose right outcome is known by now. Pure.

The recorded decision stands for everything else that was known then: it is what would have been decided where no
proposed pattern matches, and where one does, it stays unless the patterns are surer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hopper.domain.decision import Decision, Strategy
from hopper.domain.ids import EpisodeId, InstanceId, PatternId, TaskId
from hopper.domain.pattern import Pattern
from hopper.domain.task import Task
from hopper.routing.evidence import Evidence
from hopper.routing.patterns import matching
from hopper.routing.policy import Policy
from hopper.routing.router import decide


class Verdict(StrEnum):
    """Whether the new choice is right where the old one wasn't, or the other way round."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"


@dataclass(frozen=True, slots=True, kw_only=True)
class PastDecision:
    """A recorded decision (the first episode of a task that only people spoke of chose nobody)."""

    episode_id: EpisodeId
    task: Task
    chosen_instance: InstanceId | None
    confidence: float
    decided_by: InstanceId | None
    outcome_instance: InstanceId


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One decision before and after. `pattern_ids` are the proposed patterns that speak for the new choice."""

    episode_id: EpisodeId
    task_id: TaskId
    title: str
    old_choice: InstanceId | None
    new_choice: InstanceId | None
    pattern_ids: tuple[PatternId, ...]
    outcome_instance: InstanceId
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    episodes: int
    right_before: int
    right_after: int
    changed: int
    improved: int
    worsened: int


def replay(
    past: Sequence[PastDecision],
    proposed: Sequence[Pattern],
    others: Sequence[Pattern],
    candidates: Mapping[InstanceId | None, Sequence[InstanceId]],
    policy: Policy,
) -> tuple[tuple[Replayed, ...], Totals]:
    """Decide each again with the proposed patterns beside the others; `candidates` are those of each decider."""
    replayed = tuple(_replayed(one, proposed, others, candidates[one.decided_by], policy) for one in past)
    return replayed, Totals(
        episodes=len(replayed),
        right_before=sum(one.old_choice == one.outcome_instance for one in replayed),
        right_after=sum(one.new_choice == one.outcome_instance for one in replayed),
        changed=sum(one.new_choice != one.old_choice for one in replayed),
        improved=sum(one.verdict is Verdict.BETTER for one in replayed),
        worsened=sum(one.verdict is Verdict.WORSE for one in replayed),
    )


def _replayed(
    past: PastDecision,
    proposed: Sequence[Pattern],
    others: Sequence[Pattern],
    candidates: Sequence[InstanceId],
    policy: Policy,
) -> Replayed:
    new = past.chosen_instance
    behind: tuple[PatternId, ...] = ()
    matches = matching(proposed, past.task)
    if matches:
        evidence = Evidence(matches=(*matches, *matching(others, past.task)))
        decision = decide(past.task, candidates, evidence, policy)
        if _prevails(decision, past):
            new = decision.chosen_instance
            behind = tuple(m.pattern.id for m in matches if m.pattern.target_instance == new)
    right_before, right_after = past.chosen_instance == past.outcome_instance, new == past.outcome_instance
    verdict = Verdict.SAME
    if right_before != right_after:
        verdict = Verdict.BETTER if right_after else Verdict.WORSE
    return Replayed(
        episode_id=past.episode_id,
        task_id=past.task.id,
        title=past.task.title,
        old_choice=past.chosen_instance,
        new_choice=new,
        pattern_ids=behind,
        outcome_instance=past.outcome_instance,
        verdict=verdict,
    )


def _prevails(decision: Decision, past: PastDecision) -> bool:
    """Manual patterns decide before anything else; learned ones are weighed against what was known besides."""
    if decision.chosen_instance is None:
        return False
    if decision.strategy is Strategy.MANUAL_PATTERN or past.chosen_instance is None:
        return True
    return decision.confidence > past.confidence
