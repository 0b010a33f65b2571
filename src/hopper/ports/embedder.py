"""Turning texts into vectors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector: TypeAlias = NDArray[np.float32]
else:
    Vector = Any  # numpy takes longer to import than a command of a local instance to run


class Embedder(Protocol):
    """An embedding model.

    `model` is the name under which its vectors are stored, `dimension` their length.
    """

    @property
    def model(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """A unit vector a text (the zero vector for a text without any known word).

        Raises Unavailable when the provider can't be reached or doesn't answer; Misconfigured when it refuses
        its settings, so that somebody has to mend them; Invalid when it can't embed one of these texts.
        """
        ...
