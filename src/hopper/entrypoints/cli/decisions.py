"""A decision in plain lines: who, how sure, why, and who else it could have been."""

from typing import TYPE_CHECKING, Any

from hopper.domain.decision import WORDING_AS_A_WHOLE
from hopper.domain.task import TaskStatus
from hopper.entrypoints.cli.output import clipped, percent, say
from hopper.entrypoints.cli.references import Names, names_of, short

if TYPE_CHECKING:
    from hopper.adapters.http.api import Api

Entity = dict[str, Any]

_PAST = 5
"""So many past tasks are shown."""

_RULED = ("manual_pattern", "manual")
_EVIDENCE = {
    "manual_pattern": "its patterns",
    "learned_pattern": "its patterns",
    "text_model": "its wording",
    "similar_episodes": "the past tasks like this one",
    "recent_outcomes": "what came just before",
    "delegation_record": "how often it gave work back",
    "northbound_pattern": "what other Hoppers share",
}

_LEAST = 0.005
"""Alternatives that would show as 0 % go unsaid."""


def names_in(api: "Api", decision: Entity) -> Names:
    """The names of all instances that a decision speaks of."""
    spoken_of = [part["instance_id"] for part in (*decision["decision_factors"], *decision["alternatives"])]
    told_later = [part["instance_id"] for part in decision.get("counterfactuals", ())]
    return names_of(api, [decision["chosen_instance"], decision.get("outcome_instance"), *spoken_of, *told_later])


def explain(decision: Entity, names: Names, *, dry_run: bool = False) -> None:
    """Say what was decided and why."""
    chosen = decision["chosen_instance"]
    if decision["strategy"] == "feedback":
        say(_told(decision, names))
        return
    say(_verdict(decision, names, dry_run=dry_run))
    if decision["degraded"]:
        say("  without  similar past tasks: the embedder couldn't be reached")
    for factor in _worth_a_line(decision):
        about = "" if factor["instance_id"] == chosen else f"{names.of(factor['instance_id'])}: "
        say(f"  {'also   ' if about else 'because'}  {_weight(factor, decision)}{about}{factor['text']}")
    likely = [other for other in decision["alternatives"] if other["confidence"] >= _LEAST]
    others = [f"{names.of(other['instance_id'])} {percent(other['confidence'])}" for other in likely]
    if others and decision["decision_factors"]:
        say(f"  {'or else ' if chosen else 'perhaps '} {', '.join(others)}")


def advise(api: "Api", task: Entity, decision: Entity) -> None:
    """Say what a person can do about a task of which Hopper abstained, as long as it is open and nobody has it.

    To a key that is bound somewhere, what is held there is in triage.
    """
    abstained = not decision["chosen_instance"] and decision["strategy"] != "feedback"
    if not abstained or not TaskStatus(task["status"]).is_open:
        return
    own = api.own_key()
    if task["instance_id"] and (own is None or task["instance_id"] != own["within"]):
        return
    by_hand = f" Hand it over yourself: hopper delegate {short(task['id'])} INSTANCE" if _may_delegate(own) else ""
    say(f"It waits in triage.{by_hand}")


def _may_delegate(own: Entity | None) -> bool:
    if own is None:
        return True
    from hopper.domain.access import ALLOWED, Permission

    return Permission.CHANGE in ALLOWED.get(own["role"], ())


def _worth_a_line(decision: Entity) -> list[Entity]:
    """The factors that tell a person something, the chosen instance's first, the weightiest first."""
    ranked = sorted(decision["decision_factors"], key=lambda factor: -abs(factor["contribution"]))
    telling = [factor for factor in ranked if factor is ranked[0] or factor["text"] != WORDING_AS_A_WHOLE]
    return sorted(telling, key=lambda factor: factor["instance_id"] != decision["chosen_instance"])


def _weight(factor: Entity, decision: Entity) -> str:
    """How much it counts; nothing where a rule decided alone, and nothing was weighed."""
    return "" if decision["raw_confidence"] is None or factor["kind"] == "load" else f"{factor['contribution']:+.2f}  "


def _told(decision: Entity, names: Names) -> str:
    """What a person said of a task that was never routed."""
    belongs = decision["outcome_instance"]
    where = f"A person told that it belongs to {names.of(belongs)}" if belongs else "A person told how it went"
    return f"{where}; Hopper wasn't asked"


def _verdict(decision: Entity, names: Names, *, dry_run: bool) -> str:
    chosen, sure = decision["chosen_instance"], percent(decision["confidence"])
    if decision["strategy"] == "manual":
        return f"goes to {names.of(chosen)}, as a person chose"
    if chosen:
        would = "would go to" if dry_run else "goes to"
        return f"{would} {names.of(chosen)}, {sure} sure ({_worded(decision['strategy'])})"
    best = decision["alternatives"][0]["instance_id"] if decision["alternatives"] else None
    if any(factor["kind"] == "load" and factor["instance_id"] == best for factor in decision["decision_factors"]):
        return f"Hopper abstains: it would go to {names.of(best)}, {sure} sure, who is full"
    if decision["decision_factors"]:
        return f"Hopper abstains: its best guess is only {sure} sure"
    return "Hopper abstains: nothing that it knows speaks for anyone"


def explain_change(decision: Entity, names: Names) -> None:
    """Say on which past tasks a decision rests, what would have changed it, and how it turned out."""
    if decision["strategy"] == "feedback":
        return
    past = {one["task_id"]: (factor, one) for factor in decision["decision_factors"] for one in factor["past_tasks"]}
    for id, title in list(decision["similar_tasks"].items())[:_PAST]:
        whose = f" ({_whose(*past[id], names)})" if id in past else ""
        say(f"  like      {short(id)}  {clipped(title)}{whose}")
    for change in decision["counterfactuals"]:
        instead = names.of(change["instance_id"]) if change["instance_id"] else "nobody"
        say(f"  but       without {_EVIDENCE[change['without']]} it would have been {instead}")
    weighed = decision["chosen_instance"] and decision["decision_factors"] and decision["strategy"] not in _RULED
    if weighed and not decision["counterfactuals"]:
        say("  and       no single kind of evidence decided it")
    if decision["outcome_success"] is True:
        say("It turned out right.")
    elif decision["outcome_instance"] and decision["outcome_instance"] != decision["chosen_instance"]:
        say(f"It turned out to belong to {names.of(decision['outcome_instance'])}.")
    elif decision["outcome_success"] is False:
        say("It turned out wrong; who should have had it isn't known.")


def _whose(factor: Entity, past: Entity, names: Names) -> str:
    belonged = "belonged" if past["belonged"] else "didn't belong"
    return f"{belonged} to {names.of(factor['instance_id'])}, {past['similarity']:.2f} alike"


def _worded(strategy: str) -> str:
    return strategy.replace("_", " ")
