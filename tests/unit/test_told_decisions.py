"""How the command line tells a decision: its lines, in which order, and how much each counts."""

from dataclasses import asdict

import pytest
from tests.builders import an_episode

from hopper.domain.decision import WORDING_AS_A_WHOLE, Factor, FactorKind
from hopper.entrypoints.cli.decisions import explain
from hopper.entrypoints.cli.references import Names

PAST, WORDS, RULE = FactorKind.SIMILAR_EPISODES, FactorKind.TEXT_MODEL, FactorKind.MANUAL_PATTERN


def told(capsys: pytest.CaptureFixture[str], *factors: Factor, raw: float | None = 0.8) -> list[str]:
    """The reasons that are printed for a task that went to a."""
    episode = an_episode("t", "a", decision_factors=factors, raw_confidence=raw)
    explain(asdict(episode), Names({"a": "garage", "b": "office"}))
    return capsys.readouterr().out.splitlines()[1:]


def factor(kind: FactorKind, instance: str, contribution: float, text: str) -> Factor:
    return Factor(kind=kind, instance_id=instance, contribution=contribution, text=text)


def test_each_line_has_its_weight_and_the_weightiest_is_first(capsys: pytest.CaptureFixture[str]) -> None:
    """A person couldn't tell the reason from what hardly counted."""
    lines = told(
        capsys,
        factor(PAST, "b", -0.25, "one refused"),
        factor(WORDS, "a", 0.2, "its wording, “oil” above all"),
        factor(PAST, "a", 0.8, "two belonged here"),
    )
    assert lines == [
        "  because  +0.80  two belonged here",
        "  because  +0.20  its wording, “oil” above all",
        "  also     -0.25  office: one refused",
    ]


def test_wording_without_a_word_is_told_only_where_nothing_says_more(capsys: pytest.CaptureFixture[str]) -> None:
    """The same empty line would stand there for each instance."""
    whole = [factor(WORDS, instance, 0.3, WORDING_AS_A_WHOLE) for instance in "ab"]
    assert told(capsys, *whole, factor(PAST, "a", 0.7, "two belonged here")) == ["  because  +0.70  two belonged here"]
    assert told(capsys, *whole) == [f"  because  +0.30  {WORDING_AS_A_WHOLE}"]


def test_a_rule_that_decided_alone_was_not_weighed(capsys: pytest.CaptureFixture[str]) -> None:
    """Its confidence would be read as its weight."""
    assert told(capsys, factor(RULE, "a", 0.9, "pattern “oil” matches"), raw=None) == [
        "  because  pattern “oil” matches"
    ]
