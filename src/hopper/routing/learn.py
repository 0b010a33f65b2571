"""What became of a decision, and what that says. Pure; what it returns is stored by `app.lifecycle`.

Outcomes are worked out afresh from what is known of the task, so that it doesn't matter in which order it became
known, and whoever takes a word back takes back what followed from it. A person's word counts most, then that the
task was refused or taken away, then who finished it, and least that workers took it and let it go.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hopper.domain.decision import FactorKind, Strategy
from hopper.domain.delegation import Delegation, DelegationStatus, DelegationType
from hopper.domain.episode import Episode
from hopper.domain.feedback import Feedback
from hopper.domain.ids import InstanceId, PatternId, TaskId, new_id
from hopper.domain.pattern import Pattern
from hopper.domain.task import Task, TaskStatus

GIVEN_UP = 3
"""A lease that ran out may be a worker's crash; so many of them count as a refusal until somebody does the task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is known of a task: its delegations, the first one first, and what a person said."""

    task: Task
    delegations: Sequence[Delegation] = ()
    feedback: Feedback | None = None


def judged(episode: Episode, history: History, now: datetime) -> Episode:
    """The episode with its outcome as it follows from the task's history."""
    success, instance = _outcome(episode, history)
    known = success is not None or instance is not None
    corrected = episode.completed_at is not None and instance != episode.outcome_instance
    return replace(
        episode,
        outcome_success=success,
        outcome_instance=instance,
        outcome_duration=_duration(episode, history, now),
        completed_at=(episode.completed_at or now) if known else None,
        corrected_at=now if corrected else episode.corrected_at,
    )


def spoken_of(feedback: Feedback, history: History) -> InstanceId | None:
    """Whom praise or blame is about: who had the task when it was said."""
    had = [d.target_instance_id for d in history.delegations if d.delegated_at <= feedback.created_at]
    return had[-1] if had else history.task.instance_id


def _outcome(episode: Episode, history: History) -> tuple[bool | None, InstanceId | None]:
    """Whether the choice was right, and who should have had the task; None for what isn't known."""
    chosen, holder = episode.chosen_instance, history.task.instance_id
    instance, good = _said(history)
    finished = {d.target_instance_id for d in history.delegations if d.status is DelegationStatus.COMPLETED}
    if instance and good:
        if chosen and chosen in finished and history.feedback and not history.feedback.should_have_routed_to:
            return True, chosen  # who passed it on is praised too
        return (None if chosen is None else chosen == instance), instance
    if chosen and (chosen == instance or _withdrawn(episode, history.delegations) or _given_up(episode, history)):
        return False, None
    if history.task.status is TaskStatus.DONE and holder and holder != instance:
        if chosen and chosen in finished | {holder}:
            return True, chosen
        return (None if chosen is None else False), holder
    return None, chosen if episode.strategy is Strategy.MANUAL else None


def _said(history: History) -> tuple[InstanceId | None, bool]:
    """An instance, and whether a person holds it for the right one or the wrong one; None when nothing was said."""
    feedback = history.feedback
    if feedback and feedback.should_have_routed_to:
        return feedback.should_have_routed_to, True
    if feedback is None or feedback.was_good_match is None:
        return None, False
    return spoken_of(feedback, history), feedback.was_good_match


def _given_up(episode: Episode, history: History) -> bool:
    """Whether workers of an instance that Hopper chose took the task time and again, and nobody has finished it."""
    expired = sum(d.expired_leases for d in history.delegations if d.episode_id == episode.id)
    return (
        expired >= GIVEN_UP and history.task.status is not TaskStatus.DONE and episode.strategy is not Strategy.MANUAL
    )


def _withdrawn(episode: Episode, delegations: Sequence[Delegation]) -> bool:
    """Whether the chosen instance refused the task, or a person took it away to give it to another."""
    for at, delegation in enumerate(delegations):
        if delegation.episode_id != episode.id:
            continue
        if delegation.status is DelegationStatus.REJECTED:
            return True
        after = delegations[at + 1] if at + 1 < len(delegations) else None
        return (
            delegation.status is DelegationStatus.RECALLED
            and after is not None
            and after.delegation_type is DelegationType.MANUAL
            and after.target_instance_id != delegation.target_instance_id
        )
    return False


def _duration(episode: Episode, history: History, now: datetime) -> str | None:
    if history.task.status is not TaskStatus.DONE:
        return None
    return episode.outcome_duration or iso_duration(now - episode.routed_at)


def patterns_behind(episode: Episode) -> tuple[PatternId, ...]:
    """The patterns that spoke for the chosen instance."""
    return tuple(
        pattern_id
        for factor in episode.decision_factors
        if factor.kind in (FactorKind.MANUAL_PATTERN, FactorKind.LEARNED_PATTERN)
        and factor.instance_id == episode.chosen_instance
        for pattern_id in factor.pattern_ids
    )


def used(pattern: Pattern, now: datetime) -> Pattern:
    """The pattern after it has carried a decision."""
    return replace(pattern, usage_count=pattern.usage_count + 1, last_used_at=now)


def reassessed(pattern: Pattern, before: bool | None, after: bool | None, now: datetime) -> Pattern:
    """The pattern's record after one of its decisions turned out differently than was known before."""
    return replace(
        pattern,
        success_count=pattern.success_count + (after is True) - (before is True),
        failure_count=pattern.failure_count + (after is False) - (before is False),
        last_refined_at=now,
    )


def iso_duration(duration: timedelta) -> str:
    """ISO 8601, in whole seconds: `PT90S`."""
    return f"PT{max(0, round(duration.total_seconds()))}S"


def persons_choice(task_id: TaskId, instance: InstanceId, now: datetime) -> Episode:
    """The episode of a task that a person gave to an instance: where it belongs is known from the start."""
    return Episode(
        id=new_id(),
        task_id=task_id,
        chosen_instance=instance,
        confidence=1.0,
        strategy=Strategy.MANUAL,
        outcome_instance=instance,
        routed_at=now,
        completed_at=now,
    )


def persons_word(task_id: TaskId, now: datetime) -> Episode:
    """The episode of a task that was never routed but spoken of: it chose nobody."""
    return Episode(
        id=new_id(), task_id=task_id, chosen_instance=None, confidence=1.0, strategy=Strategy.FEEDBACK, routed_at=now
    )
