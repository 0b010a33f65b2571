"""What things are: rules, tags, texts and ids."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any
from uuid import UUID

import pytest
from tests.builders import a_pattern, an_episode

from hopper.domain.delegation import DelegationStatus
from hopper.domain.episode import Episode
from hopper.domain.errors import Invalid, StaleVersion
from hopper.domain.ids import new_id
from hopper.domain.pattern import Criteria, PatternType, check_criteria
from hopper.domain.task import Priority, TaskStatus, embedding_text, tags_from

SOME = Criteria(any=("cards",))
NOTHING = {"tag_criteria": None, "text_criteria": None, "priority_criteria": None}


@pytest.mark.parametrize(
    ("kind", "criteria"),
    [
        (PatternType.TAG, {"tag_criteria": SOME}),
        (PatternType.TAG, {"tag_criteria": SOME, "text_criteria": Criteria()}),
        (PatternType.TEXT, {"text_criteria": Criteria(none=("cards",))}),
        (PatternType.PRIORITY, {"priority_criteria": Priority.HIGH}),
        (PatternType.COMBINED, {"tag_criteria": SOME, "text_criteria": SOME}),
        (PatternType.COMBINED, {"tag_criteria": SOME, "priority_criteria": Priority.LOW}),
        (PatternType.COMBINED, {"tag_criteria": SOME, "text_criteria": SOME, "priority_criteria": Priority.LOW}),
    ],
)
def test_a_pattern_with_just_its_own_criteria_is_taken(kind: PatternType, criteria: dict[str, Any]) -> None:
    """A correct rule would be refused."""
    check_criteria(a_pattern(pattern_type=kind, **(NOTHING | criteria)))


@pytest.mark.parametrize(
    ("kind", "criteria", "field"),
    [
        (PatternType.TAG, {}, "tag_criteria"),
        (PatternType.TAG, {"tag_criteria": Criteria()}, "tag_criteria"),
        (PatternType.TEXT, {"tag_criteria": SOME}, "text_criteria"),
        (PatternType.TEXT, {"text_criteria": SOME, "tag_criteria": SOME}, "tag_criteria"),
        (PatternType.TAG, {"tag_criteria": SOME, "priority_criteria": Priority.LOW}, "priority_criteria"),
        (PatternType.PRIORITY, {}, "priority_criteria"),
        (PatternType.COMBINED, {}, "pattern_type"),
        (PatternType.COMBINED, {"tag_criteria": SOME}, "pattern_type"),
        (PatternType.COMBINED, {"tag_criteria": SOME, "text_criteria": Criteria()}, "pattern_type"),
    ],
)
def test_a_pattern_with_other_criteria_is_refused_by_the_field(
    kind: PatternType, criteria: dict[str, Any], field: str
) -> None:
    """A rule would silently ignore a condition that a person wrote, or match every task."""
    with pytest.raises(Invalid) as refused:
        check_criteria(a_pattern(pattern_type=kind, **(NOTHING | criteria)))
    assert refused.value.field == field


def test_tags_may_come_as_a_list_or_an_object() -> None:
    """Clients that send tags as a list would be turned away, or their tags be stored in a form of their own."""
    assert tags_from(["cards", "urgent"]) == {"cards": True, "urgent": True}
    assert tags_from({"area": "ui", "cards": True}) == {"area": "ui", "cards": True}
    assert tags_from([]) == tags_from({}) == {}


def test_blank_and_duplicate_tags_fall_away() -> None:
    """A trailing comma in a list would make a tag without a name, and a space a second tag that looks the same."""
    assert tags_from(["cards", " cards ", "", "  "]) == {"cards": True}
    assert tags_from({" area ": "ui", "\t": True}) == {"area": "ui"}


def test_a_tag_that_is_too_long_is_refused() -> None:
    """A text pasted in a tag's place would be stored as a tag."""
    assert tags_from(["x" * 200]) == {"x" * 200: True}
    with pytest.raises(Invalid) as refused:
        tags_from(["x" * 201])
    assert refused.value.field == "tags"


def test_a_task_is_embedded_as_title_description_and_tag_names() -> None:
    """Vectors of one version of Hopper couldn't be compared with those of the next."""
    assert embedding_text("Lost", "My card.", {"cards": True, "area": "ui"}) == "Lost\nMy card.\nTags: cards, area"
    assert embedding_text("Lost", None, {}) == "Lost\n\nTags: "


def test_ids_sort_by_the_time_they_were_made() -> None:
    """Listings that break ties by id would show new things before old ones."""
    ids = [new_id() for _ in range(5000)]
    assert ids == sorted(ids)
    sleep(0.002)
    assert new_id() > ids[-1]


def test_an_id_is_a_uuid_of_version_7_that_holds_its_time() -> None:
    """An id would not fit its column, or tell nothing of when it was made."""
    id = new_id()
    assert len(id) == 36
    assert UUID(id).version == 7
    made = datetime.fromtimestamp((UUID(id).int >> 80) / 1000, UTC)
    assert abs(datetime.now(UTC) - made) < timedelta(seconds=5)


def test_ids_made_at_once_are_all_different() -> None:
    """Two tasks that arrive in one millisecond would be taken for one."""
    with ThreadPoolExecutor(8) as threads:
        ids = [id for made in threads.map(lambda _: [new_id() for _ in range(500)], range(8)) for id in made]
    assert len(set(ids)) == 4000


def test_an_episode_remembers_its_decision_whole() -> None:
    """A retried request would be answered with another decision than the first."""
    decision = an_episode("t", "a").decision("t")
    episode = Episode.of(decision, "by", an_episode().routed_at)
    assert episode.decision("t") == decision
    assert (episode.id, episode.source_instance_id) == (decision.episode_id, "by")
    assert (episode.outcome_success, episode.outcome_instance, episode.completed_at) == (None, None, None)
    assert Episode.of(replace(decision, episode_id=None), None, episode.routed_at).id


def test_what_is_open_and_what_is_live_is_told_by_the_status() -> None:
    """A finished task would be routed again, or a refused delegation would block the next one."""
    assert {status for status in TaskStatus if status.is_open} == {TaskStatus.PENDING, TaskStatus.IN_PROGRESS}
    live = {status for status in DelegationStatus if status.is_live}
    assert live == {DelegationStatus.PENDING, DelegationStatus.ACCEPTED}


def test_a_stale_version_tells_the_present_one() -> None:
    """A client whose update was refused wouldn't know what to read again."""
    error = StaleVersion("task", "t1", 7)
    assert "version 7" in error.message
    assert "'t1'" in error.message
