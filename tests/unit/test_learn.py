"""What became of a decision, worked out from all that is known of the task."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.builders import NOW, a_delegation, a_task, an_episode, feedback_on, later

from hopper.domain.decision import Strategy
from hopper.domain.delegation import Delegation, DelegationStatus, DelegationType
from hopper.domain.episode import Episode
from hopper.domain.feedback import Feedback
from hopper.domain.task import TaskStatus
from hopper.routing.learn import History, judged, persons_choice, persons_word, spoken_of

CHOSEN = an_episode("t", "a")
ABSTAINED = an_episode("t")
SOON = later(5)
Outcome = tuple[bool | None, str | None]


def known(
    delegations: Sequence[Delegation] = (),
    *,
    holder: str | None = None,
    done: bool = False,
    **said: Any,
) -> History:
    """A task's history; `said` is what a person's feedback says, ten minutes on."""
    status = TaskStatus.DONE if done else TaskStatus.PENDING
    feedback = feedback_on("t", **{"created_at": later(10), **said}) if said else None
    return History(task=a_task(id="t", status=status, instance_id=holder), delegations=delegations, feedback=feedback)


def to(instance: str | None, status: DelegationStatus = DelegationStatus.ACCEPTED, **fields: Any) -> Delegation:
    return a_delegation("t", "", **{"target_instance_id": instance, "status": status, **fields})


def outcome(episode: Episode, history: History) -> Outcome:
    after = judged(episode, history, SOON)
    return after.outcome_success, after.outcome_instance


def test_nothing_is_known_of_work_under_way() -> None:
    """Hopper would learn from its own guess before anybody has said or done anything."""
    after = judged(CHOSEN, known([to("a", episode_id=CHOSEN.id)], holder="a"), SOON)
    assert after == CHOSEN


def test_praise_says_that_the_choice_was_right() -> None:
    """A person's praise would teach nothing."""
    after = judged(CHOSEN, known(holder="a", was_good_match=True), SOON)
    assert (after.outcome_success, after.outcome_instance, after.completed_at) == (True, "a", SOON)


def test_blame_says_that_the_choice_was_wrong_and_not_who_was_right() -> None:
    """After blame alone, Hopper would go on believing that the task belonged where it was sent."""
    assert outcome(CHOSEN, known(holder="a", was_good_match=False)) == (False, None)
    assert outcome(CHOSEN, known(holder="a", was_good_match=False, done=True)) == (False, None)


@pytest.mark.parametrize("was_good_match", [None, True, False])
def test_a_correction_says_who_was_right(was_good_match: bool | None) -> None:
    """The strongest thing a person can say would not be learned."""
    corrected = known(holder="a", done=True, should_have_routed_to="b", was_good_match=was_good_match)
    assert outcome(CHOSEN, corrected) == (False, "b")
    confirmed = known(holder="a", should_have_routed_to="a", was_good_match=was_good_match)
    assert outcome(CHOSEN, confirmed) == (True, "a")
    assert outcome(ABSTAINED, corrected) == (None, "b")


def test_feedback_is_about_who_had_the_task_when_it_was_given() -> None:
    """Praise for one team would be counted for the next one that the task came to."""
    first, second = to("a", DelegationStatus.REJECTED, delegated_at=NOW), to("b", delegated_at=later(20))
    history = known([first, second], holder="b", was_good_match=True)
    feedback = history.feedback
    assert isinstance(feedback, Feedback)
    assert spoken_of(feedback, history) == "a"
    assert spoken_of(replace(feedback, created_at=later(30)), history) == "b"
    assert spoken_of(feedback, known(holder="c")) == "c"
    assert spoken_of(feedback, known()) is None


def test_praise_for_another_says_that_the_choice_was_wrong() -> None:
    """A task that came to the right team in the end would count as a success of the first choice."""
    history = known([to("a", DelegationStatus.RECALLED), to("b")], holder="b", was_good_match=True)
    assert outcome(CHOSEN, history) == (False, "b")
    assert outcome(ABSTAINED, history) == (None, "b")


