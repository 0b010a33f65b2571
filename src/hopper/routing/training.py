"""Making a text model from known outcomes.

Linear support vector machines, one against all others (LIBLINEAR, Fan et al. 2008), over the features of the texts and
their embeddings. Instances whose names share a part (`web/bugs`, `app/bugs`) also learn together: a second set of
machines tells the parts apart (multi-task learning, Caruana 1997). How much each counts beside the neighbours is found
on a part of the examples that was held out; then the winner's odds are calibrated there and on Hopper's own recent
decisions (Platt 1999, on the top label, Gupta & Ramdas 2022).

The same examples give the same model. It takes seconds and much memory: call it in a process of its own.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hopper.domain.ids import InstanceId
from hopper.domain.training import TrainingExample, Verdict
from hopper.routing.examples import Example, Occurrences
from hopper.routing.features import BUCKETS, HEAD, features, fingerprint, wording
from hopper.routing.mining import mine
from hopper.routing.neighbours import NEIGHBOUR_WEIGHT, NEIGHBOURS, NOISE, outcome_weights
from hopper.routing.odds import Calibration, calibration_terms, pattern_log_odds, probabilities
from hopper.routing.terms import may_be_term, public, tag_terms
from hopper.routing.text_model import TextModel, weighted

FEWEST = 20
"""Examples that a text model is made from at least; fewer are better left to the neighbours."""

_HELD_OUT = 0.2
_MOST_HELD_OUT = 1_000
_SOFTNESS = 1.0
"""C of the support vector machines."""

_SEVERAL = 2
"""A word that is named stands in so many examples at least."""

_MOST_PARTS = 40
_RECENT = 500
"""So many own decisions calibrate alone, without the examples that were held out."""

_PART = re.compile(r"[^\W_]+")

Matrix = Any  # a scipy sparse matrix; scipy has no types
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a model is made from: examples, the names of their instances, and own decisions, the oldest first.

    `dimension` is that of `embedding_model`'s vectors.
    """

    examples: Sequence[TrainingExample]
    names: Mapping[InstanceId, str]
    verdicts: Sequence[Verdict]
    embedding_model: str
    dimension: int


def train(job: Job) -> TextModel | None:
    """The model of these examples; None when they are too few, or all of one instance."""
    instances = tuple(sorted({example.instance for example in job.examples}))
    if len(job.examples) < FEWEST or len(instances) < 2:
        return None
    position = {instance: at for at, instance in enumerate(instances)}
    targets = np.array([position[example.instance] for example in job.examples])
    parts = _shared_parts([job.names.get(instance, "") for instance in instances])  # one may have gone meanwhile
    vectors = np.stack([_vector(example, job.dimension) for example in job.examples])
    rows, rarity = _rows(job.examples, vectors)

    kept, held = _split(targets)
    own = _applied(_machines(rows[kept], targets[kept], len(instances)), rows[held])
    shared = _applied(_part_machines(rows[kept], targets[kept], parts, len(instances)), rows[held])
    near = _neighbour_scores(vectors[kept], targets[kept], vectors[held], len(instances))
    rules = _rule_odds([job.examples[at] for at in kept], [job.examples[at] for at in held], position)
    mix = _mix(own, shared, near, rules, targets[held])
    log_odds = mix[0] * own + mix[1] * shared
    calibration = _calibration(probabilities(log_odds + mix[2] * near + mix[3] * rules), targets[held], job.verdicts)

    weights = mix[0] * _machines(rows, targets, len(instances))
    weights += mix[1] * _part_machines(rows, targets, parts, len(instances))
    return TextModel(
        instances=instances,
        embedding_model=job.embedding_model,
        rarity=rarity,
        words=weights[:BUCKETS].astype(np.float16),
        meaning=weights[BUCKETS:-1].astype(np.float32),
        bias=weights[-1].astype(np.float32),
        neighbour_weight=float(mix[2]),
        pattern_weight=float(mix[3]),
        newcomer=_line(near.ravel(), log_odds.ravel()),
        calibration=calibration,
        common=_common(job.examples),
        examples=len(job.examples),
    )


