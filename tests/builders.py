"""Things for tests to work with: valid, small, and different only in what a test names."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import numpy as np

from hopper.domain.decision import Strategy
from hopper.domain.delegation import Delegation, DelegationType
from hopper.domain.episode import Episode, SimilarEpisode
from hopper.domain.feedback import Feedback
from hopper.domain.ids import InstanceId, TaskId, new_id
from hopper.domain.instance import Instance
from hopper.domain.pattern import Criteria, Pattern, PatternType
from hopper.domain.task import Task
from hopper.domain.training import TrainingExample
from hopper.ports.embedder import Vector
from hopper.routing.text_model import TextModel
from hopper.routing.training import Job, train

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def later(minutes: float) -> datetime:
    """So many minutes after NOW; before it when negative."""
    return NOW + timedelta(minutes=minutes)


def a_task(title: str = "Card payment is declined", **fields: Any) -> Task:
    created = fields.setdefault("created_at", NOW)
    return Task(**{"id": new_id(), "title": title, "updated_at": created, **fields})


def an_instance(name: str = "payments", **fields: Any) -> Instance:
    """Its id is its name unless one is given, so that a failure can be read."""
    return Instance(**{"id": name, "name": name, "created_at": NOW, **fields})


def a_delegation(task: TaskId, to: InstanceId, **fields: Any) -> Delegation:
    return Delegation(
        **{
            "id": new_id(),
            "task_id": task,
            "source_instance_id": None,
            "target_instance_id": to,
            "delegation_type": DelegationType.ROUTED,
            "delegated_at": NOW,
            **fields,
        }
    )


def an_episode(task: TaskId | None = None, chosen: InstanceId | None = None, **fields: Any) -> Episode:
    strategy = Strategy.SIMILAR_EPISODES if chosen else Strategy.ABSTAIN
    return Episode(
        **{
            "id": new_id(),
            "task_id": task,
            "chosen_instance": chosen,
            "confidence": 0.75,
            "strategy": strategy,
            "routed_at": NOW,
            **fields,
        }
    )


def a_pattern(to: InstanceId = "payments", **fields: Any) -> Pattern:
    """A tag pattern for “cards”, unless other criteria are given."""
    return Pattern(
        **{
            "id": new_id(),
            "name": f"goes to {to}",
            "pattern_type": PatternType.TAG,
            "target_instance": to,
            "tag_criteria": Criteria(any=("cards",)) if fields.get("pattern_type", "tag") == "tag" else None,
            "created_at": NOW,
            **fields,
        }
    )


def trained_on(texts: Mapping[InstanceId, str], times: int = 15) -> TextModel:
    """A text model that has seen each instance's text so often, each time with another word."""
    examples = [
        TrainingExample(title=f"{text} {new_id()[-6:]}", description=None, tags={}, instance=instance, vector=None)
        for _ in range(times)
        for instance, text in texts.items()
    ]
    names = {instance: instance for instance in texts}
    model = train(Job(examples=examples, names=names, verdicts=(), embedding_model="none", dimension=4))
    assert model
    return model


def feedback_on(task: TaskId, **fields: Any) -> Feedback:
    return Feedback(**{"task_id": task, "created_at": NOW, **fields})


_others = count(1)


def _as_alike(similarity: float) -> Vector:
    """A unit vector of this cosine to the first axis, alike to others only by that."""
    cosine = min(max(similarity, -1.0), 1.0)
    vector = np.zeros(512, dtype=np.float32)
    vector[0], vector[1 + next(_others) % 511] = cosine, (1 - cosine**2) ** 0.5
    return vector


def a_past_case(
    belonged: InstanceId | None, similarity: float = 1.0, *, chosen: InstanceId | None = None, **fields: Any
) -> SimilarEpisode:
    """A confirmed decision about a task so similar; `belonged` None means that `chosen` was wrong."""
    return SimilarEpisode(
        **{
            "episode_id": new_id(),
            "task_id": new_id(),
            "chosen_instance": chosen or belonged,
            "outcome_instance": belonged,
            "confirmed": True,
            "required_rework": False,
            "similarity": similarity,
            "vector": _as_alike(similarity),
            **fields,
        }
    )
