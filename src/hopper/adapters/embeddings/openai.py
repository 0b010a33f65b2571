"""Any server that speaks OpenAI's embeddings API (https://platform.openai.com/docs/api-reference/embeddings)."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from math import isfinite
from time import monotonic
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_before_delay, wait_exponential_jitter

from hopper.domain.errors import Invalid, Misconfigured, Unavailable
from hopper.ports.embedder import Vector
from hopper.ports.spans import Attributes, Spans, calling

_LONGEST = (8_000, 2_000, 500)
"""Bytes of a text that are embedded; less when it is refused, since small models take less.

A token stands for a byte at least, and OpenAI's models take 8,191 tokens.
"""

_LARGEST_CALL = 300_000
"""Bytes of all texts of a call: no more tokens than that are taken (https://platform.openai.com/docs/api-reference)."""

_CONNECT_SECONDS = 5.0
_BACK_OFF = wait_exponential_jitter(multiplier=0.25, max=8, jitter=0.5)
_LONGEST_RETRY_AFTER = 600.0
_PROBE = ["Hopper"]


class _Again(Exception):
    """Another try may help, not before `after` seconds have passed."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


class _Refused(Exception):
    """The server can't use this request: one of the texts, or the model with it."""


class OpenAIEmbedder:
    """Implements ports.embedder.Embedder. Opened with `async with`; the server needn't be up for that.

    `timeout` is the deadline of `embed` in seconds. Neither texts nor the key stand in any message.
    """

    def __init__(
        self,
        *,
        base_url: str,
        key: str | None,
        model: str,
        dimension: int,
        batch_size: int,
        timeout: float,
        spans: Spans | None = None,
    ) -> None:
        self.model = model
        self.dimension = dimension
        self._batch_size = batch_size
        self._timeout = timeout
        self._not_before = 0.0
        self._spans = spans
        url = httpx.URL(base_url)
        self._host = url.host
        self._where = f"The provider of embeddings at {url.host}"
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout, connect=_CONNECT_SECONDS),
            trust_env=not _is_this_machine(url.host),  # a proxy can't reach this machine's own addresses
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        vectors: list[Vector] = [np.zeros(self.dimension, dtype=np.float32)] * len(texts)
        told = [(at, text) for at, text in enumerate(texts) if text.strip()]  # the API refuses an empty text
        try:
            async with asyncio.timeout(self._timeout):
                for batch in self._batches(told):
                    made = await self._batch([text for _, text in batch])
                    for (at, _), vector in zip(batch, made, strict=True):
                        vectors[at] = vector
        except TimeoutError:
            raise Unavailable(f"{self._where} gave no answer within {self._timeout:g} seconds.") from None
        return vectors

    async def models(self) -> list[str] | None:
        """The models that the server says it has, None if it doesn't say; asked once, and nothing is paid for it."""
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._http.get("models")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise Unavailable(f"{self._where} can't be reached ({type(error).__name__}).") from None
        if answer.status_code in {404, 405}:
            return None
        try:
            self._check_status(answer)
            return [str(model["id"]) for model in answer.json()["data"]]
        except (_Again, _Refused, ValueError, TypeError, LookupError):
            raise Unavailable(f"{self._where} is out of order (HTTP {answer.status_code}).") from None

    def _batches(self, texts: Sequence[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
        batch: list[tuple[int, str]] = []
        size = 0
        for at, text in texts:
            cut = _cut(text, _LONGEST[0])
            size += len(cut.encode())
            if batch and (len(batch) == self._batch_size or size > _LARGEST_CALL):
                yield batch
                batch, size = [], len(cut.encode())
            batch.append((at, cut))
        if batch:
            yield batch

    async def _batch(self, texts: Sequence[str]) -> list[Vector]:
        """Vectors of these texts, shortened if the server insists and there is only one."""
        refused: list[str] = []
        for longest in _LONGEST if len(texts) == 1 else _LONGEST[:1]:
            cut = [_cut(text, longest) for text in texts]
            if cut != refused:
                try:
                    return await self._retried(cut)
                except _Refused:
                    refused = cut
        # Is it the text, or does it refuse all of them?
        try:
            await self._retried(_PROBE)
        except _Refused:
            raise Misconfigured(
                f"{self._where} refuses to embed with {self.model!r}. Check 'embeddings.model'."
            ) from None
        raise Invalid("text", f"{self._where} can't embed this text.")

    async def _retried(self, texts: Sequence[str]) -> list[Vector]:
        """One call, repeated while that may help. Raises _Refused besides what `embed` raises."""
        pause = self._not_before - monotonic()
        if pause >= self._timeout:
            raise Unavailable(f"{self._where} has asked not to be called for a while (Retry-After).")
        await asyncio.sleep(max(pause, 0.0))
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_Again), wait=_wait, stop=stop_before_delay(self._timeout), reraise=True
        )
        try:
            vectors: list[Vector] = await retrying(self._told, texts)
        except _Again as error:
            raise Unavailable(f"{self._where} {error}.") from None
        return vectors

    async def _told(self, texts: Sequence[str]) -> list[Vector]:
        attributes: Attributes = {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.request.model": self.model,
            "server.address": self._host,
            "hopper.texts": len(texts),
        }
        with calling(self._spans, f"embeddings {self.model}", attributes, always=True):
            return await self._call(texts)

    async def _call(self, texts: Sequence[str]) -> list[Vector]:
        try:
            answer = await self._http.post("embeddings", json={"model": self.model, "input": list(texts)})
        except httpx.InvalidURL:
            raise Misconfigured(f"{self._where} can't be asked. Check 'embeddings.base_url'.") from None
        except httpx.HTTPError as error:
            raise _Again(f"can't be reached, or broke off ({type(error).__name__})") from None
        self._check_status(answer)
        try:
            items = sorted(answer.json()["data"], key=lambda item: item["index"])
            if [item["index"] for item in items] != list(range(len(texts))):
                raise ValueError
            return [self._vector(item["embedding"]) for item in items]
        except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
            raise _Again("gave an answer that isn't whole, or isn't one to a request for embeddings") from None

    def _check_status(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if status in {408, 409, 425, 429} or status >= 500:
            reason = "is asked too often, or the account's quota is used up" if status == 429 else "is out of order"
            after = _retry_after(answer.headers.get("Retry-After"))
            self._not_before = max(self._not_before, monotonic() + after)
            raise _Again(f"{reason} (HTTP {status})", after)
        if status in {401, 403}:
            raise Misconfigured(
                f"{self._where} refuses the key, or there is none (HTTP {status}). Check OPENAI_API_KEY."
            )
        if status in {400, 413, 422}:
            raise _Refused
        if status != 200:
            raise Misconfigured(
                f"{self._where} has no model {self.model!r}, or isn't there (HTTP {status}). "
                "Check 'embeddings.model' and 'embeddings.base_url'."
            )

    def _vector(self, given: Any) -> Vector:
        """What the answer holds, at unit length. In doubles: the squares of large numbers pass a float's range."""
        vector = np.asarray(given, dtype=np.float64)
        if vector.ndim != 1:
            raise ValueError
        if len(vector) != self.dimension:
            raise Misconfigured(
                f"{self._where} gives {self.model!r} {len(vector)} dimensions, not {self.dimension}. "
                "Correct 'database.pgvector.embedding_dimension'."
            )
        if not np.isfinite(vector).all():
            raise Invalid("text", f"{self._where} gives numbers for this text that aren't finite.")
        length = np.linalg.norm(vector)
        return (vector / length if length > 0 else vector).astype(np.float32)


def _cut(text: str, longest: int) -> str:
    return text.encode()[:longest].decode(errors="ignore")


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return max(error.after if isinstance(error, _Again) else 0.0, _BACK_OFF(state))


def _retry_after(value: str | None) -> float:
    """Seconds to wait, from the header's seconds or date (RFC 9110, 10.2.3); 0 if it says neither."""
    try:
        seconds = float(value or 0)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value or "").astimezone(UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return 0.0
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER) if isfinite(seconds) else 0.0


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
