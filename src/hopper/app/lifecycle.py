"""The way of a task: create → route → delegate → accept or reject → complete → feedback → learn.

Each step is one transaction. What was changed is marked for the projections when it commits, so a new task is
embedded soon after it was created, whether or not anyone routes it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from hopper.app.evidence import gather_evidence, is_of, task_vector
from hopper.app.retry import Retry
from hopper.domain.decision import Decision, Strategy
from hopper.domain.delegation import Delegation, DelegationStatus, DelegationType
from hopper.domain.episode import Episode
from hopper.domain.errors import Conflict, Invalid
from hopper.domain.feedback import Feedback
from hopper.domain.ids import DelegationId, InstanceId, TaskId, new_id
from hopper.domain.lease import Proof, own_lease
from hopper.domain.task import Task, TaskStatus
from hopper.ports import Ports
from hopper.ports.repositories import Candidate
from hopper.ports.tally import RIGHT, WRONG, Counted
from hopper.ports.unit_of_work import UnitOfWork
from hopper.ports.vectors import StoredVector, VectorKind
from hopper.routing import learn

_TOO_OFTEN = 2
_BY_PEOPLE = (Strategy.MANUAL, Strategy.FEEDBACK)


async def create_task(task: Task, *, ports: Ports, retry: Retry | None = None) -> Task:
    """File a task; with a retry key, the task that the first try made."""
    if retry is None and not (task.status is TaskStatus.DONE and task.depends_on):
        await ports.intake.file(task, ports.asker)
        return task
    async with ports.unit_of_work() as uow:
        if retry:
            earlier = await uow.idempotency.begin(retry.key, retry.fingerprint, task.id, ports.clock.now())
            if earlier:
                return await uow.tasks.get(earlier)
        if task.status is TaskStatus.DONE:
            await _require_nothing_open(task, uow)
        await uow.tasks.add(task)
        await uow.commit()
    return task


async def route_task(
    task_id: TaskId,
    *,
    ports: Ports,
    by: InstanceId | None = None,
    dry_run: bool = False,
    once: bool = False,
    retry: Retry | None = None,
) -> Decision:
    """Decide who should take the task, and delegate it unless the router abstains.

    `by` is who decides (the task's holder, or the server itself), and with it who may be chosen. A dry run
    stores nothing and its decision has no episode. A repeated request gets the decision that there is: by its
    retry key, or, with `once`, whoever asked for it.
    """
    from hopper.routing.router import decide

    vector, is_new = await task_vector(task_id, ports)  # may call a provider: not while a transaction is open

    async with ports.unit_of_work() as uow:
        now = ports.clock.now()
        task = await uow.tasks.get_for_update(task_id)
        episode_id = new_id()
        earlier = await _decided_already(task_id, episode_id, once, None if dry_run else retry, now, uow)
        if earlier:
            return earlier.decision(task_id)
        deciding = by or task.instance_id
        delegations = await uow.delegations.of_task(task_id)
        if by:
            await require_instance(by, "by", uow)
        _require_routable(task, by, delegations)
        candidates = await _candidates(deciding, delegations, uow)
        evidence = await gather_evidence(task, candidates, vector, uow, ports, by=deciding)
        decision = decide(task, tuple(candidates), evidence, ports.policy)
        if dry_run:
            return decision
        decision = replace(decision, episode_id=episode_id)
        episode = Episode.of(decision, deciding, now)
        await _remember(episode, task, vector, uow, ports)
        if decision.chosen_instance:
            await _end_live(delegations, DelegationStatus.COMPLETED, now, uow)  # its holder passes it on
            await _hand_over(task, episode, DelegationType.ROUTED, deciding, now, uow)
            for pattern in await uow.patterns.get_many_for_update(learn.patterns_behind(episode)):
                await uow.patterns.update(learn.used(pattern, now))
        if vector and is_new and is_of(vector, task):
            await uow.vectors.put(VectorKind.TASK, ports.embedder.model, {task_id: vector})
        await uow.commit()
    return decision


async def delegate_task(
    task_id: TaskId, target: InstanceId, *, ports: Ports, by: InstanceId | None = None
) -> Delegation:
    """Hand the task to an instance by hand. A person's choice teaches at once."""
    vector, _ = await task_vector(task_id, ports)
    async with ports.unit_of_work() as uow:
        task = await uow.tasks.get_for_update(task_id)
        _require_open(task)
        await require_instance(target, "target_instance_id", uow)
        live = await uow.delegations.live(task_id)
        if live and live.target_instance_id == target:
            return live
        delegation = await hand_to(task, target, vector, ports.clock.now(), uow, ports, by=by)
        await uow.commit()
    return delegation


async def hand_to(
    task: Task,
    target: InstanceId,
    vector: StoredVector | None,
    now: datetime,
    uow: UnitOfWork,
    ports: Ports,
    *,
    by: InstanceId | None = None,
) -> Delegation:
    """Give a locked task to another instance, as a person chose.

    Given to an instance below its holder the task is passed on, which says nothing against the holder; given to
    anyone else it is taken from the holder, who was the wrong one.
    """
    delegations = await uow.delegations.of_task(task.id)
    above = {instance.id for instance in await uow.instances.hierarchy(target)}
    passed_on = task.instance_id in above
    live = await _end_live(
        delegations, DelegationStatus.COMPLETED if passed_on else DelegationStatus.RECALLED, now, uow
    )
    sender = by or (live.source_instance_id if live and not passed_on else task.instance_id)
    episode = learn.persons_choice(task.id, target, now)
    await _remember(episode, task, vector, uow, ports)
    source = None if sender == target else sender
    delegation = await _hand_over(task, episode, DelegationType.MANUAL, source, now, uow)
    await learn_outcomes(replace(task, instance_id=target), now, uow)
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
        delegation = await uow.delegations.get_for_update(delegation_id)
        now = ports.clock.now()
        if delegation.status is DelegationStatus.REJECTED:
            return delegation
        _require_live(delegation, "rejected")
        task = await uow.tasks.get_for_update(delegation.task_id)
        delegation = replace(delegation, status=DelegationStatus.REJECTED, completed_at=now)
        await uow.delegations.update(delegation)
        task = await uow.tasks.update(
            replace(task, status=TaskStatus.PENDING, instance_id=delegation.source_instance_id, updated_at=now)
        )
        await learn_outcomes(task, now, uow)
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
    task_id: TaskId,
    *,
    ports: Ports,
    force: bool = False,
    expected_version: int | None = None,
    token: str | None = None,
) -> Task:
    """The task is done. Completing it twice is no error; open dependencies are, unless forced.

    A worker proves with its token that nobody else has claimed the task since, even if its lease has run out. A person
    needs none.
    """
    async with ports.unit_of_work() as uow:
        task = await uow.tasks.get_for_update(task_id)
        if task.status is TaskStatus.DONE:
            return task
        _require_open(task)
        if token:
            own_lease(await uow.leases.find(task_id), Proof(token), task)
        task = await finish(task, ports.clock.now(), uow, force=force, expected_version=expected_version)
        await uow.commit()
    return task


