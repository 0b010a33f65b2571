"""One embedding model and one dimension, whichever of their settings were given."""

from hopper.config.problems import Contradiction, Place, dotted

_DIMENSIONS = {
    "wordllama-256": 256,
    "wordllama-128": 128,
    "wordllama-64": 64,
    "text-embedding-ada-002": 1536,
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
}
"""How many numbers a vector of the models has that Hopper knows (https://platform.openai.com/docs/guides/embeddings)."""

_FIRST_CHOICE = {"wordllama": "wordllama-256", "openai": "text-embedding-ada-002"}

_PROVIDER: Place = ("embeddings", "provider")
_MODEL: Place = ("embeddings", "model")
_STORED_MODEL: Place = ("database", "pgvector", "embedding_model")
_DIMENSION: Place = ("database", "pgvector", "embedding_dimension")

_OFFLINE = "wordllama has the models wordllama-256, wordllama-128 and wordllama-64"


def agreed(provider: str, named: str, stored: str, given: int) -> tuple[str, int]:
    """The model and its dimension, of which each that is empty or 0 wasn't given.

    Raises Contradiction where two settings say different things.
    """
    if named and stored and named != stored:
        raise Contradiction(
            f"The settings {{0}} and {{1}} name different models, {named} and {stored}. Give one of them, or the same "
            "in both.",
            _MODEL,
            _STORED_MODEL,
        )
    model, key = named or stored or _FIRST_CHOICE[provider], _MODEL if named or not stored else _STORED_MODEL
    if model.startswith("wordllama-") != (provider == "wordllama"):
        raise Contradiction(
            f"The settings {{0}} and {{1}} don't go together, {model} and {provider}: {_OFFLINE}, and no other "
            "provider has them.",
            key,
            _PROVIDER,
        )
    if provider == "wordllama" and model not in _DIMENSIONS:
        raise Contradiction(f"The setting {{0}} is wrong: {_OFFLINE}.", key, depends=[_PROVIDER])
    known = _DIMENSIONS.get(model)
    if known and given and known != given:
        raise Contradiction(
            f"The setting {{0}} is wrong: the model {model} has {known} dimensions, not {given}. Remove it, or name "
            "the model that it belongs to.",
            _DIMENSION,
            depends=[key, _PROVIDER],
        )
    if not known and not given:
        raise Contradiction(
            f"The setting {dotted(_DIMENSION)!r} is missing: give the number of dimensions of the model {model}, which "
            "{0} names and Hopper doesn't know.",
            key,
            depends=[_DIMENSION],
        )
    return model, known or given
