"""Episodes, patterns and rejected rules in files, with the words of the public hopper's files as well."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from hopper.adapters.markdown.documented import criteria_in, episodes_in
from hopper.adapters.markdown.emit import Flow
from hopper.adapters.markdown.fields import Fields, Wrong, given
from hopper.adapters.markdown.frontmatter import Document
from hopper.adapters.markdown.layout import id_in
from hopper.domain.decision import Alternative, Factor, FactorKind, PastTask, Strategy
from hopper.domain.episode import Episode
from hopper.domain.ids import PatternId
from hopper.domain.pattern import Criteria, Pattern, PatternSource, PatternType
from hopper.domain.task import Priority

_STRATEGY = {
    **{strategy.value: strategy for strategy in Strategy},
    **dict.fromkeys(("rules", "simple_priority"), Strategy.MANUAL_PATTERN),
    "pattern": Strategy.LEARNED_PATTERN,
    **dict.fromkeys(("llm", "sage", "hybrid"), Strategy.TEXT_MODEL),
}
_PRIORITY = {priority.value: priority for priority in Priority}
_TYPE = {kind.value: kind for kind in PatternType}
_SOURCE = {source.value: source for source in PatternSource}
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def read_episodes(document: Document, path: str, written: datetime) -> tuple[Episode, ...]:
    """The episodes of a day. Raises Wrong."""
    if "episodes" not in document.front:
        day = Fields(document.front).text("date") or id_in(path)
        return tuple(_episode(Fields(one), {}, written) for one in episodes_in(document.body, day))
    records = Fields(document.front).records("episodes")
    typed = document.typed()["episodes"] if records else []
    return tuple(_episode(fields, one, written) for fields, one in zip(records, typed, strict=True))


def _episode(fields: Fields, typed: Mapping[str, Any], written: datetime) -> Episode:
    chosen, success = fields.text("chosen_instance"), fields.flag("outcome_success")
    outcome = fields.text("outcome_instance") or (chosen if success else None)
    routed = fields.moment("routed_at") or written
    known = success is not None or outcome is not None
    try:
        factors = tuple(_factor(one) for one in typed.get("decision_factors") or ())
        alternatives = tuple(Alternative(**one) for one in typed.get("alternatives") or ())
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Wrong("decision_factors", "`decision_factors` or `alternatives` aren't as Hopper writes them") from None
    return Episode(
        id=fields.id(),
        task_id=fields.text("task_id"),
        chosen_instance=chosen,
        confidence=fields.number("confidence") or 0.0,
        raw_confidence=fields.number("raw_confidence"),
        strategy=fields.one_of("strategy", _STRATEGY) or Strategy.MANUAL_PATTERN,
        decision_factors=factors,
        alternatives=alternatives,
        degraded=fields.flag("degraded") or False,
        outcome_success=success,
        outcome_instance=outcome,
        outcome_duration=fields.text("outcome_duration"),
        source=fields.text("source") or "server",
        source_instance_id=fields.text("source_instance_id"),
        routed_at=routed,
        completed_at=fields.moment("completed_at") or (routed if known else None),
        corrected_at=fields.moment("corrected_at"),
    )


def _factor(one: Mapping[str, Any]) -> Factor:
    return Factor(
        kind=FactorKind(one["kind"]),
        instance_id=one["instance_id"],
        contribution=float(one["contribution"]),
        text=one["text"],
        pattern_ids=tuple(one.get("pattern_ids", ())),
        task_ids=tuple(one.get("task_ids", ())),
        past_tasks=tuple(PastTask(**past) for past in one.get("past_tasks", ())),
    )


def episodes_fields(episodes: tuple[Episode, ...]) -> dict[str, Any]:
    return {"episodes": [_episode_fields(one) for one in episodes]}


def _episode_fields(one: Episode) -> dict[str, Any]:
    return given(
        id=one.id,
        task_id=one.task_id,
        chosen_instance=one.chosen_instance,
        confidence=one.confidence,
        raw_confidence=one.raw_confidence,
        strategy=one.strategy.value,
        decision_factors=Flow([asdict(factor) for factor in one.decision_factors]) if one.decision_factors else None,
        alternatives=Flow([asdict(other) for other in one.alternatives]) if one.alternatives else None,
        degraded=True if one.degraded else None,
        outcome_success=one.outcome_success,
        outcome_instance=one.outcome_instance,
        outcome_duration=one.outcome_duration,
        source=one.source,
        source_instance_id=one.source_instance_id,
        routed_at=one.routed_at.isoformat(),
        completed_at=one.completed_at.isoformat() if one.completed_at else None,
        corrected_at=one.corrected_at.isoformat() if one.corrected_at else None,
    )


Derived = tuple[Pattern, tuple[PatternId, ...]]
"""A pattern, and those that it refines."""


def read_pattern(document: Document, path: str, written: datetime) -> Derived:
    """The pattern of a file. Raises Wrong."""
    fields = Fields(document.front)
    if not {"tag_criteria", "text_criteria", "priority_criteria"} & document.front.keys():
        fields = Fields({**document.front, **criteria_in(document.body)})
    tags = _criteria(fields, "tag_criteria")
    texts = _criteria(fields, "text_criteria")
    priority = fields.one_of("priority_criteria", _PRIORITY)
    kind = fields.one_of("pattern_type", _TYPE)
    if "source" not in document.front:  # the public hopper's may name a kind, and carry other criteria as well
        texts = None if kind is PatternType.TAG else texts
        kind = _kind(tags, texts, priority)
    pattern = Pattern(
        id=fields.id(),
        name=fields.needed("name"),
        description=fields.text("description"),
        pattern_type=kind or _kind(tags, texts, priority),
        target_instance=fields.needed("target_instance"),
        tag_criteria=tags,
        text_criteria=texts,
        priority_criteria=priority,
        confidence=_or(fields.number("confidence"), 0.5),
        usage_count=fields.count("usage_count") or 0,
        success_count=fields.count("success_count") or 0,
        failure_count=fields.count("failure_count") or 0,
        is_active=_or(fields.flag("is_active"), True),
        source=fields.one_of("source", _SOURCE) or PatternSource.MANUAL,
        source_instance_id=fields.text("source_instance_id"),
        learned_key=fields.text("learned_key"),
        switched_by_person=fields.flag("switched_by_person") or False,
        version=fields.count("version") or 1,
        created_at=fields.moment("created_at") or written,
        last_used_at=fields.moment("last_used_at"),
        last_refined_at=fields.moment("last_refined_at"),
    )
    return pattern, tuple(sorted(set(fields.texts("derived_from"))))


def _kind(*criteria: object) -> PatternType:
    kinds = [kind for kind, one in zip(_KINDS, criteria, strict=True) if one]
    if not kinds:
        raise Wrong("pattern_type", "a pattern needs `tag_criteria`, `text_criteria` or `priority_criteria`")
    return kinds[0] if len(kinds) == 1 else PatternType.COMBINED


_KINDS = (PatternType.TAG, PatternType.TEXT, PatternType.PRIORITY)


def _or(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value


def _criteria(fields: Fields, key: str) -> Criteria | None:
    """Optional tags only raise the public hopper's scores: they matter where nothing is required."""
    given = Fields(fields.mapping(key))
    required = given.texts("required")
    optional = () if required or given.texts("any") else given.texts("optional")
    criteria = Criteria(
        any=given.texts("any") or optional or given.texts("keywords"), all=required, none=given.texts("none")
    )
    return None if criteria.is_empty else criteria


