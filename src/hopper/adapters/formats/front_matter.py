"""Markdown files with YAML front matter: every value stays the text that stands there."""

import re
from typing import Any, cast

from hopper.adapters.formats.draft import UnusableRecord

_FILE = re.compile(r"---[ \t]*\n(.*?\n)?---[ \t]*(?:\n(.*))?", re.DOTALL)
_CONFLICT = re.compile(r"^<{7} ", re.MULTILINE)


class BadFrontMatter(UnusableRecord):
    """The front matter can't be read; `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def split(content: bytes) -> tuple[dict[str, Any], str]:
    """The front matter and what follows it. Raises BadFrontMatter."""
    try:
        text = content.removeprefix(b"\xef\xbb\xbf").decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise BadFrontMatter(content[: error.start].count(b"\n") + 1, "This is not UTF-8.") from None
    conflict = _CONFLICT.search(text)
    if conflict:
        raise BadFrontMatter(
            text.count("\n", 0, conflict.start()) + 1, "It has an unresolved conflict. Resolve it in the file first."
        )
    found = _FILE.fullmatch(text)
    if not found:
        raise BadFrontMatter(1, "It has no front matter between two lines of ---.")
    return _mapping(found[1] or ""), found[2] or ""


def load(text: str) -> Any:
    """YAML with all scalars as text, save null. Raises YAMLError, also for aliases: few lines could mean gigabytes."""
    from yaml import AliasEvent, CSafeLoader, MarkedYAMLError, YAMLError, load, parse

    if "*" in text:
        for event in parse(text, CSafeLoader):
            if isinstance(event, AliasEvent):
                raise MarkedYAMLError(problem="aliases aren't read", problem_mark=cast(Any, event.start_mark))

    class Loader(CSafeLoader):
        yaml_implicit_resolvers = {  # noqa: RUF012
            first: [(tag, pattern) for tag, pattern in resolvers if tag == "tag:yaml.org,2002:null"]
            for first, resolvers in CSafeLoader.yaml_implicit_resolvers.items()
        }

    try:
        return load(text, Loader)  # noqa: S506, as safe as the class it is made of
    except (ValueError, KeyError, AttributeError, RecursionError):  # a tag such as !!int before a word
        raise YAMLError from None


def dump(values: dict[str, Any]) -> str:
    """YAML in block style, its keys in their order; `load` gives the same again."""
    from yaml import CSafeDumper, dump

    text: str = dump(values, Dumper=CSafeDumper, sort_keys=False, allow_unicode=True, width=2**30)
    return text


def _mapping(text: str) -> dict[str, Any]:
    from yaml import MarkedYAMLError, YAMLError

    try:
        values = load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 2 if error.problem_mark else 1
        raise BadFrontMatter(line, f"Its front matter is not YAML: {error.problem or error.context}.") from None
    except YAMLError:
        raise BadFrontMatter(2, "Its front matter is not YAML.") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise BadFrontMatter(2, "Its front matter is no list of names and values.")
    return values