def _split(targets: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Examples to learn from, with all instances among them, and, held out, some to measure with."""
    size = min(_MOST_HELD_OUT, int(len(targets) * _HELD_OUT))
    held = np.random.default_rng(0).permutation(len(targets))[:size]
    held = held[np.isin(targets[held], np.delete(targets, held))]
    return np.setdiff1d(np.arange(len(targets)), held), held


def _vector(example: TrainingExample, dimension: int) -> NDArray[np.float32]:
    return np.zeros(dimension, dtype=np.float32) if example.vector is None else example.vector


def _rows(examples: Sequence[TrainingExample], vectors: NDArray[np.float32]) -> tuple[Matrix, NDArray[np.float32]]:
    """A row of features an example, and how rare each bucket is (inverse document frequency)."""
    from scipy.sparse import csr_matrix, hstack

    grouped = [features(example.title, example.description, example.tags) for example in examples]
    occurrences = np.zeros(BUCKETS)
    for groups in grouped:
        for group in groups:
            occurrences[group.buckets] += 1
    rarity = (np.log((1 + len(examples)) / (1 + occurrences)) + 1).astype(np.float32)
    seen = [weighted(groups, rarity) for groups in grouped]
    starts = np.cumsum([0, *(len(buckets) for buckets, _ in seen)])
    words = csr_matrix(
        (np.concatenate([values for _, values in seen]), np.concatenate([buckets for buckets, _ in seen]), starts),
        shape=(len(examples), BUCKETS),
        dtype=np.float64,
    )
    words.sum_duplicates()
    return hstack([words, csr_matrix(vectors.astype(np.float64))]).tocsr(), rarity


def _common(examples: Sequence[TrainingExample]) -> NDArray[np.uint32]:
    """Fingerprints of the words and tags that several examples have and that don't look private, ascending."""
    having: Counter[str] = Counter()
    for example in examples:
        head = public((example.description or "")[: 2 * HEAD])
        having.update(f"tag {term}" for term in tag_terms(example.tags))
        having.update(t for t in wording(public(example.title), head, {}) if all(map(may_be_term, t.split())))
    return np.array(sorted({fingerprint(term) for term, n in having.items() if n >= _SEVERAL}), dtype=np.uint32)


def _machines(rows: Matrix, targets: NDArray[np.int64], count: int) -> Floats:
    """Weights (feature and bias, instance): about 0 for an instance that the text isn't of, about 2 for its own."""
    from sklearn.svm import LinearSVC

    found = LinearSVC(C=_SOFTNESS, random_state=0).fit(rows, targets)
    weights = np.zeros((rows.shape[1] + 1, count))
    learned = np.vstack([found.coef_.T, found.intercept_ + 1])
    if len(found.classes_) == 2:  # one machine for both: its negative is the other's
        learned = np.hstack([np.vstack([-found.coef_.T, 1 - found.intercept_]), learned])
    weights[:, found.classes_] = learned
    return weights


def _shared_parts(names: Sequence[str]) -> list[NDArray[np.bool_]]:
    """For each part that several names share, but not all: which instances have it. The most shared ones first."""
    split = [set(_PART.findall(name.casefold())) for name in names]
    having = {tuple(part in own for own in split) for part in sorted(set().union(*split))}
    shared = sorted((having for having in having if 2 <= sum(having) < len(names)), key=lambda h: (-sum(h), h))
    return [np.array(having) for having in shared[:_MOST_PARTS]]


def _part_machines(rows: Matrix, targets: NDArray[np.int64], parts: Sequence[NDArray[np.bool_]], count: int) -> Floats:
    """Weights (feature and bias, instance) of the parts of each instance's name, added up."""
    from sklearn.svm import LinearSVC

    weights = np.zeros((rows.shape[1] + 1, count))
    for having in parts:
        has_part = having[targets]
        if has_part.all() or not has_part.any():
            continue
        found = LinearSVC(C=_SOFTNESS, random_state=0).fit(rows, has_part)
        weights[:, having] += np.vstack([found.coef_.T, found.intercept_ + 1])
    return weights


def _applied(weights: Floats, rows: Matrix) -> Floats:
    applied: Floats = np.asarray(rows @ weights[:-1]) + weights[-1]
    return applied


def _neighbour_scores(
    known: NDArray[np.float32], targets: NDArray[np.int64], asked: NDArray[np.float32], count: int
) -> Floats:
    """What `neighbours.belonging` would say of each asked one, were all outcomes confirmed."""
    scores = np.zeros((len(asked), count))
    for at, vector in enumerate(asked):
        if not vector.any():
            continue
        likeness = known @ vector
        nearest = np.argsort(-likeness)[:NEIGHBOURS]
        alike = known[nearest] @ known[nearest].T
        weights = outcome_weights(alike, likeness[nearest], np.full(len(nearest), NOISE))
        scores[at] = np.bincount(targets[nearest], weights=weights, minlength=count)
    return scores


def _rule_odds(
    known: Sequence[TrainingExample], asked: Sequence[TrainingExample], position: Mapping[InstanceId, int]
) -> Floats:
    """What the patterns would say of each asked one that consolidation learns from the known ones."""
    rules = mine([_as_mined(example) for example in reversed(known)], list(position))
    there = Occurrences([_as_mined(example) for example in asked], 1)
    odds = np.zeros((len(asked), len(position)))
    for rule in rules:
        met, at = there.of(rule.key.criteria), position[rule.key.target]
        if met is not None:
            odds[met, at] = np.maximum(odds[met, at], pattern_log_odds(rule.confidence))
    return odds


def _as_mined(example: TrainingExample) -> Example:
    text = f"{example.title}\n{example.description or ''}"
    return Example(text=text, tags=example.tags, priority=None, target=example.instance)


def _mix(own: Floats, shared: Floats, near: Floats, rules: Floats, targets: NDArray[np.int64]) -> Floats:
    """How much each kind of evidence counts: those that make the held-out outcomes most likely.

    Held near to what is usual, so that a handful of examples can't make one of them overbearing. Shared parts and rules
    say mostly what the rest says already, and usually count nothing.
    """
    from scipy.optimize import minimize

    def loss(mix: Floats) -> float:
        chances = probabilities(mix[0] * own + mix[1] * shared + mix[2] * near + mix[3] * rules)
        likely = -np.log(chances[np.arange(len(targets)), targets] + 1e-12).sum()
        usual = np.log(mix[0] / 2) ** 2 + np.log(mix[2] / NEIGHBOUR_WEIGHT) ** 2
        return float(likely + usual / 2 + 2.5 * (mix[1] ** 2 + mix[3] ** 2))

    start = np.array([2.0, 0.1, NEIGHBOUR_WEIGHT, 0.1])
    bounds = [(0.01, 20), (0, 10), (0.01, 40), (0, 2)]
    found: Floats = minimize(loss, start, method="L-BFGS-B", bounds=bounds).x
    return found


def _calibration(chances: Floats, targets: NDArray[np.int64], verdicts: Sequence[Verdict]) -> Calibration:
    """What the winner's probability is worth, held near to what it says.

    Own decisions tell more than held-out examples, since tasks change with time; the more there are, the less those
    count.
    """
    from scipy.optimize import minimize

    recent = verdicts[-_RECENT:]
    said = np.concatenate([chances.max(axis=1), [verdict.raw_confidence for verdict in recent]])
    right = np.concatenate([chances.argmax(axis=1) == targets, [verdict.right for verdict in recent]])
    counts = np.concatenate([np.full(len(targets), 1 - len(recent) / _RECENT), np.ones(len(recent))])
    terms, as_said = calibration_terms(said), np.array([0.0, 1.0, 1.0])

    def loss(weights: Floats) -> float:
        shifted = terms @ weights
        unlikely = counts * (np.logaddexp(0, shifted) - right * shifted)
        return float(unlikely.sum() + 5 * ((weights - as_said) ** 2).sum())

    bounds = [(-5, 5), (0, 5), (0.05, 5)]
    intercept, low, high = minimize(loss, as_said, method="L-BFGS-B", bounds=bounds).x
    return float(intercept), float(low), float(high)


def _line(scores: Floats, log_odds: Floats) -> tuple[float, float]:
    """Intercept and slope of the text's evidence over the neighbours' score (least squares)."""
    spread = float(scores.var()) if len(scores) else 0.0
    if spread == 0:
        return 0.0, 0.0
    slope = float(((scores - scores.mean()) * (log_odds - log_odds.mean())).mean() / spread)
    return float(log_odds.mean() - slope * scores.mean()), max(slope, 0.0)
