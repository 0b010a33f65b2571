"""What leaves a machine: words that tasks share, and nothing that tells whose they are."""

import json
import random
import string
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest
from tests.builders import a_pattern

from hopper.domain.instance import Scope
from hopper.domain.pattern import Criteria, Pattern, PatternSource, PatternType
from hopper.sync.payload import FeedbackStats
from hopper.sync.privacy import Filter
from hopper.sync.targets import TargetNaming
from hopper.sync.teaching import Case, Ledger, pushes, what_leaves

_RANDOM = random.Random(20)

MARK = "ozek"
"""Ends the words that are made here, so that a part of one is found too, and looks like one of any language."""


def _word(least: int = 5, most: int = 9) -> str:
    """Like a word, and in no dictionary."""
    length = _RANDOM.randint(least, most)
    return "".join(_RANDOM.choice("bdfgklmnprstvz" if at % 2 else "aeiou") for at in range(length)) + MARK


def _chars(of: str, length: int) -> str:
    return "".join(_RANDOM.choice(of) for _ in range(length))


def _digits(length: int) -> str:
    return _chars(string.digits, length)


def _name() -> str:
    return _word().capitalize()


KINDS: dict[str, Callable[[], str]] = {
    "mail address": lambda: f"{_word()}.{_word()}@{_word()}.example",
    "token": lambda: f"ghp_{_chars(string.ascii_letters + string.digits, 36)}",
    "cloud key": lambda: f"AKIA{_chars(string.ascii_uppercase + string.digits, 16)}",
    "random letters": lambda: _chars(string.ascii_letters, 24),
    "hexadecimal": lambda: _chars("0123456789abcdef", 32),
    "uuid": lambda: str(UUID(int=_RANDOM.getrandbits(128))),
    "host": lambda: f"{_word()}-{_digits(2)}.{_word()}.internal",
    "ip address": lambda: ".".join(str(_RANDOM.randint(1, 254)) for _ in range(4)),
    "ip v6 address": lambda: ":".join(_chars("0123456789abcdef", 4) for _ in range(8)),
    "url": lambda: f"https://{_word()}.example/{_word()}?{_word()}={_word()}",
    "path": lambda: f"/home/{_word()}/{_word()}/{_word()}.txt",
    "windows path": lambda: f"C:\\Users\\{_word()}\\{_word()}",
    "ticket": lambda: f"{_chars(string.ascii_uppercase, 4)}-{_digits(5)}",
    "phone number": lambda: f"+49 {_digits(3)} {_digits(7)}",
    "card number": lambda: " ".join(_digits(4) for _ in range(4)),
    "account": lambda: f"DE{_digits(20)}",
    "person": lambda: f"{_name()} {_name()}",
    "login": lambda: f"@{_word()}",
    "identifier": lambda: f"{_word()}{_name()}{_name()}",
    "version": lambda: f"v{_digits(1)}.{_digits(2)}.{_digits(1)}-{_word()}",
    "korean name": lambda: "".join(chr(_RANDOM.randint(0xAC00, 0xD7A3)) for _ in range(3)),
    "japanese name": lambda: "".join(chr(_RANDOM.randint(0x4E00, 0x9FBF)) for _ in range(4)),
    "arabic name": lambda: _chars("ابتثجحخدذرزسشصضطظعغفقكلمنهوي", 8),
}
EACH = 500


def test_of_ten_thousand_secrets_none_leaves() -> None:
    """One line of somebody's work would be on a server that others read."""
    secrets = {kind: [make() for _ in range(EACH)] for kind, make in KINDS.items()}
    config = [_word() for _ in range(EACH)]  # the person's own words, which look like any other
    cases, patterns, targets = [], [], {}
    for at, secret in enumerate([*(one for made in secrets.values() for one in made), *config]):
        texts = [
            f"please look at {secret} before the invoices are sent",
            f"the invoices of ({secret}) are wrong",
            f"{secret}: invoices",
        ]
        cases += [
            Case(
                episode_id=f"{at}-{place}",
                task_id=f"{at}-{place}",
                text=text,
                tags=(secret, f"owner={secret}", "invoices"),
                chosen_scope=Scope.PROJECT,
                confidence=0.7,
                was_right=True,
                strategy="manual",
            )
            for place, text in enumerate(texts)
        ]
        targets[f"i{at}"] = (secret, Scope.PROJECT)
        patterns += _patterns(secret, f"i{at}")
    allowed = a_pattern("i0", tag_criteria=Criteria(any=("invoices",)), pattern_type=PatternType.TAG)
    learned = what_leaves(
        [*patterns, allowed],
        cases,
        FeedbackStats(total_feedback=9, good_matches=8, bad_matches=1),
        targets,
        source="laptop",
        naming=TargetNaming(team_key="ours"),
        private=config,
    )
    bodies = [json.loads(body) for body in pushes(learned, Ledger(), "laptop")]
    assert sum(len(body["episode_summaries"]) for body in bodies) == len(cases)
    assert all(episode["tags"] == ["invoices"] for body in bodies for episode in body["episode_summaries"])
    assert len(learned.patterns) == 1, "what isn't secret leaves"
    said = "\n".join({text.casefold() for body in bodies for text in _texts(body)})
    parts = {part for made in secrets.values() for secret in made for part in secret.split() if MARK in part}
    everything = [*(one for made in secrets.values() for one in made), *config, *parts]
    assert not [secret for secret in everything if secret.casefold() in said]


