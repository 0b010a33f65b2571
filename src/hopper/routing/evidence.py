"""What is known about where a task might belong, before anything is weighed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hopper.domain.episode import SimilarEpisode
from hopper.domain.graph import Standing
from hopper.domain.ids import InstanceId
from hopper.domain.pattern import TargetLabel
from hopper.routing.patterns import Match

if TYPE_CHECKING:
    from hopper.routing.text_model import TextEvidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """`recent` is who should have taken the last tasks with a known outcome, the oldest first.

    `idle` is for how long no outcome has become known, in mean gaps between them; `text` is None while no text model
    has been made. `degraded` when the task's vector couldn't be had, so that nothing is known of similar past tasks.
    `standings` are the instances' records; those in `full` hold as many open tasks as they take, and get no more now.
    `shared` are matches of what other Hoppers found, which goes by the instances' `labels`.
    """

    matches: tuple[Match, ...] = ()
    similar: tuple[SimilarEpisode, ...] = ()
    recent: tuple[InstanceId, ...] = ()
    idle: float = 0.0
    text: "TextEvidence | None" = None
    degraded: bool = False
    standings: Mapping[InstanceId, Standing] = field(default_factory=dict)
    full: Mapping[InstanceId, int] = field(default_factory=dict)
    shared: tuple[Match, ...] = ()
    labels: Mapping[InstanceId, TargetLabel] = field(default_factory=dict)


def distinct(similar: Sequence[SimilarEpisode]) -> tuple[SimilarEpisode, ...]:
    """One voice a task and outcome: a task that was decided twice to the same end doesn't count double."""
    seen = set()
    kept = []
    for episode in similar:
        refused_by = episode.chosen_instance if episode.outcome_instance is None else None
        voice = (episode.task_id or episode.episode_id, episode.outcome_instance, refused_by)
        if voice not in seen:
            seen.add(voice)
            kept.append(episode)
    return tuple(kept)
