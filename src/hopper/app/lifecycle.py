"""The way of a task: create → route → delegate → accept or reject → complete → feedback → learn.

Each step is one transaction. What was changed is marked for the projections when it commits, so a new task is
embedded soon after it was created, whether or not anyone routes it.
"""

from dataclasses import replace
from datetime import datetime

from hopper.app.evidence import gather_evidence, vector_of
from hopper.app.retry import Retry
from hopper.domain.decision import Decision, Strategy
from hopper.domain.delegation import Delegation, DelegationStatus, DelegationType
from hopper.domain.episode import Episode
from hopper.domain.errors import Conflict, Invalid
from hopper.domain.feedback import Feedback
from hopper.domain.ids import DelegationId, InstanceId, TaskId, new_id
from hopper.domain.instance import Instance
from hopper.domain.task import Task, TaskStatus
from hopper.ports import Ports
from hopper.ports.unit_of_work import UnitOfWork
from hopper.ports.vectors import VectorKind
from hopper.routing import learn
from hopper.routing.router import decide


async def create_task(task: Task, *, ports: Ports, retry: Retry | None = None) -> Task:
    """File a task; with a retry key, the task that the first try made."""
    if retry is None:
        await ports.intake.file(task)
        return task
    async with ports.unit_of_work() as uow:
        earlier = await uow.idempotency.begin(retry.key, retry.fingerprint, task.id, ports.clock.now())
        if earlier:
            return await uow.tasks.get(earlier)
        await uow.tasks.add(task)
        await uow.commit()
    return task


async def route_task(task_id: TaskId, *, ports: Ports, by: InstanceId | None = None, dry_run: bool = False) -> Decision:
    """Decide who should take the task, and delegate it unless the router abstains.

    `by` is who decides (the task's holder, or the server itself), and with it who may be chosen. A dry run
    stores nothing and its decision has no episode.
    """
    async with ports.unit_of_work() as uow:
        task = await uow.tasks.get(task_id)
        stored = await uow.vectors.get(VectorKind.TASK, task_id, ports.embedder.model)
    vector = await vector_of(task, stored, ports)  # may call a provider: not while a transaction is open

    async with ports.unit_of_work() as uow:
        task = await uow.tasks.get_for_update(task_id)
        deciding = by or task.instance_id
        if by:
            await _require_instance(by, "by", uow)
        candidates = await _candidates(task, deciding, uow)
        evidence = await gather_evidence(task, candidates, vector, uow, ports)
        decision = decide(task, candidates, evidence, ports.policy)
        if dry_run:
            return replace(decision, episode_id=None)
        now = ports.clock.now()
        episode = Episode.of(decision, deciding, now)
        await uow.episodes.add(episode)
        if vector:
            await uow.vectors.put(VectorKind.EPISODE, ports.embedder.model, {episode.id: vector})
        if decision.chosen_instance:
            await _hand_over(task, decision.chosen_instance, DelegationType.ROUTED, deciding, now, uow)
            for pattern in await uow.patterns.get_many_for_update(learn.patterns_behind(episode)):
                await uow.patterns.update(learn.used(pattern, now))
        if vector and vector is not stored:
            await uow.vectors.put(VectorKind.TASK, ports.embedder.model, {task_id: vector})
        await uow.commit()
    return decision


async def route_once(task_id: TaskId, *, ports: Ports) -> Decision:
    """The decision that the task has already (a retried request), or a new one."""
    async with ports.unit_of_work() as uow:
        earlier = await uow.episodes.latest(task_id)
    return earlier.decision(task_id) if earlier else await route_task(task_id, ports=ports)


