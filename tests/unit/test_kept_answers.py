"""Answers that are kept for as long as they are current."""

from hopper.ports.kept_answers import KeptAnswers


def test_an_answer_is_kept_until_something_changes() -> None:
    """Somebody would read what was true before their own write."""
    kept = KeptAnswers()
    assert kept.find("a", 1) is None
    kept.keep("a", 1, "then", size=1)
    assert kept.find("a", 1) == "then"
    assert kept.find("a", 2) is None
    kept.keep("a", 2, "now", size=1)
    assert kept.find("a", 2) == "now"
    assert (kept.hits, kept.misses) == (2, 2)


def test_what_was_asked_longest_ago_is_forgotten_and_what_is_large_not_kept() -> None:
    """A server that is asked many things, or large ones, would fill its memory."""
    kept = KeptAnswers(room=100)
    for number in range(10):
        kept.keep(number, 1, number, size=10)
    kept.find(0, 1)
    kept.keep("large", 1, "large", size=11)
    kept.keep("new", 1, "new", size=5)
    kept.keep("new", 1, "new", size=5)
    assert [kept.find(key, 1) for key in (0, 1, 2, "large", "new")] == [0, None, 2, None, "new"]
