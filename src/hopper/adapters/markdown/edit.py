"""Changing some keys of a YAML text, all else byte for byte: comments, order, quotes, and what Hopper doesn't know."""

import re
from collections.abc import Mapping
from typing import Any

from hopper.adapters.markdown.emit import block, entry, item, scalar
from hopper.adapters.markdown.frontmatter import compose


class Unsafe(Exception):
    """The text is written in a way that can't be changed without touching something else."""


def edited(text: str, before: Mapping[str, Any], after: Mapping[str, Any], forced: frozenset[str]) -> str:
    """The text with the keys that differ, or that are forced, as in `after`. Raises Unsafe.

    Lists of mappings, which have an `id`, are changed item by item.
    """
    root = compose(text)
    if root is None:
        return text + block(after)
    editor = _Editor(text)
    editor.mapping(root, before, after, forced)
    return editor.result()


class _Editor:
    def __init__(self, text: str) -> None:
        self._text = text
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._edits: list[tuple[int, int, str]] = []

    def result(self) -> str:
        text, last = self._text, len(self._text) + 1
        ordered = sorted(enumerate(self._edits), key=lambda edit: (*edit[1][:2], edit[0]), reverse=True)
        for _, (start, end, new) in ordered:
            if end > last:
                raise Unsafe
            text, last = text[:start] + new.replace("\n", self._newline) + text[end:], start
        return text

    def mapping(
        self, node: Any, before: Mapping[str, Any], after: Mapping[str, Any], forced: frozenset[str] = frozenset()
    ) -> None:
        if node.id != "mapping" or node.flow_style or not node.value:
            raise Unsafe
        there = {key.value: (key, value) for key, value in node.value}
        added: dict[str, Any] = {}
        for name in {**before, **after, **dict.fromkeys(forced & there.keys())}:
            if before.get(name, Unsafe) == after.get(name, Unsafe) and name not in forced:
                continue
            if name not in there:
                added |= {name: after[name]} if name in after else {}
            elif name in after:
                self._replace(*there[name], name, before.get(name), after[name])
            else:
                self._cut(there[name][0].start_mark.index, self._end(*there[name]))
        if added:
            self._add_lines(self._end(*node.value[-1]), block(added, " " * node.value[0][0].start_mark.column))

    def _replace(self, key: Any, value: Any, name: str, before: Any, after: Any) -> None:
        start, end = value.start_mark.index, self._end(key, value)
        in_block = value.id != "scalar" and not value.flow_style and before and after
        if in_block and value.id == "mapping" and isinstance(before, Mapping) and isinstance(after, Mapping):
            return self.mapping(value, before, after)
        if in_block and isinstance(before, list) and isinstance(after, list) and _length(value) == len(before):
            return self._sequence(value, before, after)
        on_one_line = not isinstance(after, Mapping | list) or not after
        if on_one_line and value.id == "scalar" and value.style not in ("|", ">"):
            if start == value.end_mark.index:  # nothing stands there
                start = end = self._colon(key)
                return self._edits.append((start, end, f" {scalar(after)}"))
            return self._edits.append((start, end, scalar(after)))
        indent = " " * key.start_mark.column
        new = entry(name, after, indent)[len(indent) :].removesuffix("\n")
        return self._edits.append((key.start_mark.index, end, new))

    def _sequence(self, node: Any, before: list[Any], after: list[Any]) -> None:
        nodes = {_identity(one): (child, one) for child, one in zip(node.value, before, strict=True)}
        wanted = {_identity(one): one for one in after}
        for identity, (child, one) in nodes.items():
            start, end = self._item_start(child), self._node_end(child)
            if identity not in wanted:
                self._cut(start, end)
            elif wanted[identity] != one:
                if child.flow_style:
                    prefix = self._text[start : child.start_mark.index]
                    self._edits.append((start, end, item(wanted[identity], prefix).removesuffix("\n")))
                else:
                    self.mapping(child, one, wanted[identity])
        new = [one for identity, one in wanted.items() if identity not in nodes]
        if new:
            last = node.value[-1]
            prefix = self._text[self._item_start(last) : last.start_mark.index]
            self._add_lines(self._node_end(last), "".join(item(one, prefix) for one in new))

    def _item_start(self, child: Any) -> int:
        """Where the line with an item's dash begins."""
        start = child.start_mark.index - child.start_mark.column
        if not re.fullmatch(r"[ ]*-[ ]+", self._text[start : child.start_mark.index]):
            raise Unsafe
        return int(start)

    def _cut(self, start: int, end: int) -> None:
        """Remove whole lines."""
        line = self._text.rfind("\n", 0, start) + 1
        if not re.fullmatch(r"[ ]*(?:-[ ]+)?", self._text[line:start]):
            raise Unsafe
        self._edits.append((line, self._line_end(end), ""))

    def _add_lines(self, end: int, lines: str) -> None:
        place = self._line_end(end)
        if place and self._text[place - 1] != "\n":
            lines = "\n" + lines.removesuffix("\n")
        self._edits.append((place, place, lines))

    def _line_end(self, index: int) -> int:
        found = self._text.find("\n", index)
        return len(self._text) if found < 0 else found + 1

    def _colon(self, key: Any) -> int:
        return self._text.index(":", key.end_mark.index) + 1

    def _end(self, key: Any, value: Any) -> int:
        """Where a key's value ends, its last comment left out. An alias stands elsewhere than its value."""
        if value.start_mark.index < key.end_mark.index:
            raise Unsafe
        if value.start_mark.index == value.end_mark.index:
            return self._colon(key)
        return self._node_end(value)

    def _node_end(self, node: Any) -> int:
        if node.id == "sequence" and not node.flow_style and node.value:
            return self._node_end(node.value[-1])
        if node.id == "mapping" and not node.flow_style and node.value:
            return self._end(*node.value[-1])
        start = node.start_mark.index
        return int(start + len(self._text[start : node.end_mark.index].rstrip()))


def _identity(one: Any) -> Any:
    return one["id"] if isinstance(one, Mapping) else one


def _length(node: Any) -> int | None:
    return len(node.value) if node.id == "sequence" else None
