"""Directories as the public hopper (apathy-ca/hopper) writes them, and as its documents say that it does."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.builders import NOW, a_delegation, an_episode, an_instance, feedback_on

from hopper.bootstrap_local import open_local, unread_files
from hopper.domain.instance import InstanceType, Scope
from hopper.domain.pattern import Criteria, PatternType
from hopper.domain.task import Priority, TaskStatus
from hopper.ports import Ports
from hopper.ports.repositories import TaskFilter

FILES = {
    "config.yaml": """# Bakery's hopper
defaults: {priority: medium, status: pending}
instance:
  id: bakery-desk
  name: Desk
  scope: personal
storage:
  type: markdown
  path: ~/.hopper  # or .hopper for project-local
sync: {enabled: false, api_key: xxx}
""",
    "tasks/task-0a1b2c3d.md": """---
id: task-0a1b2c3d
title: 'Ovens: order new seals'
status: open
priority: high
tags:
- ovens
- 'no'
project: bakery
instance: bakery-desk
source: cli
depends_on:
- task-ffff0001
created_at: '2026-02-03T09:00:00.120000+00:00'
updated_at: '2026-02-03T09:00:00.120000+00:00'
---

Two of four leak.""",
    "tasks/task-ffff0001.md": """---
id: task-ffff0001
title: Measure all seals of both ovens, and write down which of them were made before the ovens
  were moved
status: completed
tags: ovens, measuring
depends_on: []
created_at: 2024-01-15T10:30:00Z
updated_at: 2024-01-15T14:20:00
assignee: Ada
---

## Description

All of them.

## Checklist

- [x] Upper oven
""",
    **{
        f"tasks/task-{status}.md": f"---\nid: task-{status}\ntitle: '{status}'\nstatus: {status}\n---\n"
        for status in ("pending", "claimed", "in_progress", "blocked", "done", "cancelled")
    },
    "memory/episodes/2026-02-03.md": """---
date: '2026-02-03'
total_episodes: 1
successful: 0
failed: 0
pending: 1
episodes:
- id: ep-77aa00ff
  task_id: task-0a1b2c3d
  chosen_instance: bakery-desk
  confidence: 0.75
  strategy: rules
  pattern_id: null
  factors: {tags: [ovens]}
  outcome_success: null
  outcome_duration: null
  routed_at: '2026-02-03T09:01:00+00:00'
  completed_at: null
---

## Episodes
""",
    "memory/episodes/2024-01-15.md": """---
date: 2024-01-15
total_episodes: 2
---

## Episodes

### 10:30 - task-ffff0001

- **Chosen:** bakery-desk
- **Confidence:** 0.75
- **Strategy:** rules
- **Outcome:** pending
- **Factors:**
  - tags: ovens

### 11:45 - task-done

- **Chosen:** bakery-desk
- **Confidence:** 0.85
- **Strategy:** pattern
- **Pattern:** ovens
- **Outcome:** success
- **Duration:** 45m
""",
    "memory/patterns/pat-12ab34cd.md": """---
id: pat-12ab34cd
name: Ovens go to repair
pattern_type: tag
target_instance: repair
tag_criteria:
  required:
  - ovens
  optional:
  - seals
text_criteria:
  keywords:
  - leak
confidence: 0.5
usage_count: 0
success_count: 0
failure_count: 0
is_active: true
created_at: '2026-02-01T08:00:00+00:00'
---

## Tag Criteria
""",
    "memory/patterns/ovens.md": """---
id: pat-abc123
name: ovens
description: Routes what is hot
pattern_type: combined
target_instance: bakery-desk
confidence: 0.82
usage_count: 15
success_count: 13
failure_count: 2
is_active: true
created_at: 2024-01-10T00:00:00Z
---

## Criteria

### Required Tags
- ovens
- heat

### Optional Tags
- gas

### Keywords
- glow
- leak

## History

| Date | Task | Outcome |
|------|------|---------|
""",
    "feedback/task-0a1b2c3d.md": """---
task_id: task-0a1b2c3d
was_good_match: false
should_have_routed_to: repair
quality_score: 4.5
complexity_rating: 3
required_rework: false
created_at: '2026-02-04T08:00:00+00:00'
---

## Routing Feedback

Belongs to the workshop.

## Notes

