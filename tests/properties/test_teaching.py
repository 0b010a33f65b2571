"""What a directory sends, whatever happens to its counts and its connection, is merged to what it last knew."""

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from hopper.domain.instance import Scope
from hopper.domain.pattern import Criteria, PatternType
from hopper.sync.identity import canonical
from hopper.sync.merge import Contribution, contributed, merge_contributions
from hopper.sync.payload import EpisodeSummary, FeedbackStats, PatternSync
from hopper.sync.teaching import Learned, Ledger, pushes

COUNT = st.integers(0, 9)


def a_pattern(tag: str, right: int, wrong: int, confidence: float) -> PatternSync:
    told = PatternSync(
        name="",
        pattern_type=PatternType.TAG,
        tag_criteria=Criteria(any=(tag,)),
        target_scope=Scope.PROJECT,
        confidence=confidence,
        usage_count=max(right, wrong),
        success_count=right,
        failure_count=wrong,
    )
    return replace(told, key=canonical(told).key)


@st.composite
def learned(draw: st.DrawFn) -> Learned:
    """Counts that go up and down as outcomes are corrected, and patterns that come and go."""
    patterns = [
        a_pattern(tag, draw(COUNT), draw(COUNT), draw(st.sampled_from([0.5, 0.9])))
        for tag in draw(st.sets(st.sampled_from("abc")))
    ]
    summary = EpisodeSummary(chosen_instance_scope=None, confidence=0.5, outcome_success=True, strategy="manual")
    keys = draw(st.sets(st.sampled_from("xyz")))
    return Learned(
        patterns={pattern.key or "": pattern for pattern in patterns},
        episodes={key: replace(summary, key=key) for key in sorted(keys)},
        feedback=FeedbackStats(total_feedback=draw(COUNT), good_matches=0, bad_matches=0),
    )


class Server:
    """As app.northbound merges, without a database."""

    def __init__(self) -> None:
        self.said: dict[str, Contribution] = {}
        self.episodes: set[str] = set()
        self.sequence = 0

    def receive(self, body: bytes) -> None:
        push = json.loads(body)
        self.sequence = max(self.sequence, push["sequence"])
        given = [
            PatternSync(
                key=one["key"],
                name=one["name"],
                pattern_type=PatternType(one["pattern_type"]),
                tag_criteria=Criteria(**{group: tuple(terms) for group, terms in one["tag_criteria"].items()}),
                target_scope=Scope(one["target_scope"]),
                **{name: one[name] for name in ("confidence", "usage_count", "success_count", "failure_count")},
            )
            for one in push["patterns"]
        ]
        merge = merge_contributions(self.said, contributed(given, push["sequence"]))  # refuses counts that go down
        self.said |= {one.pattern.key: one.contribution for one in merge.joined}
        self.episodes |= {one["key"] for one in push["episode_summaries"]}


@given(
    st.lists(
        st.tuples(learned(), st.booleans(), st.sampled_from(["sent", "answer lost", "not sent"])),
        min_size=1,
        max_size=12,
    )
)
def test_counts_never_fall_and_nothing_is_told_twice(history: list[tuple[Learned, bool, str]]) -> None:
    """A correction would be refused for ever, or a lost answer leave a server with half of what was learned; and where
    the server is asked what has arrived, because the rest isn't to be sent again, that would be lost or counted twice.
    """
    server, ledger, outbox, late = Server(), Ledger(), list[bytes](), list[bytes]()
    largest: dict[str, int] = {}
    for now, asks, outcome in [*history, (history[-1][0], False, "sent")]:
        if asks:
            late += [body for body in outbox if json.loads(body)["sequence"] > server.sequence]
            ledger, outbox = ledger.heard_until(server.sequence, outbox), []
        begun = ledger
        for body in outbox:
            begun = begun.with_push(body)
        outbox += pushes(now, begun, "laptop")
        largest |= {key: max(largest.get(key, 0), one.success_count) for key, one in now.patterns.items()}
        if outcome == "not sent":
            continue
        for body in outbox:
            server.receive(body)
        if outcome == "sent":
            for body in outbox:
                ledger = ledger.with_push(body)
            outbox = []
    for body in reversed(late):  # what was given up was under way all the time
        server.receive(body)
    assert {key: one.success_count for key, one in server.said.items()} == largest
    assert server.episodes == {key for now, *_ in history for key in now.episodes}
    assert server.sequence == ledger.numbered
    assert not pushes(history[-1][0], ledger, "laptop"), "what is unchanged sends nothing"
    assert Ledger.read(json.loads(json.dumps(ledger.stored()))) == ledger


def test_much_is_sent_in_parts_in_one_order() -> None:
    """A push of years of decisions would be too large to be taken, or begin anew after each break."""
    summary = EpisodeSummary(chosen_instance_scope=None, confidence=0.5, outcome_success=True, strategy="manual")
    episodes = {f"e{at:05}": replace(summary, key=f"e{at:05}") for at in range(4_500)}
    years = Learned(patterns={}, episodes=episodes, feedback=None)
    sent = pushes(years, Ledger(), "laptop")
    assert [json.loads(body)["sequence"] for body in sent] == [1, 2, 3]
    assert pushes(years, Ledger().with_push(sent[0]), "laptop") == sent[1:]
