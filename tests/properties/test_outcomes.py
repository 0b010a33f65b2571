"""What holds of every outcome, whatever happened to the task and in whichever order it became known."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import NOW, a_delegation, a_task, an_episode, later

from hopper.domain.decision import Strategy
from hopper.domain.delegation import Delegation, DelegationStatus, DelegationType
from hopper.domain.episode import Episode
from hopper.domain.feedback import Feedback
from hopper.domain.task import TaskStatus
from hopper.routing.learn import History, judged

bounded = settings(max_examples=200, deadline=None)

instances = st.sampled_from("abc")
someone = st.none() | instances
truth = st.none() | st.booleans()

episodes = st.builds(
    an_episode,
    st.just("t"),
    someone,
    id=st.sampled_from(["e1", "e2"]),
    strategy=st.sampled_from([Strategy.SIMILAR_EPISODES, Strategy.MANUAL_PATTERN, Strategy.MANUAL]),
)
delegations = st.builds(
    a_delegation,
    st.just("t"),
    instances,
    target_instance_id=someone,
    episode_id=st.sampled_from(["e1", "e2", None]),
    status=st.sampled_from(DelegationStatus),
    delegation_type=st.sampled_from(DelegationType),
    delegated_at=st.integers(0, 9).map(later),
)
feedbacks = st.builds(
    Feedback,
    task_id=st.just("t"),
    was_good_match=truth,
    should_have_routed_to=someone,
    required_rework=truth,
    created_at=st.integers(0, 9).map(later),
)
tasks = st.builds(a_task, id=st.just("t"), status=st.sampled_from(TaskStatus), instance_id=someone)


def in_order(found: list[Delegation]) -> list[Delegation]:
    return sorted(found, key=lambda delegation: delegation.delegated_at)


histories = st.builds(
    History,
    task=tasks,
    delegations=st.lists(delegations, max_size=4).map(in_order),
    feedback=st.none() | feedbacks,
)


@bounded
@given(episodes, histories)
def test_only_a_choice_can_be_right_or_wrong(episode: Episode, history: History) -> None:
    """Decisions that chose nobody would count in Hopper's accuracy."""
    after = judged(episode, history, NOW)
    if after.outcome_success is not None:
        assert episode.chosen_instance is not None


@bounded
@given(episodes, histories)
def test_a_choice_was_right_just_when_the_task_belonged_there(episode: Episode, history: History) -> None:
    """A decision would count as right while the task is learned as belonging elsewhere."""
    after = judged(episode, history, NOW)
    if after.outcome_success is True:
        assert after.outcome_instance == episode.chosen_instance
    if after.outcome_success is False:
        assert after.outcome_instance != episode.chosen_instance


@bounded
@given(episodes, histories)
def test_a_correction_has_the_last_word(episode: Episode, history: History) -> None:
    """Whatever happens to a task afterwards would undo what a person said of it."""
    if history.feedback and history.feedback.should_have_routed_to:
        assert judged(episode, history, NOW).outcome_instance == history.feedback.should_have_routed_to


@bounded
@given(episodes, st.lists(histories, max_size=3), histories)
def test_an_outcome_depends_on_what_is_known_and_not_on_the_way_there(
    episode: Episode, earlier: list[History], present: History
) -> None:
    """Two servers that heard the same things in another order would have learned different things."""
    wandered = episode
    for minute, history in enumerate(earlier):
        wandered = judged(wandered, history, later(minute))
    after, at_once = judged(wandered, present, later(60)), judged(episode, present, later(60))
    times = {"completed_at": None, "corrected_at": None, "outcome_duration": None}
    assert replace(after, **times) == replace(at_once, **times)  # type: ignore[arg-type]
    assert (after.completed_at is None) is (at_once.completed_at is None)


@bounded
@given(episodes, histories)
def test_what_is_known_has_a_time_and_what_is_not_has_none(episode: Episode, history: History) -> None:
    """Outcomes would be missing from the recent ones, or open decisions be among them."""
    after = judged(episode, history, NOW)
    known = after.outcome_success is not None or after.outcome_instance is not None
    assert (after.completed_at is not None) is known
