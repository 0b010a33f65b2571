"""Turning the pages of a ranking, whatever the rankers name."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hopper.app.search import part
from hopper.routing.fusion import fused

bounded = settings(max_examples=200, deadline=None)

ids = st.text(st.sampled_from("abc:é-_0"), min_size=1, max_size=4)
rankings = st.dictionaries(
    st.sampled_from(["keyword", "words", "semantic"]), st.lists(ids, max_size=12, unique=True), max_size=3
)


@bounded
@given(rankings, st.integers(1, 6))
def test_pages_together_are_the_whole_ranking(named: dict[str, list[str]], limit: int) -> None:
    """A person who turns pages would miss tasks, or see them twice."""
    whole = fused(named)
    turned: list[tuple[str, float, dict[str, int]]] = []
    cursor = None
    while True:
        page, cursor = part(whole, limit, cursor, "asked")
        turned += page
        if cursor is None:
            break
        assert len(page) == limit
    assert tuple(turned) == whole


@bounded
@given(rankings)
def test_a_ranking_names_each_task_once_with_all_its_places(named: dict[str, list[str]]) -> None:
    """What one ranker found would be lost, or come twice."""
    ranking = fused(named)
    assert {id for id, _, _ in ranking} == {id for ids in named.values() for id in ids}
    assert len({id for id, _, _ in ranking}) == len(ranking)
    for id, _, places in ranking:
        assert places == {ranker: ids.index(id) + 1 for ranker, ids in named.items() if id in ids}
    assert [score for _, score, _ in ranking] == sorted((score for _, score, _ in ranking), reverse=True)
