"""What the router learns from: past tasks of which it is known where they belonged, and its own decisions."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hopper.domain.ids import InstanceId
from hopper.domain.task import Tags

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

READ_LENGTH = 3_000
"""Characters of a description that the text model looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingExample:
    """A task whose instance is known. `vector`, of length 1, is None where it isn't embedded (yet)."""

    title: str
    description: str | None
    tags: Tags
    instance: InstanceId
    vector: "NDArray[np.float32] | None"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an own decision: the best guess's confidence before calibration, and whether it was right."""

    raw_confidence: float
    right: bool
