"""What a person types into a search, taken apart: words, "phrases", beginnings*, -without, or."""

import re
from dataclasses import dataclass
from enum import StrEnum

QUERY_LENGTH = 1_000


class Mode(StrEnum):
    """What a search goes by: words, meaning, or both."""

    HYBRID = "hybrid"
    KEYWORD = "keyword"
    SEMANTIC = "semantic"


@dataclass(frozen=True, slots=True)
class Term:
    """A word or a phrase; the beginning of one with `prefix`, unwanted with `excluded`."""

    text: str
    prefix: bool = False
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """One of the `alternatives` must be met: each of its terms, and none of those that it excludes."""

    alternatives: tuple[tuple[Term, ...], ...]

    @property
    def wanted(self) -> str:
        """All that is looked for, as plain text."""
        return " ".join(term.text for terms in self.alternatives for term in terms if not term.excluded)

    @property
    def excluded(self) -> tuple[Term, ...]:
        """What must not be in a task, however it was found."""
        return tuple(term for terms in self.alternatives for term in terms if term.excluded)


_TERM = re.compile(r'(?P<minus>-?)(?:"(?P<phrase>[^"]*)"?(?P<phrase_star>\*?)|(?P<word>[^\s"]+))')
_SAYS_SOMETHING = re.compile(r"\w")


def parse(text: str) -> Query:
    """Read a query. Nothing is an error: a quote that isn't closed goes to the end, stray signs say nothing."""
    alternatives: list[tuple[Term, ...]] = []
    terms: list[Term] = []
    for found in _TERM.finditer(text):
        word = found["word"]
        if word is not None and not found["minus"] and word.casefold() == "or":
            alternatives.append(tuple(terms))
            terms = []
            continue
        said = word.rstrip("*") if word is not None else found["phrase"]
        prefix = bool(found["phrase_star"]) if word is None else word.endswith("*")
        if _SAYS_SOMETHING.search(said):
            terms.append(Term(said.strip(), prefix, bool(found["minus"])))
    alternatives.append(tuple(terms))
    return Query(tuple(terms for terms in alternatives if terms))
