"""Which words may become terms: whatever people write, but nothing that looks private."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.routing.terms import may_be_term, public_words, tag_terms, words


@pytest.mark.parametrize("word", ["card", "s3", "http2", "c++", "ipv6", "面包", "o", "k8s", "donaudampfschifffahrt"])
def test_ordinary_words_may_be_terms(word: str) -> None:
    """What people say most often couldn't be learned from."""
    assert may_be_term(word)


@pytest.mark.parametrize("word", ["42", "1600005", "bug12345", "deadbeef0", "x" * 41, "٣٤٥", "2f4a9c"])
def test_numbers_and_ids_may_not(word: str) -> None:
    """Patterns would be about a customer's number."""
    assert not may_be_term(word)


def test_private_parts_break_phrases() -> None:
    """The words around an address would look like a phrase that nobody wrote."""
    assert public_words("write to bob@example.com at once") == ["write", "to", "0", "at", "once"]
    assert public_words("see https://a.example/b?c=d, or ask") == ["see", "0", "or", "ask"]
    assert public_words("password: hunterlake works") == ["0", "works"]
    assert words("write to Bob") == ["write", "to", "bob"]


def test_tags_are_named_as_patterns_name_them() -> None:
    """A tag's pattern would never match the tag."""
    assert tag_terms({"Backend": True, "Area": "UI"}) == {"backend", "area", "area=ui"}
    assert tag_terms({"customer": "48151623", "mail": "bob@example.com"}) == {"customer", "mail"}


@given(st.text(max_size=300))
def test_any_text_has_words(text: str) -> None:
    """One odd task would keep all others from being learned from."""
    assert all(words(word) == [word] for word in public_words(text))
    assert all(words(term) for term in tag_terms({text: text}))