def test_blame_for_another_says_nothing_of_this_choice() -> None:
    """Blame for the second team would make the first one look wrong too, or right."""
    assert outcome(CHOSEN, known([to("b")], holder="b", was_good_match=False)) == (None, None)


@pytest.mark.parametrize("episode", [ABSTAINED, CHOSEN, persons_word("t", NOW)])
def test_finished_work_does_not_overrule_a_persons_blame(episode: Episode) -> None:
    """A team that a person called the wrong one would be learned as the right one, once it had done the work anyway."""
    blamed = known([to("b", DelegationStatus.COMPLETED)], holder="b", done=True, was_good_match=False)
    assert judged(episode, blamed, SOON).outcome_instance != "b"


def test_feedback_that_says_nothing_of_the_choice_leaves_it_open() -> None:
    """Rating a task's difficulty would mark its routing as right or wrong."""
    history = known(holder="a", complexity_rating=5, quality_score=0.1, routing_feedback="hm", required_rework=True)
    assert outcome(CHOSEN, history) == (None, None)


def test_a_refusal_is_a_failure_whose_answer_is_not_known_yet() -> None:
    """A refusal would teach nothing, or teach that the task belongs to whoever refused it."""
    refused = to("a", DelegationStatus.REJECTED, episode_id=CHOSEN.id)
    assert outcome(CHOSEN, known([refused])) == (False, None)
    assert outcome(CHOSEN, known([refused, to("b", DelegationStatus.COMPLETED)], holder="b", done=True)) == (
        False,
        None,
    )
    assert outcome(CHOSEN, known([replace(refused, episode_id="another")])) == (None, None)


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        ([], (None, None)),
        ([to("b", delegation_type=DelegationType.MANUAL)], (False, None)),
        ([to("a", delegation_type=DelegationType.MANUAL)], (None, None)),
        ([to("b", delegation_type=DelegationType.ROUTED)], (None, None)),
    ],
)
def test_taking_a_task_away_by_hand_is_a_correction(then: list[Delegation], expected: Outcome) -> None:
    """A person who mends a wrong choice by hand would have to say so a second time."""
    recalled = to("a", DelegationStatus.RECALLED, episode_id=CHOSEN.id)
    assert outcome(CHOSEN, known([recalled, *then])) == expected


def test_work_done_by_the_chosen_instance_is_a_success() -> None:
    """Without anybody's praise, Hopper would learn nothing from work that is simply done."""
    after = judged(CHOSEN, known(holder="a", done=True), SOON)
    assert (after.outcome_success, after.outcome_instance) == (True, "a")
    assert (after.completed_at, after.outcome_duration) == (SOON, "PT300S")


def test_work_done_by_another_says_that_the_choice_was_wrong() -> None:
    """A task that wandered on and was done elsewhere would count as a success of the first choice."""
    assert outcome(CHOSEN, known(holder="b", done=True)) == (False, "b")
    assert outcome(ABSTAINED, known(holder="b", done=True)) == (None, "b")


def test_passing_a_task_on_and_having_it_done_is_a_success() -> None:
    """A coordinator that hands its tasks down would count as wrong each time."""
    history = known([to("a", DelegationStatus.COMPLETED), to("b", DelegationStatus.COMPLETED)], holder="b", done=True)
    assert outcome(CHOSEN, history) == (True, "a")
    assert outcome(replace(CHOSEN, chosen_instance="c"), history) == (False, "b")


def test_work_that_was_passed_on_by_someone_who_is_gone_is_no_success_of_abstaining() -> None:
    """Removing an instance would turn decisions that chose nobody into right ones."""
    history = known([to(None, DelegationStatus.COMPLETED), to("b", DelegationStatus.COMPLETED)], holder="b", done=True)
    assert outcome(ABSTAINED, history) == (None, "b")


def test_work_done_by_nobody_teaches_only_how_long_it_took() -> None:
    """A task that was closed in triage would be learned as belonging nowhere."""
    after = judged(ABSTAINED, known(done=True), SOON)
    assert (after.outcome_success, after.outcome_instance, after.completed_at) == (None, None, None)
    assert after.outcome_duration == "PT300S"


