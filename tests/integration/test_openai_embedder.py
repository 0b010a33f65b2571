"""The adapter for OpenAI-compatible servers, against a real server that fails in every way that these do."""

import socket
import time
from collections.abc import AsyncIterator, Iterator
from email.utils import formatdate
from typing import Any

import numpy as np
import pytest
from tests import provider as faulty
from tests.provider import DIMENSION, Fault, Provider, a_provider, status, vector_of

from hopper.adapters.embeddings.openai import OpenAIEmbedder
from hopper.domain.errors import HopperError, Invalid, Misconfigured, Unavailable

KEY = "sk-planted-Quillon"
TEXT = "Card is declined Quillon"
MODEL = "text-embedding-ada-002"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with a_provider() as running:
        yield running


def embedder_of(url: str, **fields: Any) -> OpenAIEmbedder:
    usual: dict[str, Any] = {"key": KEY, "model": MODEL, "dimension": DIMENSION, "batch_size": 3, "timeout": 2.0}
    return OpenAIEmbedder(base_url=url, **(usual | fields))


@pytest.fixture
async def embedder(provider: Provider) -> AsyncIterator[OpenAIEmbedder]:
    async with embedder_of(provider.url) as opened:
        yield opened


def is_vector_of(vector: Any, text: str) -> bool:
    expected = np.asarray(vector_of(text))
    return bool(
        vector.dtype == np.float32
        and abs(np.linalg.norm(vector) - 1) < 1e-5
        and np.allclose(vector, expected / np.linalg.norm(expected), atol=1e-6)
    )


async def failure(embedder: OpenAIEmbedder, *texts: str) -> HopperError:
    """How embedding ends, in words that hold neither key nor text."""
    with pytest.raises(HopperError) as failed:
        await embedder.embed(texts or [TEXT])
    shown = f"{failed.value!r} {failed.value} {failed.value.message}"
    assert KEY not in shown
    assert "Quillon" not in shown
    return failed.value


async def test_texts_become_unit_vectors_in_their_order(embedder: OpenAIEmbedder, provider: Provider) -> None:
    """A task would be found by another's text, or calls grow larger than the provider takes."""
    texts = [f"text number {number} of many" for number in range(8)]
    vectors = await embedder.embed(texts)
    assert all(is_vector_of(vector, text) for vector, text in zip(vectors, texts, strict=True))
    assert [len(call.texts) for call in provider.calls] == [3, 3, 2]
    assert {(call.path, call.model, call.authorization) for call in provider.calls} == {
        ("/v1/embeddings", MODEL, f"Bearer {KEY}")
    }


async def test_no_key_is_sent_when_there_is_none(provider: Provider) -> None:
    """A server on one's own machine, which asks for no key, couldn't be used."""
    async with embedder_of(provider.url, key=None) as embedder:
        await embedder.embed([TEXT])
    assert provider.calls[0].authorization is None


async def test_what_is_empty_isnt_sent(embedder: OpenAIEmbedder, provider: Provider) -> None:
    """The API refuses a whole call because of an empty text."""
    empty, full, blank = await embedder.embed(["", TEXT, " \n"])
    assert not empty.any()
    assert not blank.any()
    assert empty.shape == blank.shape == (DIMENSION,)
    assert is_vector_of(full, TEXT)
    assert provider.texts == [TEXT]
    assert await embedder.embed([]) == []


@pytest.mark.parametrize("letter", ["x", "字", "😀"])
async def test_long_texts_are_cut(embedder: OpenAIEmbedder, provider: Provider, letter: str) -> None:
    """A task with a long log in its description would never be found."""
    await embedder.embed([letter * 50_000])
    [sent] = provider.texts
    assert set(sent) == {letter}
    assert 7_990 < len(sent.encode()) <= 8_000  # a token is a byte at least; 8,191 are taken


async def test_many_long_texts_make_several_calls(provider: Provider) -> None:
    """OpenAI takes 300,000 tokens a call; a hundred long texts have more."""
    async with embedder_of(provider.url, batch_size=100) as embedder:
        await embedder.embed(["x" * 8_000] * 100)
    assert all(len("".join(call.texts)) <= 300_000 for call in provider.calls)
    assert len(provider.texts) == 100
    assert len(provider.calls) == 3


async def test_a_model_that_takes_less_gets_less(embedder: OpenAIEmbedder, provider: Provider) -> None:
    """With a small local model, every long task would stay without a vector."""
    provider.always = faulty.refusing(lambda text: len(text) > 2_000)
    await embedder.embed(["x" * 9_000])
    assert len(provider.texts[-1]) == 2_000


@pytest.mark.parametrize(
    "fault",
    [
        status(429),
        status(500),
        status(503),
        status(408),
        faulty.missing_one,
        faulty.one_twice,
        faulty.truncated,
        faulty.broken_off,
        faulty.another_page,
        faulty.another_shape,
    ],
)
async def test_what_passes_is_tried_again(embedder: OpenAIEmbedder, provider: Provider, fault: Fault) -> None:
    """Every short disturbance at the provider would put tasks off, or store half an answer."""
    provider.fails = [fault, fault]
    texts = ["one text", TEXT]
    vectors = await embedder.embed(texts)
    assert all(is_vector_of(vector, text) for vector, text in zip(vectors, texts, strict=True))
    assert len(provider.calls) == 3


