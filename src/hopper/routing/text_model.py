"""The text model: what words, pieces of words, tags and the embedding of a task say for each instance.

Linear: an instance's evidence is a weighted sum of the task's features. It is made by `training` from known outcomes,
and never changes afterwards; what became known since is the neighbours' to say (`neighbours`).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from typing import Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from hopper.domain.ids import InstanceId
from hopper.domain.task import Task
from hopper.routing.features import Group, features, fingerprint
from hopper.routing.odds import Calibration

Numbers = NDArray[np.float32]

NAMED_WORDS = 3
"""So many words are named in an explanation."""

_WORTH_NAMING = 0.1
"""A word says so much of what the most telling one says, or isn't named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextModel:
    """Weights as logarithms of odds, in the order of `instances`.

    `rarity` (bucket,) weighs a feature by how rare it is, `words` is (bucket, instance), `meaning` (dimension,
    instance) belongs to vectors of `embedding_model`, `bias` is (instance,). `neighbour_weight` is what the neighbours'
    score counts beside it, `pattern_weight` what the log odds of learned patterns do, `newcomer` (intercept, slope)
    what the model would probably say of an instance that it doesn't know, by that score. `calibration` turns the
    winner's odds into what they are worth. `common` (ascending) has the fingerprints of the words and tags that several
    examples have, `examples` is how many it was made from.
    """

    instances: tuple[InstanceId, ...]
    embedding_model: str
    rarity: Numbers
    words: NDArray[np.float16]
    meaning: Numbers
    bias: Numbers
    neighbour_weight: float
    pattern_weight: float
    newcomer: tuple[float, float]
    calibration: Calibration
    common: NDArray[np.uint32]
    examples: int
    positions: dict[InstanceId, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.positions.update({instance: at for at, instance in enumerate(self.instances)})

    def to_bytes(self) -> bytes:
        """The model as NumPy's archive, without the buckets that say nothing."""
        used = np.flatnonzero(self.words.any(axis=1))
        told = BytesIO()
        np.savez(
            told,
            instances=np.array(self.instances, dtype=np.str_),
            embedding_model=np.array(self.embedding_model, dtype=np.str_),
            rarity=self.rarity,
            used=used,
            words=self.words[used],
            meaning=self.meaning,
            bias=self.bias,
            common=self.common,
            numbers=np.array(
                [self.neighbour_weight, self.pattern_weight, *self.newcomer, *self.calibration, self.examples]
            ),
        )
        return told.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Raises ValueError for what isn't a model as this release stores it."""
        try:
            return cls._from_bytes(content)
        except (KeyError, IndexError, EOFError, OSError, BadZipFile) as error:
            raise ValueError("not a text model of this release") from error

    @classmethod
    def _from_bytes(cls, content: bytes) -> Self:
        with np.load(BytesIO(content), allow_pickle=False) as told:
            words = np.zeros((len(told["rarity"]), len(told["instances"])), dtype=np.float16)
            words[told["used"]] = told["words"]
            near, rules, *lines, examples = told["numbers"].tolist()
            return cls(
                instances=tuple(told["instances"].tolist()),
                embedding_model=str(told["embedding_model"]),
                rarity=told["rarity"],
                words=words,
                meaning=told["meaning"],
                bias=told["bias"],
                neighbour_weight=near,
                pattern_weight=rules,
                newcomer=(lines[0], lines[1]),
                calibration=(lines[2], lines[3], lines[4]),
                common=told["common"],
                examples=int(examples),
            )


@dataclass(frozen=True, slots=True)
class TextEvidence:
    """What a text model says of a task: the log odds (instance,) of those that the model knows.

    They come from `values` (feature,) in `buckets`, with `weights` (feature, instance).
    """

    model: TextModel
    log_odds: Numbers
    buckets: NDArray[np.int64]
    values: Numbers
    weights: Numbers

    def of(self, instance: InstanceId, neighbour_score: float) -> float:
        """The log odds of an instance; of one that is new to the model, what its neighbours let expect."""
        at = self.model.positions.get(instance)
        if at is not None:
            return float(self.log_odds[at])
        intercept, slope = self.model.newcomer
        return intercept + slope * neighbour_score


def read(task: Task, vector: NDArray[np.float32] | None, model: TextModel, embedding_model: str) -> TextEvidence:
    """The model's evidence about a task; a vector of another embedding model is left out."""
    buckets, values = weighted(features(task.title, task.description, task.tags), model.rarity)
    weights = model.words[buckets].astype(np.float32)
    log_odds = model.bias + values @ weights
    if vector is not None and embedding_model == model.embedding_model and len(vector) == len(model.meaning):
        log_odds = log_odds + vector @ model.meaning
    return TextEvidence(model, log_odds, buckets, values, weights)


def weighted(groups: Sequence[Group], rarity: Numbers) -> tuple[NDArray[np.int64], Numbers]:
    """Buckets and values of a task's features; those of each group together have the length 1."""
    values = []
    for group in groups:
        weights = group.frequencies * rarity[group.buckets]
        values.append(weights / (np.linalg.norm(weights) or 1.0))
    if not groups:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    return np.concatenate([group.buckets for group in groups]), np.concatenate(values).astype(np.float32)


def telling_words(terms: Mapping[str, Sequence[int]], instance: InstanceId, evidence: TextEvidence) -> tuple[str, ...]:
    """The words that speak most for the instance, against what they say for the others on average.

    `terms` is the task's wording, each word with its buckets.

    Only words that several past tasks have: what stands for the first time may be private, and has a weight by
    accident at most, since its bucket is another's.
    """
    at = evidence.model.positions.get(instance)
    if at is None:
        return ()
    beyond = evidence.values * (evidence.weights[:, at] - evidence.weights.mean(axis=1))
    said: dict[int, float] = defaultdict(float)
    for bucket, value in zip(evidence.buckets.tolist(), beyond.tolist(), strict=True):
        said[bucket] += value
    scored = [(sum(said[bucket] for bucket in places), term) for term, places in terms.items()]
    ranked = sorted(scored, key=lambda one: (-one[0], one[1]))
    common = islice(((value, term) for value, term in ranked if _is_common(term, evidence.model)), NAMED_WORDS)
    named = [(value, term) for value, term in common if value > 0]
    return tuple(term for value, term in named if value > _WORTH_NAMING * named[0][0])


def _is_common(term: str, model: TextModel) -> bool:
    own = fingerprint(term)
    at = int(np.searchsorted(model.common, own))
    return at < len(model.common) and int(model.common[at]) == own