def test_a_persons_own_choice_is_known_from_the_start_and_no_success_of_hoppers() -> None:
    """Delegating by hand would teach nothing, or make Hopper's accuracy look better than it is."""
    by_hand = persons_choice("t", "a", NOW)
    assert (by_hand.strategy, by_hand.chosen_instance, by_hand.confidence) == (Strategy.MANUAL, "a", 1.0)
    assert (by_hand.outcome_success, by_hand.outcome_instance, by_hand.completed_at) == (None, "a", NOW)
    assert judged(by_hand, known([to("a", episode_id=by_hand.id)], holder="a"), SOON) == by_hand
    assert outcome(by_hand, known(holder="a", done=True)) == (True, "a")
    assert outcome(by_hand, known([to("a", DelegationStatus.REJECTED, episode_id=by_hand.id)])) == (False, None)


def test_a_persons_word_on_a_task_that_was_never_routed_is_learned() -> None:
    """What people say of tasks that came with their holder would teach nothing."""
    word = persons_word("t", NOW)
    assert (word.strategy, word.chosen_instance) == (Strategy.FEEDBACK, None)
    assert outcome(word, known(holder="a", was_good_match=True)) == (None, "a")
    assert outcome(word, known(holder="a", should_have_routed_to="b")) == (None, "b")
    assert outcome(word, known(holder="a", was_good_match=False)) == (None, None)


def test_a_changed_mind_replaces_what_was_said_and_keeps_its_time() -> None:
    """A slip of the finger couldn't be taken back, or old outcomes would jump to the front of the recent ones."""
    first = judged(CHOSEN, known(holder="a", was_good_match=True), SOON)
    second = judged(first, known(holder="a", should_have_routed_to="b"), later(60))
    assert (second.outcome_success, second.outcome_instance) == (False, "b")
    assert (second.completed_at, second.corrected_at) == (SOON, later(60))


def test_only_another_instance_is_a_correction() -> None:
    """Everything that is said twice would be learned twice, or what a refused task turned out to be never."""
    praised = judged(CHOSEN, known(holder="a", was_good_match=True), SOON)
    assert praised.corrected_at is None
    assert judged(praised, known(holder="a", was_good_match=True, done=True), later(60)).corrected_at is None
    refused = judged(CHOSEN, known(holder="a", was_good_match=False), SOON)
    assert refused.corrected_at is None
    told = judged(refused, known(holder="a", should_have_routed_to="b"), later(60))
    assert (told.completed_at, told.corrected_at) == (SOON, later(60))
    assert judged(told, known(holder="a", should_have_routed_to="b", done=True), later(90)).corrected_at == later(60)


def test_whoever_takes_a_word_back_takes_back_what_followed_from_it() -> None:
    """Feedback that was replaced by a mere rating would go on deciding."""
    praised = judged(CHOSEN, known(holder="a", was_good_match=True), SOON)
    taken_back = known(holder="a", complexity_rating=3)
    as_before = replace(CHOSEN, corrected_at=later(60))
    assert judged(praised, taken_back, later(60)) == as_before
    reopened = judged(CHOSEN, known(holder="a", done=True), SOON)
    assert judged(reopened, known(holder="a"), later(60)) == as_before


def test_how_long_the_work_took_does_not_grow_afterwards() -> None:
    """Feedback a week later would make a task of an hour one of a week."""
    done = judged(CHOSEN, known(holder="a", done=True), SOON)
    after = judged(done, known(holder="a", done=True, was_good_match=False), later(10_000))
    assert after.outcome_duration == "PT300S"


def test_praise_is_for_who_passed_the_task_on_too() -> None:
    """A project whose member did well would be counted as the wrong choice as soon as somebody says so."""
    chain = [
        to("a", DelegationStatus.COMPLETED, episode_id=CHOSEN.id),
        to("a1", DelegationStatus.COMPLETED, delegated_at=later(1)),
    ]
    assert outcome(CHOSEN, known(chain, holder="a1", done=True, was_good_match=True)) == (True, "a")
    assert outcome(CHOSEN, known(chain, holder="a1", done=True, should_have_routed_to="b")) == (False, "b")
