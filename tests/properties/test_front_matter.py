"""What Hopper writes into a front matter is read back as it was, whatever it is, and nothing else is touched."""

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from hopper.adapters.markdown.edit import edited
from hopper.adapters.markdown.emit import block
from hopper.adapters.markdown.frontmatter import parse

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    [
        "no",
        "null",
        "~",
        "1.0",
        "2026-01-05",
        "a: b",
        "- a",
        "#",
        "'",
        '"',
        "a #b",
        " a",
        "a ",
        "|",
        "&a",
        "*a",
        "!a",
        "%",
    ]
)
NAMES = st.sampled_from(["a", "b", "c", "d", "longer_name"])
VALUES = TEXTS | st.lists(TEXTS.filter(bool), max_size=4, unique=True) | st.dictionaries(NAMES, TEXTS, max_size=3)
FRONTS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=5)


def framed(front: str, body: str = "\nBody\n") -> bytes:
    return f"---\n{front}---\n{body}".encode()


@given(FRONTS)
def test_what_is_written_is_read_back(front: dict[str, Any]) -> None:
    """A title of three dashes, or a tag called “no”, would become something else, or break its file."""
    written = block(front)
    assert parse(framed(written)).front == front
    assert yaml.safe_load(written) == front  # as every other reader of YAML has it


@given(FRONTS, FRONTS, st.booleans())
def test_an_edit_changes_what_it_should_and_keeps_the_rest(
    before: dict[str, Any], after: dict[str, Any], windows: bool
) -> None:
    """A change of one field would lose a comment, or change a field that Hopper knows nothing of."""
    comments = "# first\n" + "".join(f"{block({key: before[key]})}# after {key}\n" for key in before)
    text = "unknown: {a: 1,   b: 'x'}  # kept\n" + comments
    text = text.replace("\n", "\r\n") if windows else text
    result = edited(text, before, after, frozenset())
    assert parse(framed(result)).front == {"unknown": {"a": "1", "b": "x"}, **after}
    assert result.startswith(text[: text.index("# first") + 7])
    assert [f"# after {key}" in result for key in before] == [True] * len(before)
    assert result.count("\r\n") == (result.count("\n") if windows else 0)
    assert edited(text, before, before, frozenset()) == text