async def give_feedback(feedback: Feedback, *, ports: Ports) -> Feedback:
    """Hear how a decision went. The very next decision knows it."""
    async with ports.reading() as uow:
        spoken_before = await uow.episodes.latest(feedback.task_id)
    # A task that was never routed becomes an example now, and needs a vector to be found by.
    vector = None if spoken_before else (await task_vector(feedback.task_id, ports))[0]
    async with ports.unit_of_work() as uow:
        task = await uow.tasks.get_for_update(feedback.task_id)
        now = ports.clock.now()  # not before the wait for the lock: learning goes by the order of these moments
        if feedback.should_have_routed_to:
            await require_instance(feedback.should_have_routed_to, "should_have_routed_to", uow)
        _require_consistent(feedback, task, await uow.delegations.of_task(task.id))
        await uow.feedback.put(feedback)
        if not spoken_before and not await uow.episodes.latest(task.id):
            await _remember(learn.persons_word(task.id, now), task, vector, uow, ports)
        await learn_outcomes(task, now, uow)
        await uow.commit()
    return feedback


async def finish(
    task: Task, now: datetime, uow: UnitOfWork, *, force: bool = False, expected_version: int | None = None
) -> Task:
    """Set a locked task to done, with its delegation, and learn that its holder could do it."""
    if not force:
        await _require_nothing_open(task, uow)
    await _end_live(await uow.delegations.of_task(task.id), DelegationStatus.COMPLETED, now, uow)
    task = await uow.tasks.update(replace(task, status=TaskStatus.DONE, updated_at=now), expected_version)
    await learn_outcomes(task, now, uow)
    return task


async def recall(task: Task, now: datetime, uow: UnitOfWork) -> Task:
    """Take a locked task back from its delegation, if it has one; returns it as held by who sent it, not stored."""
    live = await _end_live(await uow.delegations.of_task(task.id), DelegationStatus.RECALLED, now, uow)
    return replace(task, instance_id=live.source_instance_id) if live else task


async def learn_outcomes(task: Task, now: datetime, uow: UnitOfWork) -> None:
    """Work out what became of each decision about the task, and keep what that says of the patterns behind it."""
    history = learn.History(
        task=task,
        delegations=await uow.delegations.of_task(task.id),
        feedback=await uow.feedback.find(task.id),
    )
    episodes = [(before, learn.judged(before, history, now)) for before in await uow.episodes.of_task(task.id)]
    turned = []
    for before, after in sorted(episodes, key=lambda episode: episode[0].id):  # in the order of whoever stores vectors
        if before != after:
            await uow.episodes.update(after)
        if before.outcome_success is not after.outcome_success:
            turned.append((before, after))
            if after.outcome_success is not None and after.strategy not in _BY_PEOPLE:
                uow.count(Counted.OUTCOME, RIGHT if after.outcome_success else WRONG)
    behind = sorted({pattern_id for _, after in turned for pattern_id in learn.patterns_behind(after)})
    for pattern in await uow.patterns.get_many_for_update(behind):
        better = pattern
        for before, after in turned:
            if pattern.id in learn.patterns_behind(after):
                better = learn.reassessed(better, before.outcome_success, after.outcome_success, now)
        await uow.patterns.update(better)


