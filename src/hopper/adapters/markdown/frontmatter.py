"""Reading a document: YAML between two lines of dashes and a body in markdown, or YAML alone.

Scalars are read as the text that stands there: `no`, `1.0` and dates are what a person wrote, and whoever asks for a
field knows what it should be.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

_OPENING = re.compile(r"\ufeff?---[ \t]*\r?\n")
_CLOSING = re.compile(r"^---[ \t]*\r?(?:\n|\Z)", re.MULTILINE)
_MARKER = re.compile(r"^(?:<{7} |={7}\r?$|>{7} )", re.MULTILINE)
_MARKERS = [re.compile(rf"^{sign}", re.MULTILINE) for sign in ("<{7} ", r"={7}\r?$", ">{7} ")]


_MOST_VALUES = 10_000
"""In documents with aliases, of which a few lines can stand for more than a memory holds."""


class Unreadable(Exception):
    """A file that can't be understood, and the line where that shows."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Document:
    """A file taken apart: `text[start:end]` is its YAML, of which `front` is the meaning, and the body follows."""

    text: str
    start: int
    end: int
    body_start: int
    front: Mapping[str, Any]

    @property
    def yaml(self) -> str:
        return self.text[self.start : self.end]

    @property
    def body(self) -> str:
        return self.text[self.body_start :].strip()

    def typed(self) -> Mapping[str, Any]:
        """The front matter with numbers, true and false as such."""
        meaning: Mapping[str, Any] = _load(self.yaml, typed=True)
        return meaning

    def line_of(self, key: str) -> int:
        """Where a key stands; the first line if it doesn't."""
        found = re.search(rf"^[ \t-]*[\"']?{re.escape(key)}[\"']?[ \t]*:", self.yaml, re.MULTILINE)
        return self.text.count("\n", 0, self.start + found.start()) + 1 if found else 1


def parse(data: bytes, *, framed: bool = True) -> Document:
    """Take a file apart. Raises Unreadable."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(1 + data.count(b"\n", 0, error.start), "this isn't UTF-8") from None
    start, end, body_start = 0, len(text), len(text)
    if has_conflict(text):
        raise _conflict(text, 0)
    if framed:
        opening = _OPENING.match(text)
        closing = _CLOSING.search(text, opening.end()) if opening else None
        if not opening:
            raise Unreadable(1, "it doesn't begin with a line of three dashes")
        if not closing:
            raise Unreadable(1, "no line of three dashes ends the front matter")
        start, end, body_start = opening.end(), closing.start(), closing.end()
    if _MARKER.search(text, start, end):
        raise _conflict(text, start)
    before = text.count("\n", 0, start)
    try:
        front = _load(text[start:end])
    except _errors() as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "the YAML can't be read"
        raise Unreadable(before + 1 + (mark.line if mark else 0), str(problem)) from None
    if not isinstance(front, dict):
        raise Unreadable(before + 1, "there should be lines of the form `key: value`")
    return Document(text, start, end, body_start, front)


def has_conflict(text: str) -> bool:
    """Whether a merge that git couldn't do stands in the text."""
    return all(marker.search(text) for marker in _MARKERS)


def compose(text: str) -> Any:
    """The nodes of a YAML text with the places where they stand; None for an empty text."""
    import yaml

    return yaml.compose(text, Loader=yaml.CSafeLoader)


def _conflict(text: str, start: int) -> Unreadable:
    found = _MARKER.search(text, start)
    line = 1 + text.count("\n", 0, found.start() if found else 0)
    return Unreadable(line, "a merge conflict of git stands here; choose one side, or keep both, and remove its marks")


def _load(text: str, *, typed: bool = False) -> Any:
    import yaml

    found = yaml.load(text, Loader=_loader(typed))  # noqa: S506 (a safe one)
    if "*" in text and "&" in text:
        _size(found, {})
    return {} if found is None else found


def _size(value: Any, known: dict[int, float]) -> float:
    """How many values there are when each alias stands for itself. Raises ValueError for a text that explodes."""
    if not isinstance(value, list | dict):
        return 1
    if id(value) not in known:
        known[id(value)] = float("inf")  # until it is known: it may hold itself
        known[id(value)] = 1 + sum(_size(one, known) for one in (value.values() if isinstance(value, dict) else value))
    if known[id(value)] > _MOST_VALUES:
        raise ValueError("its aliases stand for too much")
    return known[id(value)]


@cache
def _loader(typed: bool) -> Any:
    import yaml

    class Loader(yaml.CSafeLoader):
        yaml_implicit_resolvers = {}  # noqa: RUF012

    def resolve(tag: str, pattern: str, first: str) -> None:
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"^(?:{pattern})$"), [*first, ""])

    resolve("null", "~|null|Null|NULL|", "~nN")
    if typed:
        resolve("bool", "true|false", "tf")
        resolve("int", r"-?(?:0|[1-9]\d*)", "-0123456789")
        resolve("float", r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?", "-0123456789")
    return Loader


def _errors() -> tuple[type[Exception], ...]:
    import yaml

    return yaml.YAMLError, RecursionError, ValueError, KeyError, AttributeError  # of a tag such as !!int before a word