def pattern_fields(derived: Derived) -> dict[str, Any]:
    pattern, derived_from = derived
    return given(
        id=pattern.id,
        name=pattern.name,
        description=pattern.description,
        pattern_type=pattern.pattern_type.value,
        target_instance=pattern.target_instance,
        tag_criteria=_written(pattern.tag_criteria),
        text_criteria=_written(pattern.text_criteria),
        priority_criteria=pattern.priority_criteria.value if pattern.priority_criteria else None,
        confidence=pattern.confidence,
        usage_count=pattern.usage_count,
        success_count=pattern.success_count,
        failure_count=pattern.failure_count,
        is_active=pattern.is_active,
        source=pattern.source.value,
        source_instance_id=pattern.source_instance_id,
        learned_key=pattern.learned_key,
        switched_by_person=True if pattern.switched_by_person else None,
        derived_from=list(derived_from) or None,
        version=pattern.version if pattern.version > 1 else None,
        created_at=pattern.created_at.isoformat(),
        last_used_at=pattern.last_used_at.isoformat() if pattern.last_used_at else None,
        last_refined_at=pattern.last_refined_at.isoformat() if pattern.last_refined_at else None,
    )


def _written(criteria: Criteria | None) -> dict[str, list[str]] | None:
    if criteria is None:
        return None
    written = {"required": criteria.all, "any": criteria.any, "none": criteria.none}
    return {key: list(terms) for key, terms in written.items() if terms}


def read_rejected(document: Document, path: str, written: datetime) -> tuple[str, ...]:
    """The keys of the rules that people don't want. Raises Wrong."""
    return tuple(sorted(set(Fields(document.front).texts("rejected"))))


def rejected_fields(rejected: tuple[str, ...]) -> dict[str, Any]:
    return {"rejected": list(rejected)}
