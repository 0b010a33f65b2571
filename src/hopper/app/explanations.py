"""Why a task went where it went."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from hopper.domain.episode import Episode
from hopper.domain.ids import TaskId
from hopper.ports import Ports
from hopper.routing.explain import Counterfactual, counterfactuals


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedEpisode(Episode):
    """A decision, what would have changed it, and the titles of the past tasks that it rests on."""

    counterfactuals: tuple[Counterfactual, ...]
    similar_tasks: Mapping[TaskId, str]


async def explained_decisions(task_id: TaskId, *, ports: Ports) -> tuple[ExplainedEpisode, ...]:
    """All decisions about a task, the newest first."""
    async with ports.reading() as uow:
        await uow.tasks.get(task_id)
        episodes = await uow.episodes.of_task(task_id)
        named = {id for episode in episodes for factor in episode.decision_factors for id in factor.task_ids}
        titles = {task.id: task.title for task in await uow.tasks.get_many(sorted(named))} if named else {}
    return tuple(_explained(episode, titles) for episode in episodes)


def _explained(episode: Episode, titles: Mapping[TaskId, str]) -> ExplainedEpisode:
    named = [id for factor in episode.decision_factors for id in factor.task_ids]
    return ExplainedEpisode(
        **{field.name: getattr(episode, field.name) for field in fields(Episode)},
        counterfactuals=counterfactuals(episode),
        similar_tasks={id: titles[id] for id in named if id in titles},
    )
