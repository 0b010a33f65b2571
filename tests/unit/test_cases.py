"""The record that past tasks give a pattern: what it was learned from, and what others have decided since."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from tests.builders import a_pattern, a_task

from hopper.domain.pattern import Criteria, Pattern, PatternType
from hopper.domain.task import Priority
from hopper.routing.cases import with_cases
from hopper.routing.examples import Example
from hopper.routing.patterns import matching


def an_example(text: str = "the card", target: str | None = "payments", **fields: object) -> Example:
    return Example(**{"text": text, "tags": {}, "priority": None, "target": target, **fields})  # type: ignore[arg-type]


def record(pattern: Pattern, *examples: Example) -> tuple[int, int, int]:
    [found] = with_cases([pattern], examples)
    return found.usage_count, found.success_count, found.failure_count


def test_what_a_pattern_was_learned_from_is_its_record() -> None:
    """A pattern that hasn't decided yet would count for nothing with others, however often it was right."""
    card = a_pattern(pattern_type=PatternType.TEXT, text_criteria=Criteria(any=("card",)))
    belongs, elsewhere = an_example(), an_example(target="loans")
    rejected, by_others = an_example(target=None, wrong="payments"), an_example(target=None, wrong="loans")
    assert record(card, *[belongs] * 5, elsewhere, rejected, by_others, an_example("the cards")) == (7, 5, 2)


def test_more_of_its_own_decisions_stay() -> None:
    """Tasks are removed some time; a record that falls is refused where it was told."""
    card = a_pattern(pattern_type=PatternType.TEXT, text_criteria=Criteria(any=("card",)))
    decided = Pattern(
        **{name: getattr(card, name) for name in card.__slots__}
        | {"usage_count": 9, "success_count": 4, "failure_count": 0}
    )
    assert record(decided, an_example(), an_example(target="loans")) == (9, 4, 1)


WORDS = ("card", "cash", "wire", "bank")
terms = st.lists(st.sampled_from([*WORDS, "card cash", "Wire", "!"]), max_size=2).map(tuple)
tags = st.dictionaries(st.sampled_from(WORDS), st.sampled_from([True, "x"]), max_size=2)
patterns = st.builds(
    lambda tag, text, priority: a_pattern(
        pattern_type=PatternType.COMBINED, tag_criteria=tag, text_criteria=text, priority_criteria=priority
    ),
    st.none() | st.builds(Criteria, any=terms, all=terms, none=terms),
    st.none() | st.builds(Criteria, any=terms, all=terms, none=terms),
    st.sampled_from([None, Priority.HIGH]),
)
examples = st.builds(
    an_example,
    st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join),
    tags=tags,
    priority=st.sampled_from([None, Priority.HIGH]),
)


@given(st.lists(patterns, max_size=4), st.lists(examples, max_size=6))
def test_a_pattern_has_just_the_cases_that_it_matches(some: list[Pattern], past: list[Example]) -> None:
    """A shortcut that passes over tasks would make patterns look untried."""
    tasks = [a_task(one.text or "-", tags=one.tags, priority=one.priority) for one in past]
    expected = Counter(match.pattern.id for task in tasks for match in matching(some, task))
    assert {one.id: one.success_count for one in with_cases(some, past)} == {one.id: expected[one.id] for one in some}
