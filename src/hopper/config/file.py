"""Reading the file of settings, each with the line that it stands in."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopper.config.names import fit_to_show, sections
from hopper.config.problems import BadConfiguration, Origin, Place, Problem, dotted

if TYPE_CHECKING:
    from yaml import Node, SafeLoader

USUAL = Path("config/server.yaml")

_MERGE = "tag:yaml.org,2002:merge"
_SIGNS = ("alias", "anchor", "tag", "directive", "cannot start any token")
"""What YAML complains of when a value begins with a sign that means something to it, as passwords do."""

_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_OWN = re.compile(r".(<[a-z ]+>|.)?.")
"""A sign or a name of the parser's own, in quotes."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value that somebody gave a setting, be there such a setting or not."""

    place: Place
    value: Any = field(repr=False)
    origin: Origin


def chosen() -> Path | None:
    """The file that HOPPER_CONFIG names, or the usual one if it is there. Raises BadConfiguration."""
    named = os.environ.get("HOPPER_CONFIG")
    if not named and not os.access(".", os.X_OK):  # with sudo, in another user's directory
        return None
    path = Path(named) if named else USUAL
    try:
        is_there = path.is_file()
    except PermissionError:  # of a directory above it
        raise _barred(path) from None
    if named and not is_there:
        raise BadConfiguration(f"HOPPER_CONFIG names {named}, which isn't there.")
    return path if is_there else None


def read(path: Path) -> tuple[list[Given], list[Problem]]:
    """The file's settings, without those left empty, and what can't be used. Raises BadConfiguration."""
    from yaml import MappingNode, SafeLoader, YAMLError

    try:
        text = path.read_text(encoding="utf-8")
        loader = SafeLoader(text)
        root = loader.get_single_node()
        reader = _Reader(path, loader)
        given = list(reader.settings(root, ())) if isinstance(root, MappingNode) else []
    except YAMLError as error:
        line, began = (_line(getattr(error, name, None), text) for name in ("problem_mark", "context_mark"))
        origin = Origin("file", str(path), line)
        where = f"{path}, line {line}" if line else str(path)
        part = f", in what begins in line {began}" if began and began != line else ""
        message = f"{where} isn't YAML: {_reason(error)}{part}."
        raise BadConfiguration(message, [Problem(message, origin=origin)]) from None
    except PermissionError:
        raise _barred(path) from None
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it isn't UTF-8 text, or is nested too deeply"
        raise BadConfiguration(f"{path} can't be read: {reason}.") from None
    if root is None or root.tag == "tag:yaml.org,2002:null":
        return [], []
    if not isinstance(root, MappingNode):
        raise BadConfiguration(f"{path} has to hold settings, one `name: value` a line, and holds something else.")
    return given, reader.problems


def _barred(path: Path) -> BadConfiguration:
    import pwd

    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container may run as a number that no account has
        user = str(os.geteuid())
    return BadConfiguration(
        f"The configuration file {path} can't be read by the user {user}. Give it to that user (chown {user} {path}), "
        "and let it pass through the directories above it (chmod o+x, or by their group)."
    )


class _Reader:
    """Goes through the nodes of a file. It looks into the sections that there are, and nowhere else."""

    def __init__(self, path: Path, loader: "SafeLoader") -> None:
        self.problems: list[Problem] = []
        self._path = path
        self._loader = loader

    def settings(self, section: Any, above: Place) -> Iterator[Given]:
        from yaml import MappingNode

        self._refuse_doubles(section, above)
        self._loader.flatten_mapping(section)
        for key, node in section.value:
            place, origin = (*above, str(key.value)), self._origin(key)
            if place in sections() and isinstance(node, MappingNode):
                yield from self.settings(node, place)
            else:
                yield from self._one(place, node, origin)

    def _one(self, place: Place, node: "Node", origin: Origin) -> Iterator[Given]:
        from yaml import YAMLError

        try:
            value = self._loader.construct_object(node, deep=True)
        except (YAMLError, ValueError, RecursionError) as error:
            reason = _reason(error)
            self.problems.append(
                Problem(f"The setting {_shown(place)} ({origin.told}) is wrong: {reason}.", place, origin)
            )
            return
        if value is not None:
            yield Given(place, value, origin)

    def _refuse_doubles(self, section: Any, above: Place) -> None:
        first: dict[str, Origin] = {}
        for key, _ in section.value:
            name, origin = str(key.value), self._origin(key)
            if name in first and key.tag != _MERGE:
                place = (*above, name)
                self.problems.append(
                    Problem(
                        f"The setting {_shown(place)} stands twice in {self._path}, in line {first[name].line} and "
                        f"line {origin.line}. Keep one of them.",
                        place,
                        origin,
                    )
                )
            first.setdefault(name, origin)

    def _origin(self, node: "Node") -> Origin:
        return Origin("file", str(self._path), node.start_mark.line + 1)


def _shown(place: Place) -> str:
    return fit_to_show(dotted(place))


def _line(mark: Any, text: str) -> int | None:
    """Which line it is, of those that there are: the end is in the last one, and not after it."""
    return min(mark.line + 1, max(1, len(text.splitlines()))) if mark else None


def _reason(error: Exception) -> str:
    """What the parser says, without what it quotes: that may be a password."""
    problem = getattr(error, "problem", None)
    if not problem:
        return "it holds something that isn't text"
    if "'\\t' that cannot start any token" in problem:
        return "a tab stands where only spaces may"
    said = _QUOTED.sub(_fit_to_quote, problem).replace("but got '<stream end>'", "but the file ends")
    return (
        f"{said} (a value that begins with one of ! & * % @ ` needs quotes)"
        if any(sign in problem for sign in _SIGNS)
        else said
    )


def _fit_to_quote(quoted: "re.Match[str]") -> str:
    return quoted[0] if _OWN.fullmatch(quoted[0]) else "…"
