"""The rules of merging, for any contribution: what docs/sync-protocol.md promises rests on these."""

from dataclasses import replace
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from hopper.domain.instance import Scope
from hopper.domain.pattern import Criteria, PatternType
from hopper.sync.identity import canonical
from hopper.sync.merge import Contribution, contributed, join, keyed, merge_contributions, newest
from hopper.sync.payload import EpisodeSummary, FeedbackStats, NorthboundPayload, PatternSync

counts = st.integers(0, 30)
shares = st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0])
contributions = st.builds(
    Contribution,
    usage_count=counts,
    success_count=counts,
    failure_count=counts,
    confidence=shares,
    sequence=st.integers(0, 5),
)
stats = st.tuples(
    st.integers(0, 3),
    st.builds(
        FeedbackStats,
        total_feedback=counts,
        good_matches=counts,
        bad_matches=counts,
        avg_quality_score=st.none() | shares,
        avg_complexity=st.none() | shares,
    ),
)
words = st.lists(st.sampled_from(["Card", "card", "CARD ", "cash", "wire"]), max_size=3).map(tuple)
criteria = st.builds(Criteria, any=words, all=words, none=words)


def a_pattern(tags: Criteria | None = None, **fields: object) -> PatternSync:
    known = {"name": "x", "pattern_type": PatternType.TAG, "target_scope": Scope.PROJECT, "confidence": 0.5}
    record = {"usage_count": 1, "success_count": 1, "failure_count": 0}
    return PatternSync(**{**known, **record, "tag_criteria": tags or Criteria(any=("card",)), **fields})  # type: ignore[arg-type]


def a_payload(**fields: object) -> NorthboundPayload:
    known = {"source_instance_id": "s", "source_instance_name": "s", "sequence": 1, "digest": "d"}
    empty = {"patterns": (), "episode_summaries": (), "feedback_stats": None}
    return NorthboundPayload(**{**known, **empty, **fields})  # type: ignore[arg-type]


@given(contributions)
def test_replay_a_contribution_joined_with_itself_stays(one: Contribution) -> None:
    """A push that is sent again would change what it said."""
    assert join(one, one) == one


@given(contributions, contributions, contributions)
def test_reorder_joining_doesnt_depend_on_the_order(one: Contribution, two: Contribution, three: Contribution) -> None:
    """What a server knows would depend on which packet was faster."""
    assert join(one, two) == join(two, one)
    assert join(join(one, two), three) == join(one, join(two, three))


@given(st.lists(contributions, min_size=1, max_size=6), st.data())
def test_duplication_any_history_of_the_same_pushes_ends_in_one_state(
    pushes: list[Contribution], data: st.DataObject
) -> None:
    """Counts would grow with every lost answer."""
    again = data.draw(st.lists(st.sampled_from(pushes), max_size=6))
    shuffled = data.draw(st.permutations([*pushes, *again]))
    assert reduce(join, shuffled) == reduce(join, pushes)


@given(st.lists(stats, min_size=1, max_size=5), st.data())
def test_reorder_of_feedback_statistics_the_same_ones_stay(
    pushes: list[tuple[int, FeedbackStats]], data: st.DataObject
) -> None:
    """A late push would bring yesterday's statistics back."""
    shuffled = data.draw(st.permutations([*pushes, data.draw(st.sampled_from(pushes))]))
    assert reduce(newest, shuffled) == reduce(newest, pushes)
    assert reduce(newest, pushes)[0] == max(sequence for sequence, _ in pushes)


@given(criteria.filter(lambda one: not one.is_empty))
def test_the_same_rule_has_one_identity_however_it_is_written(tags: Criteria) -> None:
    """Three sources would share a pattern, and none of them would ever be told."""
    spelled = Criteria(
        any=tuple(term.upper() for term in reversed(tags.any)), all=tags.all * 2, none=tuple(sorted(tags.none))
    )
    one, other = canonical(a_pattern(tags)), canonical(a_pattern(spelled, name="another", confidence=0.1))
    assert one == other
    assert canonical(a_pattern(tag_criteria=one.tag_criteria)) == one, "its own normal form is the same pattern"


@given(st.sampled_from(["all", "none", "any"]))
def test_what_asks_for_something_else_is_another_pattern(group: str) -> None:
    """The records of different rules would be added up."""
    first = canonical(a_pattern(Criteria(**{group: ("card", "cash")})))
    others = [
        a_pattern(Criteria(**{group: ("card", "wire")})),
        a_pattern(Criteria(**{group: ("card", "cash")}), target_scope=Scope.GLOBAL),
        a_pattern(Criteria(**{group: ("card", "cash")}), target_scope=None),
        a_pattern(Criteria(**{group: ("card, cash",)})),
        a_pattern(None, pattern_type=PatternType.TEXT, text_criteria=Criteria(**{group: ("card", "cash")})),
    ]
    for kind in {"all", "none", "any"} - {group}:
        others.append(a_pattern(Criteria(**{kind: ("card", "cash")})))
    assert first.key not in {canonical(other).key for other in others}


def test_duplication_within_a_push_counts_once() -> None:
    """A client that lists a pattern twice would have twice the weight."""
    written = (a_pattern(usage_count=5), a_pattern(Criteria(all=("CARD",)), usage_count=7))
    [one] = contributed(written).values()
    assert one.contribution.usage_count == 7
    merge = merge_contributions({}, {one.pattern.key: one})
    assert (merge.new, merge.changed) == (1, 0)


@given(contributions, contributions)
def test_a_pattern_has_changed_when_what_it_says_has(before: Contribution, after: Contribution) -> None:
    """A client couldn't tell whether its push did anything."""
    pattern = a_pattern(
        usage_count=max(before.usage_count, after.usage_count),
        success_count=max(before.success_count, after.success_count),
        failure_count=max(before.failure_count, after.failure_count),
        confidence=after.confidence,
    )
    [(key, one)] = contributed([pattern], after.sequence).items()
    merge = merge_contributions({key: before}, {key: one})
    assert merge.new == 0
    stored = merge.joined[0].contribution if merge.joined else before
    assert stored == join(before, one.contribution)
    assert (merge.changed == 0) == stored.says_the_same(before)
    again = merge_contributions({key: stored}, {key: one})
    assert (again.joined, again.changed) == ((), 0)


def test_episodes_of_two_sources_never_share_a_key() -> None:
    """One source's decision would hide another's."""
    episode = EpisodeSummary(key="1", chosen_instance_scope=None, confidence=0.5, outcome_success=None, strategy="x")
    one = a_payload(episode_summaries=(episode, replace(episode, key=None), replace(episode, key=None), episode))
    assert len(keyed(one)) == 3, "one with a key, and each without"
    assert keyed(one) == keyed(one)
    others = [replace(one, source_instance_id="t"), replace(one, digest="e"), replace(one, digest="key")]
    shared = [len(keyed(one).keys() & keyed(other).keys()) for other in others]
    assert shared == [0, 1, 1]