async def delegate_task(
    task_id: TaskId, target: InstanceId, *, ports: Ports, by: InstanceId | None = None
) -> Delegation:
    """Hand the task to an instance by hand. A person's choice teaches at once, and corrects an earlier one."""
    async with ports.unit_of_work() as uow:
        now = ports.clock.now()
        task = await uow.tasks.get_for_update(task_id)
        _require_open(task)
        await _require_instance(target, "target_instance_id", uow)
        live = await uow.delegations.live(task_id)
        if live and live.target_instance_id == target:
            return live
        if live:
            await uow.delegations.update(replace(live, status=DelegationStatus.RECALLED, completed_at=now))
        earlier = await uow.episodes.latest(task_id)
        if earlier and earlier.chosen_instance and earlier.outcome_success is None:
            await _learn(earlier, learn.after_withdrawal(earlier, now), now, uow)
        await _remember_choice(task, target, Strategy.MANUAL, now, uow, ports)
        delegation = await _hand_over(task, target, DelegationType.MANUAL, by or task.instance_id, now, uow)
        await uow.commit()
    return delegation


async def accept_delegation(delegation_id: DelegationId, *, ports: Ports) -> Delegation:
    """The target takes the task on. Accepting twice is no error."""
    async with ports.unit_of_work() as uow:
        delegation = await uow.delegations.get_for_update(delegation_id)
        if delegation.status is DelegationStatus.ACCEPTED:
            return delegation
        _require_live(delegation, "accepted")
        delegation = replace(delegation, status=DelegationStatus.ACCEPTED)
        await uow.delegations.update(delegation)
        await uow.commit()
    return delegation


async def reject_delegation(delegation_id: DelegationId, *, ports: Ports) -> Delegation:
    """The target refuses: the task goes back to who sent it, and the choice is remembered as wrong."""
    async with ports.unit_of_work() as uow:
        now = ports.clock.now()
        delegation = await uow.delegations.get_for_update(delegation_id)
        if delegation.status is DelegationStatus.REJECTED:
            return delegation
        _require_live(delegation, "rejected")
        task = await uow.tasks.get_for_update(delegation.task_id)
        delegation = replace(delegation, status=DelegationStatus.REJECTED, completed_at=now)
        await uow.delegations.update(delegation)
        await uow.tasks.update(
            replace(task, status=TaskStatus.PENDING, instance_id=delegation.source_instance_id, updated_at=now)
        )
        episode = await uow.episodes.latest(task.id)
        if episode and episode.chosen_instance == delegation.target_instance_id:
            await _learn(episode, learn.after_withdrawal(episode, now), now, uow)
        await uow.commit()
    return delegation


async def complete_delegation(delegation_id: DelegationId, *, ports: Ports, force: bool = False) -> Delegation:
    """The target has done the task."""
    async with ports.unit_of_work() as uow:
        delegation = await uow.delegations.get_for_update(delegation_id)
        if delegation.status is DelegationStatus.COMPLETED:
            return delegation
        _require_live(delegation, "completed")
        task = await uow.tasks.get_for_update(delegation.task_id)
        now = ports.clock.now()
        await finish(task, now, uow, force=force)
        await uow.commit()
    return replace(delegation, status=DelegationStatus.COMPLETED, completed_at=now)


async def complete_task(
    task_id: TaskId, *, ports: Ports, force: bool = False, expected_version: int | None = None
) -> Task:
    """The task is done. Completing it twice is no error; open dependencies are, unless forced."""
    async with ports.unit_of_work() as uow:
        task = await uow.tasks.get_for_update(task_id)
        if task.status is TaskStatus.DONE:
            return task
        task = await finish(task, ports.clock.now(), uow, force=force, expected_version=expected_version)
        await uow.commit()
    return task


async def give_feedback(feedback: Feedback, *, ports: Ports) -> Feedback:
    """Hear how a decision went. The very next decision knows it."""
    async with ports.unit_of_work() as uow:
        now = ports.clock.now()
        task = await uow.tasks.get_for_update(feedback.task_id)
        if feedback.should_have_routed_to:
            await _require_instance(feedback.should_have_routed_to, "should_have_routed_to", uow)
        await uow.feedback.put(feedback)
        episode = await uow.episodes.latest(task.id)
        right = feedback.should_have_routed_to or (task.instance_id if feedback.was_good_match else None)
        if episode:
            await _learn(episode, learn.after_feedback(episode, feedback, task.instance_id, now), now, uow)
        elif right:
            await _remember_choice(task, right, Strategy.FEEDBACK, now, uow, ports)
        await uow.commit()
    return feedback


