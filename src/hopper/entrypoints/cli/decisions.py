"""A decision in plain lines: who, how sure, why, and who else it could have been."""

from typing import TYPE_CHECKING, Any

from hopper.entrypoints.cli.output import percent, say
from hopper.entrypoints.cli.references import Names, names_of, short

if TYPE_CHECKING:
    from hopper.adapters.http.client import HopperClient

Entity = dict[str, Any]

_LEAST = 0.005
"""Alternatives that would show as 0 % go unsaid."""


def names_in(api: "HopperClient", decision: Entity) -> Names:
    """The names of all instances that a decision speaks of."""
    spoken_of = [part["instance_id"] for part in (*decision["decision_factors"], *decision["alternatives"])]
    return names_of(api, [decision["chosen_instance"], *spoken_of])


def explain(decision: Entity, names: Names, *, dry_run: bool = False) -> None:
    """Say what was decided and why, and what a person can do when Hopper abstained."""
    chosen = decision["chosen_instance"]
    if chosen:
        would = "would go to" if dry_run else "goes to"
        say(f"{would} {names.of(chosen)}, {percent(decision['confidence'])} sure ({_worded(decision['strategy'])})")
    elif decision["decision_factors"]:
        say(f"Hopper abstains: its best guess is only {percent(decision['confidence'])} sure")
    else:
        say("Hopper abstains: nothing that it knows speaks for anyone")
    for factor in sorted(decision["decision_factors"], key=lambda factor: factor["instance_id"] != chosen):
        about = "" if factor["instance_id"] == chosen else f"{names.of(factor['instance_id'])}: "
        say(f"  {'also   ' if about else 'because'}  {about}{factor['text']}")
    likely = [other for other in decision["alternatives"] if other["confidence"] >= _LEAST]
    others = [f"{names.of(other['instance_id'])} {percent(other['confidence'])}" for other in likely]
    if others and decision["decision_factors"]:
        say(f"  {'or else ' if chosen else 'perhaps '} {', '.join(others)}")
    if not chosen and not dry_run:
        say(f"It waits in triage. Hand it over yourself: hopper delegate {short(decision['task_id'])} INSTANCE")


def _worded(strategy: str) -> str:
    return strategy.replace("_", " ")
