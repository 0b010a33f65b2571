"""What similar past tasks say: a Gaussian process over just the nearest of them.

Local regression (Bottou & Vapnik 1992; Zhang et al. 2006, SVM-KNN) with a kernel on cosine distance (Rasmussen &
Williams 2006, equation 2.25): unlike votes it knows that ten copies of one task say hardly more than one of them, and
that a neighbour of another kind nearby makes a doubtful case. It needs no training: what is known counts at once, and
what is taken back is gone.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hopper.domain.episode import SimilarEpisode
from hopper.domain.ids import InstanceId

Numbers = NDArray[np.float64]
Cosines = NDArray[np.floating[Any]]

NEIGHBOURS = 64
"""How many similar episodes are asked for."""

NEIGHBOUR_WEIGHT = 8.0
"""Log odds of an instance to which an identical task belonged, while nothing better has been learned."""

_REACH = 0.25
"""Cosine distance at which a likeness has faded by e."""

NOISE = 0.1
"""How far a confirmed outcome is off (variance), on a scale where 1 is certain."""


def belonging(similar: Sequence[SimilarEpisode], ids: Sequence[InstanceId]) -> Numbers:
    """For each instance about 1 where a task like this belonged to it, 0 where nothing is known.

    Past tasks of instances that can't take this one say nothing.
    """
    scores = np.zeros(len(ids))
    position = {instance: at for at, instance in enumerate(ids)}
    here = [(episode, at) for episode in similar if (at := position.get(episode.outcome_instance or "")) is not None]
    for weight, (_, at) in zip(_weights([episode for episode, _ in here]), here, strict=True):
        scores[at] += weight
    return scores


def refusals(similar: Sequence[SimilarEpisode], ids: Sequence[InstanceId]) -> Numbers:
    """For each instance from 0 to about 1: how surely it is the wrong one for such a task.

    Whose those tasks were isn't known, so they say nothing of the others. A single one may have been refused for
    another reason than its kind; each further one halves that doubt.
    """
    scores = np.zeros(len(ids))
    refused = [episode for episode in similar if episode.outcome_instance is None]
    for instance in {episode.chosen_instance for episode in refused} & set(ids):
        wrong = [episode for episode in refused if episode.chosen_instance == instance]
        near = float(_kernel(_similarities(wrong)).sum())
        scores[ids.index(instance)] = max(float(_weights(wrong).sum()), 0.0) * (1 - 0.5**near)
    return scores


def outcome_weights(alike: Cosines, asked: Cosines, noise: Numbers) -> Numbers:
    """How much each known outcome counts: the mean of a Gaussian process is their sum, weighted so.

    `alike` says how like each other the known tasks are, `asked` how like the one at hand; `noise` is the variance of
    each outcome.
    """
    return np.asarray(np.linalg.solve(_kernel(alike) + np.diag(noise), _kernel(asked)), dtype=np.float64)


def _weights(episodes: Sequence[SimilarEpisode]) -> Numbers:
    if not episodes:
        return np.zeros(0)
    vectors: Numbers = np.stack([episode.vector for episode in episodes]).astype(np.float64)
    alike: Numbers = np.minimum(vectors @ vectors.T, 1.0)
    return outcome_weights(alike, _similarities(episodes), np.array([_noise(episode) for episode in episodes]))


def _similarities(episodes: Sequence[SimilarEpisode]) -> Numbers:
    found: Numbers = np.minimum(np.array([episode.similarity for episode in episodes]), 1.0)
    return found


def _kernel(cosines: Cosines) -> Cosines:
    faded: Cosines = np.exp((cosines - 1.0) / _REACH)
    return faded


def _noise(episode: SimilarEpisode) -> float:
    """What a person confirmed is surest, what was merely completed less, what workers let go or had to redo least."""
    if episode.confirmed and not episode.required_rework:
        return NOISE
    return NOISE * (10.0 if episode.required_rework or episode.expired_leases else 2.5)
