"""What would have changed a decision."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import NOW

from hopper.domain.decision import Alternative, Factor, FactorKind, Strategy
from hopper.domain.episode import Episode
from hopper.domain.ids import new_id
from hopper.routing.explain import Counterfactual, counterfactuals

WORDS, PAST, RULE = FactorKind.TEXT_MODEL, FactorKind.SIMILAR_EPISODES, FactorKind.LEARNED_PATTERN


def decided(
    *said: tuple[FactorKind, str, float], chosen: str | None = "a", strategy: Strategy = Strategy.TEXT_MODEL
) -> Episode:
    factors = [Factor(kind=kind, instance_id=id, contribution=share, text="because") for kind, id, share in said]
    return Episode(
        id=new_id(),
        task_id="t",
        chosen_instance=chosen,
        confidence=0.8,
        strategy=strategy,
        decision_factors=tuple(factors),
        alternatives=tuple(Alternative(instance_id=id, confidence=0.1) for id in ("a", "b") if id != chosen),
        routed_at=NOW,
    )


def test_the_evidence_that_tipped_the_scales_is_named() -> None:
    """A person couldn't tell what to change so that such tasks go elsewhere."""
    episode = decided((WORDS, "a", 0.7), (WORDS, "b", 0.1), (PAST, "a", 0.1), (PAST, "b", 0.3))
    assert counterfactuals(episode) == (Counterfactual(WORDS, "b"),)


def test_what_all_evidence_agrees_on_no_single_kind_decided() -> None:
    """A person would hear of a cause that is none."""
    assert counterfactuals(decided((WORDS, "a", 0.5), (PAST, "a", 0.4), (PAST, "b", 0.1))) == ()


def test_without_its_only_evidence_nobody_would_have_come_first() -> None:
    """A person would think that Hopper had another choice."""
    assert counterfactuals(decided((PAST, "a", 0.9))) == (Counterfactual(PAST, None),)


def test_patterns_that_say_the_same_count_once() -> None:
    """Two rules for one instance would look as if they had decided, though one is enough."""
    episode = decided(
        (RULE, "a", 0.3), (RULE, "a", 0.3), (WORDS, "b", 0.4), (PAST, "a", 0.2), strategy=Strategy.TEXT_MODEL
    )
    assert Counterfactual(RULE, "b") in counterfactuals(episode)
    assert Counterfactual(PAST, "b") in counterfactuals(episode)


@pytest.mark.parametrize("strategy", [Strategy.MANUAL_PATTERN])
def test_a_rule_that_decided_alone_leaves_the_rest_unsaid(strategy: Strategy) -> None:
    """A person would read what would have happened, which nobody has worked out."""
    assert counterfactuals(decided((FactorKind.MANUAL_PATTERN, "a", 0.9), strategy=strategy)) == ()


@pytest.mark.parametrize("rest", [(PAST, "b", 0.3), (PAST, "b", -0.3)])
def test_nobody_stays_nobody(rest: tuple[FactorKind, str, float]) -> None:
    """“But without its wording it would have been nobody” would be said of a task that went to nobody."""
    episode = decided((WORDS, "a", 0.4), rest, chosen=None, strategy=Strategy.ABSTAIN)
    assert counterfactuals(episode) == ()


shares = st.tuples(st.sampled_from([WORDS, PAST, RULE]), st.sampled_from("abc"), st.floats(-1, 1))


@given(st.lists(shares, max_size=12))
def test_nobody_is_named_who_came_first_anyway(said: Sequence[tuple[FactorKind, str, float]]) -> None:
    """“Without its wording it would have been a” would be said of what went to a."""
    assert all(change.instance_id != "a" for change in counterfactuals(decided(*said)))
