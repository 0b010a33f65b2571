"""Writing YAML: a small, plain part of it, which every reader of YAML takes for the same."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PLAIN = re.compile(r"[^\W\d_](?:[\w ./-]*[\w./-])?")
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"}
"""What some readers take for something else than a text."""

_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Flow:
    """A value that is written on one line, as JSON: evidence that people read, and hardly write."""

    value: Any


def entry(key: str, value: Any, indent: str = "") -> str:
    """`key: value` in block style, with a line's end."""
    name = f"{indent}{scalar(key)}:"
    if isinstance(value, Mapping) and value:
        return f"{name}\n{block(value, indent + '  ')}"
    if isinstance(value, list) and value:
        return name + "\n" + "".join(item(one, f"{indent}- ") for one in value)
    return f"{name} {scalar(value)}\n"


def block(mapping: Mapping[str, Any], indent: str = "") -> str:
    return "".join(entry(key, value, indent) for key, value in mapping.items())


def item(value: Any, prefix: str) -> str:
    """An item of a list behind its dash."""
    if isinstance(value, Mapping):
        indent = " " * len(prefix)
        return prefix + block(value, indent)[len(indent) :]
    return f"{prefix}{scalar(value)}\n"


def scalar(value: Any) -> str:
    if isinstance(value, Flow):
        return _json(value.value)
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.casefold() not in _WORDS
        return str(value) if plain and value.isprintable() else _json(value)
    if isinstance(value, float):
        return repr(value)
    return _json(value)


def _json(value: Any) -> str:
    written = json.dumps(_bare(value), ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", written)


def _bare(value: Any) -> Any:
    if isinstance(value, str | int | float):  # most are, and asking whether they are collections takes long
        return value
    if isinstance(value, Mapping):
        return {str(key): _bare(one) for key, one in value.items()}
    return [_bare(one) for one in value] if isinstance(value, Sequence) else value
