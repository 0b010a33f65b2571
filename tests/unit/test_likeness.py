"""How alike texts are by their words."""

import pytest

from hopper.domain.duplicate import Likeness
from hopper.domain.text import Text
from hopper.routing.likeness import likeness, promising, weights

WEIGHED = weights({"card": 100, "abroad": 20, "the": 600}, 1_000)


def text(*words: str) -> Text:
    return Text({word: words.count(word) for word in words}, len(set(words)))


def test_rare_words_say_more_and_those_of_half_the_texts_nothing() -> None:
    """Tasks would be alike because both say “the”."""
    assert WEIGHED["abroad"] > WEIGHED["card"] > 0
    assert WEIGHED["the"] == 0
    assert weights({"card": 2}, 2)["card"] > 1  # so few texts tell nothing yet


def test_a_copy_is_entirely_alike_and_a_stranger_not_at_all() -> None:
    """There would be no bound from which on a task is surely a duplicate."""
    asked = text("card", "abroad", "the")
    texts = [text("refund", "the"), text("card"), text("card", "abroad", "a", "b", "c", "d", "e"), asked]
    scores = [score or 0.0 for score in likeness(asked, texts, WEIGHED)]
    assert (scores[0], scores[-1]) == (0, 1)
    assert scores == sorted(set(scores))


def test_a_text_that_says_nothing_is_like_no_other() -> None:
    """Two tasks of stop words alone would be taken for the same, or for entirely different."""
    assert likeness(text("the"), [text("the"), text("card")], WEIGHED) == [None, None]
    assert likeness(text(), [], WEIGHED) == []


def test_those_with_the_weightiest_words_are_looked_at_first() -> None:
    """The duplicate would be lost among all the tasks that share a usual word."""
    postings = {"card": ["a", "b"], "abroad": ["b", "c"], "the": ["d"]}
    assert promising(postings, WEIGHED, 10) == ("b", "c", "a")
    assert promising(postings, WEIGHED, 1) == ("b",)


def test_a_score_counts_what_is_known() -> None:
    """While the embedder is away, copies would seem to be half as alike."""
    assert Likeness(words=1, title=1, meaning=1).score == 1
    assert Likeness(words=1, title=0.6, meaning=0.4).score == pytest.approx(0.75)
    assert Likeness(words=0.9, title=0.9).score == pytest.approx(0.9)
    assert Likeness(meaning=0.3).score == pytest.approx(0.3)
    assert Likeness().score == 0
