"""Criteria against a slow, plain reading of what they mean."""

from itertools import groupby

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import a_pattern, a_task

from hopper.domain.pattern import Criteria, Pattern, PatternType
from hopper.domain.task import Priority, Tags, Task
from hopper.routing.patterns import matching

bounded = settings(max_examples=150, deadline=None)

words = st.sampled_from(
    ["card", "Card", "CARDS", "cards", "pay", "über", "ÜBER", "straße", "STRASSE", "a1", "x_y", "日本"]
)
gaps = st.sampled_from([" ", "  ", ", ", "-", "\n", "! (", "…"])


@st.composite
def texts(draw: st.DrawFn, most: int) -> str:
    """Words with all sorts of gaps around and between them."""
    text: str = draw(st.sampled_from(["", "(", " "]))
    for word in draw(st.lists(words, min_size=1, max_size=most)):
        text += word + draw(gaps)
    return text


def criteria_of(terms: st.SearchStrategy[str]) -> st.SearchStrategy[Criteria]:
    some = st.lists(terms, max_size=2).map(tuple)
    return st.builds(Criteria, any=some, all=some, none=some)


names = st.sampled_from(["a", "A", "b", "area", "Area"])
values = st.sampled_from(["ui", "UI", "api"])
tags = st.dictionaries(names, st.just(True) | values, max_size=3)
tag_terms = names | st.builds("{}={}".format, names, values)
text_criteria, tag_criteria = criteria_of(texts(2)), criteria_of(tag_terms)
priorities = st.none() | st.sampled_from(Priority)


def words_of(text: str) -> list[str]:
    """Runs of letters, digits and _, compared without regard to case."""
    runs = groupby(text, key=lambda c: c.isalnum() or c == "_")
    return ["".join(run).casefold() for is_word, run in runs if is_word]


def says(text: str, phrase: str) -> bool:
    said, wanted = words_of(text), words_of(phrase)
    return any(said[at : at + len(wanted)] == wanted for at in range(len(said)))


def tagged(tags: Tags, term: str) -> bool:
    name, _, value = term.casefold().partition("=")
    return any(
        own.casefold() == name and (not value or (isinstance(its, str) and its.casefold() == value))
        for own, its in tags.items()
    )


def met(criteria: Criteria, true_of: dict[str, bool]) -> bool:
    return (
        (not criteria.any or any(true_of[term] for term in criteria.any))
        and all(true_of[term] for term in criteria.all)
        and not any(true_of[term] for term in criteria.none)
    )


def terms(criteria: Criteria) -> tuple[str, ...]:
    return (*criteria.any, *criteria.all, *criteria.none)


def tags_meet(criteria: Criteria, task: Task) -> bool:
    return met(criteria, {term: tagged(task.tags, term) for term in terms(criteria)})


def text_meets(criteria: Criteria, task: Task) -> bool:
    whole = f"{task.title}\n{task.description or ''}"
    return met(criteria, {term: says(whole, term) for term in terms(criteria)})


def matches(pattern: Pattern, task: Task) -> bool:
    return bool(matching([pattern], task))


@bounded
@given(tags, tag_criteria.filter(lambda criteria: not criteria.is_empty))
def test_tag_criteria_mean_what_they_say(tags: Tags, criteria: Criteria) -> None:
    """A rule on tags would take other tasks than a person reads in it."""
    task = a_task(tags=tags)
    assert matches(a_pattern(tag_criteria=criteria), task) is tags_meet(criteria, task)


@bounded
@given(texts(5), st.none() | texts(5), text_criteria.filter(lambda criteria: not criteria.is_empty))
def test_text_criteria_mean_what_they_say(title: str, description: str | None, criteria: Criteria) -> None:
    """A rule on words would take other tasks than a person reads in it."""
    task = a_task(title, description=description)
    pattern = a_pattern(pattern_type=PatternType.TEXT, text_criteria=criteria)
    assert matches(pattern, task) is text_meets(criteria, task)


@bounded
@given(texts(4), tags, priorities, tag_criteria, text_criteria, priorities)
def test_all_criteria_of_a_pattern_hold_together(
    title: str,
    tags: Tags,
    priority: Priority | None,
    by_tag: Criteria,
    by_text: Criteria,
    wanted: Priority | None,
) -> None:
    """A combined rule would work as its broadest part alone."""
    task = a_task(title, tags=tags, priority=priority)
    pattern = a_pattern(
        pattern_type=PatternType.COMBINED, tag_criteria=by_tag, text_criteria=by_text, priority_criteria=wanted
    )
    expected = (
        not (by_tag.is_empty and by_text.is_empty and wanted is None)
        and tags_meet(by_tag, task)
        and text_meets(by_text, task)
        and wanted in (None, priority)
    )
    assert matches(pattern, task) is expected


@bounded
@given(texts(4), tags, tag_criteria, text_criteria)
def test_the_reason_names_only_terms_of_the_pattern(
    title: str, tags: Tags, by_tag: Criteria, by_text: Criteria
) -> None:
    """A task's own words would stand in the record of its decision."""
    task = a_task(title, tags=tags)
    pattern = a_pattern(pattern_type=PatternType.COMBINED, tag_criteria=by_tag, text_criteria=by_text)
    for match in matching([pattern], task):
        left = match.reason
        for term in sorted({*terms(by_tag), *terms(by_text)}, key=len, reverse=True):
            left = left.replace(f"“{term}”", "").replace(f"“without {term}”", "")
        assert set(left.replace("tag", "").replace("text", "").replace("and", "")) <= set(" ,")
