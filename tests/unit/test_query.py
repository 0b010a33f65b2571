"""Reading what a person types into a search."""

import pytest

from hopper.domain.query import Query, Term, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("  \t ", ()),
        ("lost card", ((Term("lost"), Term("card")),)),
        ('"lost card" -plastic', ((Term("lost card"), Term("plastic", excluded=True)),)),
        ('-"lost card"', ((Term("lost card", excluded=True),),)),
        ("pay* or OR refund", ((Term("pay", prefix=True),), (Term("refund"),))),
        ('"open quote', ((Term("open quote"),),)),
        ('""', ()),
        ("e-mail -", ((Term("e-mail"),),)),
        ("🎉 ((( * -* ' \\", ()),
        ("支払い", ((Term("支払い"),),)),
    ],
)
def test_a_query_is_read_without_complaint(text: str, expected: tuple[tuple[Term, ...], ...]) -> None:
    """A person would hear of a syntax that they never wanted to learn, or be misunderstood."""
    assert parse(text) == Query(expected)


def test_what_is_wanted_and_what_isnt_are_told_apart() -> None:
    """A search by meaning would look for what was excluded."""
    query = parse('"lost card" pay* -plastic or refund -late')
    assert query.wanted == "lost card pay refund"
    assert [term.text for term in query.excluded] == ["plastic", "late"]