Took long.
""",
    ".index/tasks.json": "{}",
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def ports(directory: Path) -> Ports:
    return open_local(directory)


async def test_it_opens_as_it_is(directory: Path, ports: Ports) -> None:
    """Whoever comes from there would have to convert everything first, or find it half understood."""
    async with ports.reading() as uow:
        found = {task.id: task for task in (await uow.tasks.list(TaskFilter(), 50)).items}
        instances = await uow.instances.list(10)
    assert unread_files(directory) == ()
    seals, measure = found["task-0a1b2c3d"], found["task-ffff0001"]
    assert (seals.status, seals.priority, seals.instance_id) == (TaskStatus.PENDING, Priority.HIGH, "bakery-desk")
    assert (seals.tags, seals.depends_on) == ({"ovens": True, "no": True}, ("task-ffff0001",))
    assert (seals.description, seals.created_at.microsecond) == ("Two of four leak.", 120_000)
    assert measure.title.endswith("before the ovens were moved")
    assert (measure.status, measure.tags) == (TaskStatus.DONE, {"ovens": True, "measuring": True})
    assert (measure.updated_at - measure.created_at).seconds == 13_800
    assert {id.removeprefix("task-"): found[id].status.value for id in sorted(found)[1:]} == {
        "blocked": "pending",
        "cancelled": "cancelled",
        "claimed": "in_progress",
        "done": "done",
        "in_progress": "in_progress",
        "pending": "pending",
    } | {"ffff0001": "done"}
    [own] = instances.items
    assert (own.id, own.name, own.scope, own.instance_type) == (
        "bakery-desk",
        "Desk",
        Scope.PROJECT,
        InstanceType.LOCAL,
    )
    assert {name: (directory / name).read_text() for name in FILES} == FILES


async def test_what_was_learned_there_is_known(ports: Ports) -> None:
    """Patterns, decisions and feedback would have to be made anew."""
    async with ports.reading() as uow:
        patterns = {pattern.id: pattern for pattern in await uow.patterns.active()}
        feedback = await uow.feedback.get("task-0a1b2c3d")
        [routed] = await uow.episodes.of_task("task-0a1b2c3d")
        [documented] = await uow.episodes.of_task("task-done")
    ovens, hot = patterns["pat-12ab34cd"], patterns["pat-abc123"]
    assert (ovens.pattern_type, ovens.tag_criteria) == (PatternType.TAG, Criteria(all=("ovens",)))
    assert (hot.pattern_type, hot.usage_count) == (PatternType.COMBINED, 15)
    assert (hot.tag_criteria, hot.text_criteria) == (Criteria(all=("ovens", "heat")), Criteria(any=("glow", "leak")))
    assert (feedback.quality_score, feedback.was_good_match) == (0.9, False)
    assert feedback.routing_feedback and "Belongs to the workshop." in feedback.routing_feedback
    assert (routed.strategy, routed.outcome_success, routed.outcome_instance) == ("manual_pattern", None, None)
    assert (documented.strategy, documented.outcome_success, documented.outcome_instance) == (
        "learned_pattern",
        True,
        "bakery-desk",
    )


async def test_a_change_keeps_the_words_that_stood_there(directory: Path, ports: Ports) -> None:
    """The public hopper couldn't read its own directory any more, and git would show changes everywhere."""
    async with ports.unit_of_work() as uow:
        task = await uow.tasks.get_for_update("task-0a1b2c3d")
        await uow.tasks.update(replace(task, title="Ovens"))
        measure = await uow.tasks.get_for_update("task-ffff0001")
        await uow.tasks.update(replace(measure, status=TaskStatus.PENDING))
        await uow.commit()
    text = (directory / "tasks/task-0a1b2c3d.md").read_text()
    before = FILES["tasks/task-0a1b2c3d.md"]
    assert text == before.replace("'Ovens: order new seals'", "Ovens").replace("---\n\nTwo", "version: 2\n---\n\nTwo")
    text = (directory / "tasks/task-ffff0001.md").read_text()
    assert "\nstatus: pending\n" in text
    assert "\nassignee: Ada\n" in text
    assert "before the ovens\n  were moved\n" in text
    assert not (directory / ".index/tasks.json").exists()


async def test_everything_there_can_be_changed(directory: Path, ports: Ports) -> None:
    """Routing would stop at the first file that Hopper can read and can't write."""
    async with ports.unit_of_work() as uow:
        for pattern in await uow.patterns.active():
            await uow.patterns.update(replace(pattern, usage_count=pattern.usage_count + 1))
        for episode in [*await uow.episodes.of_task("task-0a1b2c3d"), *await uow.episodes.of_task("task-done")]:
            await uow.episodes.update(replace(episode, outcome_success=False, outcome_instance="x", completed_at=NOW))
        feedback = await uow.feedback.get("task-0a1b2c3d")
        await uow.feedback.put(replace(feedback, required_rework=True))
        await uow.instances.add(an_instance("repair", parent_id="bakery-desk"))
        await uow.delegations.add(a_delegation("task-0a1b2c3d", "repair"))
        await uow.episodes.add(an_episode("task-0a1b2c3d", "repair", routed_at=episode.routed_at, id="new"))
        await uow.feedback.put(feedback_on("task-done", quality_score=1.0))
        await uow.tasks.delete("task-blocked")
        await uow.commit()

    async def seen() -> list[object]:
        async with ports.reading() as uow:
            return [
                await uow.patterns.active(),
                await uow.episodes.of_task("task-0a1b2c3d"),
                await uow.episodes.of_task("task-done"),
                await uow.feedback.get("task-0a1b2c3d"),
                await uow.feedback.get("task-done"),
            ]

    first = await seen()
    (directory / ".index/hopper.db").unlink()
    assert await seen() == first
    assert unread_files(directory) == ()
    assert "factors: {tags: [ovens]}" in (directory / "memory/episodes/2026-02-03.md").read_text()
