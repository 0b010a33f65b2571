"""Which tags are told to be the same, or needed by nobody."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.domain.graph import TagUse
from hopper.domain.tag_hygiene import Likeness, folded, singular, tag_hygiene


def used(*names: str, **more: int) -> list[TagUse]:
    """Each on fewer tasks than the one before."""
    return [TagUse(name, 100 - number, more.get(name, 0)) for number, name in enumerate(names)]


def doubles(*names: str) -> dict[str, dict[str, str]]:
    return {
        group.name: {double.name: double.why.value for double in group.doubles}
        for group in tag_hygiene(used(*names), 500).groups
    }


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("payments", "Payments"), "same_letters"),
        (("sign-up", "sign_up"), "same_letters"),
        (("node.js", "NodeJS"), "same_letters"),
        (("sign up", "signup"), "same_letters"),
        (("cards", "card"), "plural"),
        (("box", "boxes"), "plural"),
        (("story", "stories"), "plural"),
        (("refund", "refumd"), "one_edit"),
        (("refund", "refnd"), "one_edit"),
        (("refunds", "reffunds"), "one_edit"),
        (("payment", "paymnet"), "one_edit"),
        (("invoice", "invoicex"), "one_edit"),
        (("invoice", "xinvoice"), "one_edit"),
    ],
)
def test_a_double_is_told_with_its_reason(names: tuple[str, str], why: str) -> None:
    """Two spellings would live on side by side."""
    assert doubles(*names) == {names[0]: {names[1]: why}}
    assert doubles(*reversed(names)) == {names[1]: {names[0]: why}}


@pytest.mark.parametrize(
    "names",
    [
        ("cat", "car"),  # too short to be a typing error
        ("card", "care"),
        ("2024-q1", "2025-q1"),
        ("sprint-21", "sprint-22"),
        ("version1", "version11"),
        ("css", "cs"),
        ("class", "clas"),
        ("bus", "bu"),
        ("frontend", "backend"),
        ("x" * 60, "x" * 59 + "y"),
        (".", "-"),
    ],
)
def test_what_is_another_word_is_no_double(names: tuple[str, str]) -> None:
    """People would stop reading."""
    assert doubles(*names) == {}


def test_the_most_used_spelling_is_kept() -> None:
    """The advice would be to rename a thousand tasks for the sake of one."""
    [group] = tag_hygiene([TagUse("card", 1, 0), TagUse("cards", 40, 1), TagUse("Cards", 3, 0)], 500).groups
    assert (group.name, group.tasks, group.patterns) == ("cards", 40, 1)
    assert {double.name: double.tasks for double in group.doubles} == {"Cards": 3, "card": 1}


def test_orphans_are_told_apart() -> None:
    """A rule that can never match would look like a tag that was used once."""
    tags = [TagUse("asked", 0, 2), TagUse("once", 1, 0), TagUse("once-asked", 1, 1), TagUse("often", 2, 0)]
    found = tag_hygiene(tags, 500)
    assert [(one.name, one.why) for one in found.orphans] == [("asked", "no_task"), ("once", "one_task")]
    assert (found.tags, found.total_orphans, found.truncated) == (4, 2, False)
    assert tag_hygiene(tags, 1).truncated


letters = st.text("abs-", min_size=1, max_size=8)


@given(st.sets(letters, max_size=12))
def test_a_tag_is_a_double_of_just_one_and_none_is_missed(names: set[str]) -> None:
    """A tag would be told twice, or two that are alike would both be kept."""
    groups = tag_hygiene(used(*sorted(names)), 500).groups
    told = [double.name for group in groups for double in group.doubles]
    assert len(told) == len(set(told))
    assert not {group.name for group in groups} & set(told)
    kept = [name for name in names if name not in told]
    for one, other in combinations(kept, 2):
        assert not alike(one, other)
    for group in groups:
        for double in group.doubles:
            assert alike(group.name, double.name) is double.why


def alike(one: str, other: str) -> Likeness | None:
    """By comparing the two, letter by letter."""
    one, other = folded(one), folded(other)
    if one == other:
        return Likeness.SAME_LETTERS
    if singular(one) == singular(other):
        return Likeness.PLURAL
    return Likeness.ONE_EDIT if min(len(one), len(other)) >= 5 and one_edit_apart(one, other) else None


def one_edit_apart(one: str, other: str) -> bool:
    if len(one) > len(other):
        one, other = other, one
    at = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(one))
    if len(one) < len(other):
        return one[at:] == other[at + 1 :]
    swapped = one[:at] + one[at : at + 2][::-1] + one[at + 2 :]
    return len(one) == len(other) and (one[at + 1 :] == other[at + 1 :] or swapped == other)
