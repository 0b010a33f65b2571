"""Taking over the tasks of another program: reading its files, sending them in batches, telling what became of each."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopper.adapters.formats.draft import Files
from hopper.adapters.formats.kinds import KINDS, source_of
from hopper.adapters.markdown.layout import TASKS
from hopper.domain.errors import Invalid, Unavailable
from hopper.domain.moving import Fate, Format, Record, Unusable, in_order
from hopper.domain.told import text
from hopper.entrypoints.cli.imports import blocks
from hopper.entrypoints.cli.output import clipped, note, progress, say

if TYPE_CHECKING:
    from hopper.adapters.http.api import Api

Entity = dict[str, Any]

BATCH = 200
BATCH_CHARACTERS = 4_000_000
_SHOWN = 20

_FATES = {
    Fate.NEW: "new",
    Fate.CHANGED: "changed",
    Fate.UNCHANGED: "unchanged",
    Fate.NEWER_HERE: "newer here",
    Fate.REMOVED_HERE: "removed here",
    Fate.FAILED: "can't be used",
}
SENT = [name for name in Record.__dataclass_fields__ if name not in ("kept", "where")]
"""The fields of a record that a server hears of."""


@dataclass
class Moving:
    """What is in the files, in an order in which nothing refers to what comes later."""

    format: Format
    source: str
    records: list[Record] = field(default_factory=list)
    unusable: list[Unusable] = field(default_factory=list)


_PLACES = ("backlog/tasks", ".hopper/tasks", ".beads/issues.jsonl", "tasks", "issues.jsonl")
"""What makes a directory one that tasks can be read from, or a project that has such a directory."""


def files_of(path: Path, taken_into: Path | None) -> list[tuple[str, bytes]]:
    """The files of a folder, or of the one in a project, named as they lie in it. Raises Invalid.

    `taken_into` is the instance that they are for: its own tasks would be there twice, and each time again.
    """
    place = next((place for place in _PLACES if (path / place).exists()), None)
    if place is None:
        raise Invalid("PATH", f"There are no tasks in {str(path)!r}: no backlog/tasks, .hopper/tasks, .beads or tasks.")
    if taken_into and (path / place).resolve() == (taken_into / TASKS).resolve():
        raise Invalid("PATH", "That is the Hopper that you are in: its tasks are here already. Name what is elsewhere.")
    root = (path / place).parent
    if place.endswith(".jsonl"):
        return [("issues.jsonl", b"".join(blocks(root / "issues.jsonl")))]
    found = sorted(file for file in root.rglob("*") if file.suffix in {".md", ".yml", ".yaml"} and file.is_file())
    return [(file.relative_to(root).as_posix(), file.read_bytes()) for file in found]


def read(format: Format, source: str | None, files: Files) -> Moving:
    """Read everything, before anything is sent."""
    moving = Moving(format, source or source_of(format, files))
    by_id: dict[str, Record] = {}
    for found in KINDS[format].read(files):
        if isinstance(found, Unusable):
            moving.unusable.append(found)
        elif found.external_id in by_id:
            first = by_id[found.external_id].where
            moving.unusable.append(Unusable(found.where, f"{found.external_id!r} is there already, at {first}."))
        else:
            by_id[found.external_id] = found
    moving.records = in_order(list(by_id.values()))
    return moving


def send(api: "Api", moving: Moving, *, restore: bool, dry_run: bool) -> Entity:
    """Send the records batch by batch; returns what became of all of them."""
    report = _begun(moving, dry_run)
    sent: set[str] = set()
    with progress("looking" if dry_run else "importing", len(moving.records)) as show:
        for batch in _batches(moving.records):
            body = {
                "source": moving.source,
                "records": [_sent(record) for record in batch],
                "announced": sorted({id for record in batch for _, id in record.references()} & sent)
                if dry_run
                else [],
                "restore": restore,
                "dry_run": dry_run,
            }
            with _telling_how_far(len(sent), dry_run):
                results = outcomes(api, api.post("/tasks/import", body, repeatable=True), len(batch))
            for record, result in zip(batch, results, strict=True):
                report["results"].append({"where": record.where, "title": record.title, **result})
            sent.update(record.external_id for record in batch)
            show(len(sent))
    return _counted(report)


def outcomes(api: "Api", answer: Any, records: int) -> list[Entity]:
    """What became of each of so many records that were sent, in their order."""

    def read(said: Any) -> list[Entity]:
        results: list[Entity] = said["results"]
        if len(results) != records:
            raise ValueError("other records")
        for result in results:
            Fate(result["outcome"])
            text(result["external_id"])
            for name in (*result["changed"], *result["newer_here"], *result["notes"]):
                text(name)
            for told in (result["field"], result["detail"]):
                text(told or "")
        return results

    return api.understood(answer, read)


def tell(report: Entity) -> None:
    """The report for people."""
    if not (report["results"] or report["errors"] or report["left_out"]):
        say(f"{report['name']} as {report['source']!r}: there is nothing to import.")
        return
    say(f"{report['name']} as {report['source']!r}: {len(report['results'])} records")
    for fate, name in _FATES.items():
        say(f"  {name:<13} {report[fate]}")
        if fate not in (Fate.UNCHANGED, Fate.FAILED):
            _tell_some([result for result in report["results"] if result["outcome"] == fate])
    if report["removed_here"]:
        say("What was removed here stays away, unless with --restore.")
    if report["newer_here_fields"]:
        say("What was changed both here and there stays as it is here.")
    if report["kept"]:
        say("What tasks have no field for:")
        width = max(map(len, report["kept"]))
        for name, kept in sorted(report["kept"].items()):
            say(f"  {name:<{width}}  {kept['count']:>5}  {kept['where']}")
    news = [result for result in report["results"] if result["outcome"] in (Fate.NEW, Fate.CHANGED)]
    _note_some([f"{result['where']}: {text}" for result in news for text in result["notes"]])
    _note_some([f"{what['where']}: {what['detail']}" for what in report["left_out"]])
    _note_some(
        [
            f"{error['where']}: {error['field'] + ': ' if error['field'] else ''}{error['detail']}"
            for error in report["errors"]
        ]
    )
    if report["dry_run"]:
        say("Nothing was changed. Without --dry-run, this is done.")


def _begun(moving: Moving, dry_run: bool) -> Entity:
    return {
        "format": moving.format,
        "name": _title(KINDS[moving.format].name),
        "source": moving.source,
        "dry_run": dry_run,
        "results": [],
        "kept": _kept(moving.records),
        "left_out": [{"where": one.where, "detail": one.detail} for one in moving.unusable if not one.is_fault],
        "errors": [
            {"where": one.where, "external_id": None, "field": None, "detail": one.detail}
            for one in moving.unusable
            if one.is_fault
        ],
    }


def _kept(records: Sequence[Record]) -> Entity:
    """By field, of how many records it was kept elsewhere, and where."""
    counts = Counter(name for record in records for name in record.kept)
    places = {name: sorted({record.kept[name] for record in records if name in record.kept}) for name in counts}
    return {name: {"count": count, "where": "; ".join(places[name])} for name, count in counts.items()}


def _counted(report: Entity) -> Entity:
    fates = Counter(result["outcome"] for result in report["results"])
    failed = [result for result in report["results"] if result["outcome"] == Fate.FAILED]
    errors = report["errors"] + [
        {name: result[name] for name in ("where", "external_id", "field", "detail")} for result in failed
    ]
    return {
        **report,
        **{fate.value: fates[fate] for fate in _FATES},
        "newer_here_fields": sum(len(result["newer_here"]) for result in report["results"]),
        "failed": len(errors),
        "errors": errors,
    }


def _tell_some(results: Sequence[Entity]) -> None:
    for result in results[:_SHOWN]:
        parts = [", ".join(result["changed"])]
        if result["newer_here"]:
            parts.append(f"newer here: {', '.join(result['newer_here'])}")
        fields = "; ".join(filter(None, parts))
        say(f"    {result['external_id']}  {clipped(result['title'])}{f'  ({fields})' if fields else ''}")
    if len(results) > _SHOWN:
        say(f"    … and {len(results) - _SHOWN} more; --json names all")


def _note_some(texts: Sequence[str]) -> None:
    for line in texts[:_SHOWN]:
        note(line)
    if len(texts) > _SHOWN:
        note(f"… and {len(texts) - _SHOWN} more; --json names all")


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    for record in records:
        length = len(record.description or "") + 1000
        if batch and (len(batch) == BATCH or size + length > BATCH_CHARACTERS):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += length
    if batch:
        yield batch


def _sent(record: Record) -> Entity:
    fields = {name: getattr(record, name) for name in SENT}
    for name in ("created_at", "updated_at"):
        fields[name] = fields[name] and fields[name].isoformat()
    return {name: value for name, value in fields.items() if value is not None}


@contextmanager
def _telling_how_far(sent: int, dry_run: bool) -> Iterator[None]:
    """Where an import breaks off, by Ctrl-C or because the server is gone, say what is there."""
    far = (
        "Nothing was changed."
        if dry_run
        else f"{sent} records were taken over before that; run the same command again: those aren't taken twice."
    )
    try:
        yield
    except Unavailable as error:
        raise Unavailable(f"{error.message} {far}") from None
    except KeyboardInterrupt:
        note(far)
        raise


def _title(text: str) -> str:
    return text[:1].upper() + text[1:]