async def finish(
    task: Task, now: datetime, uow: UnitOfWork, *, force: bool = False, expected_version: int | None = None
) -> Task:
    """Set a locked task to done, with its delegation, and learn that its holder could do it."""
    waiting = () if force else await uow.tasks.open_dependencies(task.id)
    if waiting:
        raise Conflict(f"The task {task.id!r} still depends on {', '.join(waiting)}. Finish those first, or force it.")
    live = await uow.delegations.live(task.id)
    if live:
        await uow.delegations.update(replace(live, status=DelegationStatus.COMPLETED, completed_at=now))
    episode = await uow.episodes.latest(task.id)
    if episode:
        await _learn(episode, learn.after_completion(episode, task.instance_id, now), now, uow)
    return await uow.tasks.update(replace(task, status=TaskStatus.DONE, updated_at=now), expected_version)


async def _learn(before: Episode, after: Episode, now: datetime, uow: UnitOfWork) -> None:
    """Store how a decision went, and what that says of the patterns behind it."""
    await uow.episodes.update(after)
    if before.outcome_success is not after.outcome_success:
        for pattern in await uow.patterns.get_many_for_update(learn.patterns_behind(after)):
            await uow.patterns.update(learn.reassessed(pattern, before.outcome_success, after.outcome_success, now))


async def _remember_choice(
    task: Task, instance: InstanceId, strategy: Strategy, now: datetime, uow: UnitOfWork, ports: Ports
) -> None:
    """An episode for what a person said, with the task's vector where it is at hand (else it is queued)."""
    episode = learn.persons_choice(task.id, instance, strategy, now)
    await uow.episodes.add(episode)
    stored = await uow.vectors.get(VectorKind.TASK, task.id, ports.embedder.model)
    if stored:
        await uow.vectors.put(VectorKind.EPISODE, ports.embedder.model, {episode.id: stored})


async def _hand_over(
    task: Task,
    target: InstanceId,
    kind: DelegationType,
    by: InstanceId | None,
    now: datetime,
    uow: UnitOfWork,
) -> Delegation:
    """The task is delegated and held by its target from now on."""
    delegation = Delegation(
        id=new_id(),
        task_id=task.id,
        source_instance_id=by,
        target_instance_id=target,
        delegation_type=kind,
        delegated_at=now,
    )
    await uow.delegations.add(delegation)
    await uow.tasks.update(replace(task, instance_id=target, updated_at=now))
    return delegation


async def _candidates(task: Task, by: InstanceId | None, uow: UnitOfWork) -> tuple[Instance, ...]:
    """Who may be chosen: all that `by` may delegate to, save those who have rejected this task."""
    _require_open(task)
    delegations = await uow.delegations.of_task(task.id)
    for delegation in delegations:
        if delegation.status.is_live:
            raise Conflict(
                f"The task {task.id!r} is delegated to {delegation.target_instance_id!r}. "
                "Have the delegation rejected, or delegate the task by hand, before routing it again."
            )
    refused = {d.target_instance_id for d in delegations if d.status is DelegationStatus.REJECTED}
    return tuple(c for c in await uow.instances.routable_from(by) if c.id not in refused)


async def _require_instance(instance_id: InstanceId, field: str, uow: UnitOfWork) -> None:
    if await uow.instances.missing([instance_id]):
        raise Invalid(field, f"There is no instance with the id {instance_id!r}.")


def _require_open(task: Task) -> None:
    if not task.status.is_open:
        raise Conflict(f"The task {task.id!r} is {task.status}; set it back to pending first.")


def _require_live(delegation: Delegation, wanted: str) -> None:
    if not delegation.status.is_live:
        raise Conflict(f"The delegation {delegation.id!r} is {delegation.status} and can't be {wanted} any more.")
