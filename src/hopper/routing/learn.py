"""What an outcome says about a decision. Pure; what it returns is stored by `app.lifecycle`."""

from dataclasses import replace
from datetime import datetime, timedelta

from hopper.domain.decision import FactorKind, Strategy
from hopper.domain.episode import Episode
from hopper.domain.feedback import Feedback
from hopper.domain.ids import InstanceId, PatternId, TaskId, new_id
from hopper.domain.pattern import Pattern


def after_feedback(episode: Episode, feedback: Feedback, holder: InstanceId | None, now: datetime) -> Episode:
    """The episode as a person's feedback makes it.

    A correction says both who was right and that the choice wasn't; praise or blame alone is about the chosen
    instance, or about the holder when a person placed the task after Hopper abstained.
    """
    chosen = episode.chosen_instance or holder
    if feedback.should_have_routed_to is not None:
        right: InstanceId | None = feedback.should_have_routed_to
        success = episode.chosen_instance == right if episode.chosen_instance else None
    elif feedback.was_good_match is not None:
        right = chosen if feedback.was_good_match else None
        success = feedback.was_good_match if episode.chosen_instance else None
    else:
        return episode
    return replace(episode, outcome_success=success, outcome_instance=right, completed_at=episode.completed_at or now)


def after_completion(episode: Episode, holder: InstanceId | None, now: datetime) -> Episode:
    """Done by whoever held it: that is weak evidence that it belonged there, unless a person has said more."""
    timed = replace(episode, outcome_duration=iso_duration(now - episode.routed_at))
    said = episode.completed_at is not None
    as_said = episode.outcome_success is None and episode.chosen_instance == episode.outcome_instance == holder
    if holder is None or (said and not as_said):
        return timed
    success = episode.chosen_instance == holder if episode.chosen_instance else None
    return replace(timed, outcome_success=success, outcome_instance=holder, completed_at=now)


def after_withdrawal(episode: Episode, now: datetime) -> Episode:
    """The chosen instance refused the task, or a person took it away; who should have it, later episodes say."""
    return replace(episode, outcome_success=False, outcome_instance=None, completed_at=now)


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


def persons_choice(task_id: TaskId, instance: InstanceId, strategy: Strategy, now: datetime) -> Episode:
    """The episode of a task that a person placed: where it belongs is known from the start."""
    return Episode(
        id=new_id(),
        task_id=task_id,
        chosen_instance=instance if strategy is Strategy.MANUAL else None,
        confidence=1.0,
        strategy=strategy,
        outcome_instance=instance,
        routed_at=now,
        completed_at=now,
    )