async def test_the_order_in_the_answer_doesnt_matter(embedder: OpenAIEmbedder, provider: Provider) -> None:
    """Vectors would be stored with the wrong tasks, and nobody would ever notice."""
    provider.always = faulty.shuffled
    texts = ["one", "two", "three"]
    vectors = await embedder.embed(texts)
    assert all(is_vector_of(vector, text) for vector, text in zip(vectors, texts, strict=True))


async def test_retries_back_off(provider: Provider) -> None:
    """A provider that is overrun would be overrun by the retries as well."""
    provider.fails = [status(429)] * 3
    async with embedder_of(provider.url, timeout=20.0) as embedder:
        await embedder.embed([TEXT])
    first, second, third, fourth = (call.at for call in provider.calls)
    assert 0.2 < second - first < third - second + 0.5
    assert 0.9 < fourth - third < 3


@pytest.mark.parametrize("kind", ["seconds", "date"])
async def test_retry_after_is_honoured(provider: Provider, kind: str) -> None:
    """A provider may shut out who doesn't wait as long as it asked."""
    after = "1.5" if kind == "seconds" else formatdate(time.time() + 3, usegmt=True)
    provider.fails = [status(429, Retry_After=after)]
    async with embedder_of(provider.url, timeout=20.0) as embedder:
        await embedder.embed([TEXT])
    first, second = (call.at for call in provider.calls)
    assert 1.5 <= second - first < 5


async def test_a_wait_beyond_the_deadline_isnt_begun(embedder: OpenAIEmbedder, provider: Provider) -> None:
    """The worker would sleep instead of telling why, or call all the same."""
    provider.always = status(429, Retry_After="120")
    began = time.monotonic()
    assert isinstance(await failure(embedder), Unavailable)
    assert isinstance(await failure(embedder), Unavailable)
    assert time.monotonic() - began < 1
    assert len(provider.calls) == 1


@pytest.mark.parametrize("after", ["soon", "-5", "nan", ""])
async def test_a_strange_retry_after_says_nothing(embedder: OpenAIEmbedder, provider: Provider, after: str) -> None:
    """One odd header would end in a failure that nobody understands."""
    provider.fails = [status(429, Retry_After=after)]
    await embedder.embed([TEXT])


@pytest.mark.parametrize("fault", [faulty.hang, faulty.drip, status(429), status(500), faulty.truncated])
async def test_the_deadline_holds(embedder: OpenAIEmbedder, provider: Provider, fault: Fault) -> None:
    """A provider that hangs would hold the worker for ever."""
    provider.always = fault
    began = time.monotonic()
    assert isinstance(await failure(embedder), Unavailable)
    assert time.monotonic() - began < 2.5


async def test_the_deadline_is_of_all_batches_together(embedder: OpenAIEmbedder, provider: Provider) -> None:
    """Another worker would begin the same tasks before this one gives up."""
    provider.always = faulty.slow(0.5)
    began = time.monotonic()
    assert isinstance(await failure(embedder, *["many of them"] * 30), Unavailable)
    assert time.monotonic() - began < 2.5


async def test_nobody_at_the_address() -> None:
    """A provider that isn't running would end in a traceback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with embedder_of(f"http://127.0.0.1:{port}/v1", timeout=1.0) as embedder:
        assert isinstance(await failure(embedder), Unavailable)


@pytest.mark.parametrize(
    ("fault", "part"),
    [
        (status(401), "OPENAI_API_KEY"),
        (status(403), "OPENAI_API_KEY"),
        (status(404), "embeddings.model"),
        (status(301, Location="http://127.0.0.1:1/"), "embeddings.base_url"),
        (status(400), "embeddings.model"),
        (faulty.of_dimension(768), "database.pgvector.embedding_dimension"),
    ],
)
async def test_what_a_person_has_to_mend_is_told_at_once(
    embedder: OpenAIEmbedder, provider: Provider, fault: Fault, part: str
) -> None:
    """A wrong key would be tried again and again, and nobody told which setting to look at."""
    provider.always = fault
    error = await failure(embedder)
    assert isinstance(error, Misconfigured)
    assert part in error.message
    assert len(provider.calls) <= 4


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e999, None])
async def test_numbers_that_arent_finite_are_refused(
    embedder: OpenAIEmbedder, provider: Provider, number: object
) -> None:
    """A vector that has no angle to anything would be stored, and break searches."""
    provider.always = faulty.with_number(number)
    assert isinstance(await failure(embedder), Invalid)


async def test_a_text_that_is_refused_is_told_from_a_model_that_is(
    embedder: OpenAIEmbedder, provider: Provider
) -> None:
    """One odd text would stop all embedding, or a wrong model look like a thousand odd texts."""
    provider.always = faulty.refusing(lambda text: "odd" in text)
    assert isinstance(await failure(embedder, "an odd one"), Invalid)
    assert len(provider.calls) == 2  # it, and one that nobody refuses
    assert isinstance(await failure(embedder, "an odd one", "a good one"), Invalid)
    assert len(await embedder.embed(["a good one"])) == 1


async def test_large_numbers_and_none_at_all(embedder: OpenAIEmbedder, provider: Provider) -> None:
    """A vector whose squares pass a float's range would become zero, and zero be divided by zero."""
    provider.always = lambda answer, texts: answer.json(
        {
            "data": [
                {"index": 0, "embedding": [1e30] + [0.0] * (DIMENSION - 1)},
                {"index": 1, "embedding": [0.0] * DIMENSION},
            ]
        }
    )
    large, none = await embedder.embed(["large", "none"])
    assert large[0] == 1
    assert not none.any()
