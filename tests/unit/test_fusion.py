"""One ranking out of several."""

import pytest

from hopper.routing.fusion import fused


def test_whom_several_rankers_name_comes_first() -> None:
    """A task that both words and meaning speak for would stand behind one that a single ranker likes."""
    ranking = fused({"keyword": ["a", "both"], "semantic": ["b", "both"]})
    assert [id for id, _, _ in ranking] == ["both", "b", "a"]
    assert ranking[0][1] == pytest.approx(2 / 62)
    assert ranking[0][2] == {"keyword": 2, "semantic": 2}
    assert ranking[1][1] == pytest.approx(1 / 61)
    assert ranking[1][2] == {"semantic": 1}


def test_one_ranker_keeps_its_order_and_none_names_nothing() -> None:
    """A search by words alone would come in another order than its ranker's."""
    assert [id for id, _, _ in fused({"keyword": ["c", "a", "b"], "semantic": []})] == ["c", "a", "b"]
    assert fused({}) == ()
