"""The offline default: WordLlama, static token embeddings whose weights come inside its package.

256 dimensions, or the first 128 or 64 of them; a short text takes about 0.1 ms on one core (https://github.com/dleemiller/WordLlama).
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from hopper.ports.embedder import Vector

_LONGEST = 8_000
"""Characters of a text that are embedded; what follows hardly moves a mean of token vectors."""

_loading = Lock()


@cache
def _loaded(dimension: int) -> Any:
    """The weights, once for all embedders of a process; they are never changed."""
    import wordllama

    # The package's own look-up of its weights misses an installed package.
    place = Path(wordllama.__file__).parent
    model = wordllama.WordLlama.load(cache_dir=place, trunc_dim=dimension, disable_download=True)
    # It would keep the last 10,000 texts in pieces, 5 KB each, for every thread: and texts hardly come again.
    with suppress(AttributeError):  # private: another release may not have it, and then keeps them
        model.tokenizer.model._resize_cache(0)
    return model


class WordLlamaEmbedder:
    """Implements ports.embedder.Embedder. The model is loaded at the first use, or by `load`.

    `batch_size` texts at a time: padding to the longest makes large batches costly in memory.
    """

    model = "wordllama-256"
    dimension = 256

    def __init__(self, dimension: int = 256, batch_size: int = 100) -> None:
        self._batch_size = batch_size
        self.model = f"wordllama-{dimension}"
        self.dimension = dimension

    def load(self) -> Any:
        """The model; takes under a second the first time."""
        with _loading:
            return _loaded(self.dimension)

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        return await asyncio.to_thread(self._embed, [text[:_LONGEST] for text in texts])

    def _embed(self, texts: list[str]) -> list[Vector]:
        model = self.load()
        # Texts of like length together need little padding.
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        vectors: list[Vector] = [np.zeros(self.dimension, dtype=np.float32)] * len(texts)
        for start in range(0, len(order), self._batch_size):
            part = order[start : start + self._batch_size]
            embedded = np.asarray(model.embed([texts[at] for at in part], norm=False), dtype=np.float32)
            norms = np.linalg.norm(embedded, axis=1, keepdims=True)
            unit = np.divide(embedded, norms, out=np.zeros_like(embedded), where=norms > 0)
            for at, vector in zip(part, unit, strict=True):
                vectors[at] = vector
        return vectors
