"""Answers that are kept for as long as they are current."""

from hopper.ports.kept_answers import KeptAnswers


def test_an_answer_is_kept_until_something_changes() -> None:
    """Somebody would read what was true before their own write."""
    kept = KeptAnswers()
    assert kept.find("a", 1) is None
    kept.keep("a", 1, "then")
    assert kept.find("a", 1) == "then"
    assert kept.find("a", 2) is None
    assert (kept.hits, kept.misses) == (1, 2)


def test_what_was_asked_longest_ago_is_forgotten() -> None:
    """A server that is asked many things would fill its memory."""
    kept = KeptAnswers(most=2)
    for key in ("a", "b"):
        kept.keep(key, 1, key)
    kept.find("a", 1)
    kept.keep("c", 1, "c")
    assert [kept.find(key, 1) for key in ("a", "b", "c")] == ["a", None, "c"]
