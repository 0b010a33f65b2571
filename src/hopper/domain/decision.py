"""Decisions: who should take a task, how sure Hopper is, and why."""

from dataclasses import dataclass
from enum import StrEnum

from hopper.domain.ids import EpisodeId, InstanceId, PatternId, TaskId


class Strategy(StrEnum):
    """The kind of evidence that carried a decision."""

    MANUAL_PATTERN = "manual_pattern"
    LEARNED_PATTERN = "learned_pattern"
    TEXT_MODEL = "text_model"  # its words, learned from many outcomes
    SIMILAR_EPISODES = "similar_episodes"
    RECENT_OUTCOMES = "recent_outcomes"  # tasks come in runs, which tipped the scales
    DELEGATION_RECORD = "delegation_record"  # the others give back too much of what they are given
    NORTHBOUND_PATTERN = "northbound_pattern"  # what other Hoppers found, which tipped the scales
    ABSTAIN = "abstain"
    MANUAL = "manual"  # a person delegated the task
    FEEDBACK = "feedback"  # a person told where a task that was never routed belongs


class FactorKind(StrEnum):
    """What a piece of evidence is made of."""

    MANUAL_PATTERN = "manual_pattern"
    LEARNED_PATTERN = "learned_pattern"
    TEXT_MODEL = "text_model"
    SIMILAR_EPISODES = "similar_episodes"
    RECENT_OUTCOMES = "recent_outcomes"
    DELEGATION_RECORD = "delegation_record"
    NORTHBOUND_PATTERN = "northbound_pattern"
    LOAD = "load"  # weighs nothing: it says that the instance takes no more


WORDING_AS_A_WHOLE = "its wording as a whole"
"""The text of a factor of the text model that names no words: worth a line only when nothing else says more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastTask:
    """A similar past task (cosine, at most 1), and whether it belonged to the factor's instance or didn't."""

    task_id: TaskId
    similarity: float
    belonged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One reason for or against an instance.

    `contribution` is how much it says, on one scale for all of a decision's factors (-1 to 1; below 0 it speaks
    against); for a manual pattern that decided alone it is the pattern's confidence. `text` says it in words; of the
    task it repeats single words and tags at most. `pattern_ids` and `task_ids` name the evidence; `past_tasks` says
    more of the latter.
    """

    kind: FactorKind
    instance_id: InstanceId
    contribution: float
    text: str
    pattern_ids: tuple[PatternId, ...] = ()
    task_ids: tuple[TaskId, ...] = ()
    past_tasks: tuple[PastTask, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """An instance that wasn't chosen, with its probability."""

    instance_id: InstanceId
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`chosen_instance` is None when Hopper abstains; `confidence` is the probability of the best candidate.

    `raw_confidence` is that before calibration; None where a person's word or rule decided.
    `degraded` when the embedder couldn't be reached, so that it was decided without similar past tasks.
    """

    episode_id: EpisodeId | None
    task_id: TaskId
    chosen_instance: InstanceId | None
    confidence: float
    raw_confidence: float | None = None
    strategy: Strategy
    decision_factors: tuple[Factor, ...]
    alternatives: tuple[Alternative, ...]
    degraded: bool = False