def _patterns(secret: str, target: str) -> list[Pattern]:
    """A rule of its tag, of its words, and of one among others."""
    return [
        a_pattern(target, pattern_type=kind, source=PatternSource.LEARNED, name=secret, description=secret, **criteria)
        for kind, criteria in (
            (PatternType.TAG, {"tag_criteria": Criteria(any=(secret,)), "text_criteria": None}),
            (PatternType.TEXT, {"text_criteria": Criteria(all=tuple(secret.split())), "tag_criteria": None}),
            (PatternType.TEXT, {"text_criteria": Criteria(any=("invoices", secret)), "tag_criteria": None}),
            (PatternType.TAG, {"tag_criteria": Criteria(any=("invoices",), none=(secret,)), "text_criteria": None}),
        )
    ]


def _texts(said: object) -> list[str]:
    """All texts in a payload but those that are hashes."""
    if isinstance(said, dict):
        return [text for name, one in said.items() if name not in {"key", "target_name"} for text in _texts(one)]
    if isinstance(said, list):
        return [text for one in said for text in _texts(one)]
    return [said] if isinstance(said, str) else []


def seen(*texts: str, tags: tuple[str, ...] = (), private: tuple[str, ...] = ()) -> Filter:
    found = Filter(private)
    for text in texts:
        found.see(text, tags)
    return found


def test_what_few_tasks_say_stays() -> None:
    """A word that two tasks have would tell that these two exist."""
    assert seen(*["the card was declined"] * 3).passes_term("declined")
    assert not seen(*["the card was declined"] * 2).passes_term("declined")
    assert not seen(*["other words"] * 3, tags=()).passes_tag("billing")
    assert seen(*["x"] * 3, tags=("billing",)).passes_tag("billing")


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("ask Jane about it", "jane"),
        ("see https://jira.acme.example/x", "acme"),
        ("write to jane.doe@acme.example", "doe"),
        ("in /srv/acme/build", "srv"),
        ("on acme-db-01 again", "acme"),
        ("call parseInvoice twice", "parseinvoice"),
        ("it is K9 again", "k9"),
        ("the ticket ACME-123", "ticket acme"),
        ("ask the one, acme.example, again", "one again"),
        ("the sskrbtvw is here", "sskrbtvw"),
        ("our secretproject is late", "secretproject"),
        ("restart db-bluebird-prod now", "bluebird"),
        ("restart db-bluebird-prod now", "db bluebird prod"),
        ("it is correct-horse-battery-staple", "horse"),
        ("o'reilly and mary\u2019s laptop", "reilly"),
        ("o'reilly and mary\u2019s laptop", "mary"),
        ("김철수 요청", "김철수"),
        ("田中 から の 依頼", "田中"),
        ("پرویز درخواست", "پرویز"),
    ],
)
def test_parts_of_names_and_addresses_stay(text: str, term: str) -> None:
    """A word isn't harmless because the address that it was cut from can't be seen any more."""
    assert not seen(*[text] * 9, private=("SecretProject",)).passes_term(term)


def test_phrases_and_tags_with_hyphens_pass() -> None:
    """Most rules are of two words that come together."""
    found = seen(*["the front-end doesn't show the exchange rate."] * 3, tags=("front-end", "on_call", "area=ui"))
    assert found.passes_term("exchange rate")
    assert found.passes_tag("front-end")
    assert found.passes_tag("on_call")
    assert not found.passes_tag("area=ui"), "a value may be a name"
    assert not found.passes_term("front end"), "a host may be of such words"


@pytest.mark.parametrize("tag", ["田中", "김철수", "front-田中", "acme=x", "-acme", "\uff41\uff43\uff4d\uff45"])
def test_a_tag_of_a_name_stays(tag: str) -> None:
    """A script without capitals doesn't show which word is a name; a private word is one however it is written."""
    assert not seen(*["x"] * 3, tags=(tag,), private=("ACME",)).passes_tag(tag)


def test_a_task_counts_once_however_often_it_was_decided_about() -> None:
    """One task that was rejected twice would have its words and tags told as if three had them."""
    case = Case(
        episode_id="1",
        task_id="t",
        text="ask the galactic people",
        tags=("zebra",),
        chosen_scope=Scope.PROJECT,
        confidence=0.5,
        was_right=False,
        strategy="manual",
    )

    def told(*cases: Case) -> tuple[list[tuple[str, ...]], int]:
        rule = a_pattern("i0", pattern_type=PatternType.TEXT, text_criteria=Criteria(any=("galactic",)))
        learned = what_leaves(
            [rule],
            cases,
            FeedbackStats(total_feedback=0, good_matches=0, bad_matches=0),
            {"i0": ("cards", Scope.PROJECT)},
            source="laptop",
            naming=TargetNaming(),
            private=(),
        )
        return [episode.tags for episode in learned.episodes.values()], len(learned.patterns)

    decisions = [replace(case, episode_id=str(at)) for at in range(3)]
    assert told(*decisions) == ([(), (), ()], 0)
    assert told(*(replace(one, task_id=one.episode_id) for one in decisions)) == ([("zebra",)] * 3, 1)
