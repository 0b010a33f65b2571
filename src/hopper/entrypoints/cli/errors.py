"""What a command says when it can't do its work: lines for people, a problem document (RFC 9457) for programs."""

import re
import sys
from typing import Any

from hopper.domain.errors import HopperError
from hopper.entrypoints.cli.output import clipped, note, say_json
from hopper.entrypoints.cli.references import short

_BY_STATUS = {404: 3, 502: 5, 503: 5, 504: 5}
_BY_SLUG = {"not-found": 3, "unavailable": 5, "bad-configuration": 2, "unexpected": 1}


def refused(error: HopperError) -> int:
    """Tell of an error; returns the exit code."""
    document = getattr(error, "document", None) or _document(error.slug, error.message)
    if _wants_json():
        say_json(document)
    else:
        note(f"hopper: {_as_flags(error.message)}")
        for one in document.get("duplicates") or ():
            note(f"  like {short(one['task_id'])}  {one['score']:.2f}  {one['status']}  {clipped(one['title'])}")
    return exit_code(error)


def failed(message: str) -> int:
    """Tell of what nobody foresaw; returns the exit code."""
    if _wants_json():
        say_json(_document("unexpected", message))
    else:
        note(f"hopper: {message}")
    return 1


def misused(error: Any) -> int:
    """Tell of a command line that can't be understood, and of what was probably meant; returns the exit code."""
    error.message = error.message.replace("Value error, ", "")
    hints = _hints(error)
    if _wants_json():
        say_json(_document("usage", " ".join([error.format_message(), *hints])))
    else:
        error.show()
        for hint in hints:
            note(hint)
    return int(error.exit_code)


def exit_code(error: HopperError) -> int:
    """What an error means to a script."""
    status = getattr(error, "status", None)
    if status is None:
        return _BY_SLUG.get(error.slug, 4)
    return _BY_STATUS.get(status, 1 if status >= 500 else 4)


def _document(slug: str, detail: str) -> dict[str, Any]:
    return {"type": f"urn:hopper:problem:{slug}", "title": slug.replace("-", " ").capitalize(), "detail": detail}


def _wants_json() -> bool:
    """Also when the command line wasn't understood, which is why it is looked up there.

    A server says one thing on its output, where it is; whatever ends it is told beside its log.
    """
    given = _before_dashes()
    return "--json" in given and "serve" not in given[:1]


def _before_dashes() -> list[str]:
    given = sys.argv[1:]
    return given[: given.index("--")] if "--" in given else given


def _as_flags(message: str) -> str:
    """The API's message with its fields as the command line spells them."""
    return message.replace("on_duplicate ", "--on-duplicate ")


def _hints(error: Any) -> list[str]:
    command = error.ctx.command_path if error.ctx else "hopper"
    dashed = next((word for word in _before_dashes() if re.match(r"-[^-\d].", word)), None)
    hints = []
    if "unexpected extra argument" in error.message:
        hints.append(f'A text of several words needs quotes, such as {command} "two words".')
    if dashed:
        hints.append(f"If {dashed} is a text and no option, put -- before it: {command} -- {dashed}")
    return hints