async def _decided_already(
    task_id: TaskId, episode_id: str, once: bool, retry: Retry | None, now: datetime, uow: UnitOfWork
) -> Episode | None:
    """The decision that an earlier try of this request, or, with `once`, any request has made."""
    if once:
        return await uow.episodes.latest(task_id)
    made = await uow.idempotency.begin(retry.key, retry.fingerprint, episode_id, now) if retry else None
    if made is None:
        return None
    return next((episode for episode in await uow.episodes.of_task(task_id) if episode.id == made), None)


async def _remember(episode: Episode, task: Task, vector: StoredVector | None, uow: UnitOfWork, ports: Ports) -> None:
    """Store an episode, to be found by its vector at once.

    Without one, or when the task's text has changed since it was made, as soon as the worker has made it.
    """
    await uow.episodes.add(episode)
    uow.count(Counted.DECISION, episode.strategy)
    if vector and is_of(vector, task):
        await uow.vectors.put(VectorKind.EPISODE, ports.embedder.model, {episode.id: vector})


async def _hand_over(
    task: Task,
    episode: Episode,
    kind: DelegationType,
    by: InstanceId | None,
    now: datetime,
    uow: UnitOfWork,
) -> Delegation:
    """The task is delegated to whom the episode chose, and held by them from now on."""
    delegation = Delegation(
        id=new_id(),
        task_id=task.id,
        episode_id=episode.id,
        source_instance_id=by,
        target_instance_id=episode.chosen_instance,
        delegation_type=kind,
        delegated_at=now,
    )
    await uow.delegations.add(delegation)
    await uow.tasks.update(replace(task, instance_id=episode.chosen_instance, updated_at=now))
    return delegation


async def _end_live(
    delegations: Sequence[Delegation], status: DelegationStatus, now: datetime, uow: UnitOfWork
) -> Delegation | None:
    """End the live one of a task's delegations; returns it as it was."""
    live = next((delegation for delegation in delegations if delegation.status.is_live), None)
    if live:
        await uow.delegations.update(replace(live, status=status, completed_at=now))
    return live


async def _candidates(
    by: InstanceId | None, delegations: Sequence[Delegation], uow: UnitOfWork
) -> Mapping[InstanceId, Candidate]:
    """Who may be chosen: all that `by` may delegate to.

    Save those who have rejected this task, and those from whom it was taken back twice: it would go back and forth.
    """
    refused = {d.target_instance_id for d in delegations if d.status is DelegationStatus.REJECTED}
    recalled = Counter(d.target_instance_id for d in delegations if d.status is DelegationStatus.RECALLED)
    refused |= {id for id, times in recalled.items() if times >= _TOO_OFTEN}
    return {id: one for id, one in (await uow.instances.routable_from(by)).items() if id not in refused}


def _require_routable(task: Task, by: InstanceId | None, delegations: Sequence[Delegation]) -> None:
    """A delegated task is its target's to pass on, and nobody else's to route."""
    _require_open(task)
    for delegation in delegations:
        if delegation.status.is_live and delegation.target_instance_id != by:
            raise Conflict(
                f"The task {task.id!r} is delegated to {delegation.target_instance_id!r}. "
                "Have the delegation rejected, or delegate the task by hand, before routing it again."
            )


def _require_consistent(feedback: Feedback, task: Task, delegations: Sequence[Delegation]) -> None:
    """Praise names nobody else, and blame not the same one."""
    had = learn.spoken_of(feedback, learn.History(task=task, delegations=delegations))
    should, good = feedback.should_have_routed_to, feedback.was_good_match
    if had and should and good is not None and good is not (should == had):
        raise Invalid(
            "should_have_routed_to",
            f"The task was with {had!r}: a good match can't have belonged to another, nor a bad one to the same.",
        )


async def _require_nothing_open(task: Task, uow: UnitOfWork) -> None:
    waiting = await uow.tasks.open_among(task.depends_on) if task.depends_on else ()
    if waiting:
        unseen = await uow.tasks.missing(waiting)
        told = [id for id in waiting if id not in unseen] + (["others' tasks"] if unseen else [])
        raise Conflict(f"The task {task.id!r} still depends on {', '.join(told)}. Finish those first, or force it.")


async def require_instance(instance_id: InstanceId, field: str, uow: UnitOfWork) -> None:
    if await uow.instances.missing([instance_id]):
        raise Invalid(field, f"There is no instance with the id {instance_id!r}.")


def _require_open(task: Task) -> None:
    if not task.status.is_open:
        raise Conflict(f"The task {task.id!r} is {task.status}; set it back to pending first.")


def _require_live(delegation: Delegation, wanted: str) -> None:
    if not delegation.status.is_live:
        raise Conflict(f"The delegation {delegation.id!r} is {delegation.status} and can't be {wanted} any more.")
