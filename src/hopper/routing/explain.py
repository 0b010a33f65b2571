"""What would have changed a decision, worked out from its stored factors alone."""

from collections import defaultdict
from dataclasses import dataclass

from hopper.domain.decision import FactorKind, Strategy
from hopper.domain.episode import Episode
from hopper.domain.ids import InstanceId

_RULES = (FactorKind.MANUAL_PATTERN, FactorKind.LEARNED_PATTERN)


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """Without this kind of evidence another instance would have come first; None when nothing else was known."""

    without: FactorKind
    instance_id: InstanceId | None


def counterfactuals(episode: Episode) -> tuple[Counterfactual, ...]:
    """The kinds of evidence without which another instance than the chosen one would have come first.

    Contributions add up; of several patterns for one instance the surest counts. Nothing is said where a rule decided
    alone: what else was known then wasn't weighed. Who was full couldn't have come first. Nor is anything said of an
    abstention: another best guess would be no choice, either.
    """
    first = episode.chosen_instance
    if first is None or episode.strategy is Strategy.MANUAL_PATTERN:
        return ()
    said: dict[FactorKind, dict[InstanceId, float]] = defaultdict(dict)
    full = {factor.instance_id for factor in episode.decision_factors if factor.kind is FactorKind.LOAD}
    for factor in episode.decision_factors:
        if factor.instance_id in full:
            continue
        kind = FactorKind.LEARNED_PATTERN if factor.kind in _RULES else factor.kind
        before = said[kind].get(factor.instance_id)
        said[kind][factor.instance_id] = factor.contribution if before is None else max(before, factor.contribution)
    found = []
    for kind in said:
        totals: dict[InstanceId, float] = defaultdict(float)
        for other, shares in said.items():
            for instance, contribution in shares.items() if other is not kind else ():
                totals[instance] += contribution
        leader = max(totals, key=lambda instance: totals[instance], default=None)
        if leader is not None and totals[leader] <= 0:
            leader = None
        if leader != first:
            found.append(Counterfactual(kind, leader))
    return tuple(found)
