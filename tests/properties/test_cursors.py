"""Cursors: what a listing gives out leads back to its place, and nothing else leads anywhere."""

from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import NOW

from hopper.adapters.postgres.sql import decode_cursor, encode_cursor
from hopper.domain.cursors import as_id, as_moment
from hopper.domain.errors import Invalid

bounded = settings(max_examples=150, deadline=None)

ids = st.from_regex(r"[A-Za-z0-9._-]{1,36}", fullmatch=True)
letters = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
zones = st.sampled_from([UTC, timezone(timedelta(hours=-11, minutes=-30)), timezone(timedelta(hours=14))])
moments = st.builds(
    lambda microseconds, zone: (NOW + timedelta(microseconds=microseconds)).astimezone(zone),
    st.integers(-(10**15), 10**15),
    zones,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | letters,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(letters, inner, max_size=3),
    max_leaves=6,
)


def is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(datetime.fromisoformat(value))
    except ValueError:
        return False


def cursor_of(value: object) -> str:
    return urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


@bounded
@given(moments, ids)
def test_a_place_in_a_listing_by_time_comes_back_exactly(moment: datetime, id: str) -> None:
    """A person who turns pages would land beside the place where they were, and miss or repeat tasks."""
    cursor = encode_cursor(moment.isoformat(), id)
    assert decode_cursor(cursor, as_moment, as_id) == [moment, id]


@bounded
@given(st.floats(allow_nan=False, allow_infinity=False), ids)
def test_a_place_in_a_listing_by_score_comes_back_exactly(score: float, id: str) -> None:
    """A score that is rounded on the way would drop hits between two pages of a search."""
    assert decode_cursor(encode_cursor(score, id), float, as_id) == [score, id]


@bounded
@given(moments, ids)
def test_a_cursor_can_stand_in_an_address(moment: datetime, id: str) -> None:
    """A client that puts the cursor into a URL as it is would ask for another place."""
    cursor = encode_cursor(moment.isoformat(), id)
    assert cursor.isascii()
    assert cursor.replace("-", "").replace("_", "").isalnum()


@bounded
@given(st.text())
def test_a_text_that_is_no_cursor_is_refused(text: str) -> None:
    """A damaged cursor would end in a traceback, or silently start the listing again."""
    with pytest.raises(Invalid) as refused:
        decode_cursor(text, as_moment, as_id)
    assert refused.value.field == "cursor"


@bounded
@given(st.binary())
def test_bytes_that_are_no_cursor_are_refused(noise: bytes) -> None:
    """A cursor of another program would end in a traceback."""
    with pytest.raises(Invalid):
        decode_cursor(urlsafe_b64encode(noise).decode(), as_moment, as_id)


@bounded
@given(json_values.filter(lambda value: not (isinstance(value, list) and len(value) == 2 and is_time(value[0]))))
def test_another_listings_place_is_refused(value: object) -> None:
    """The cursor of a search would start somewhere in a listing by time, as if it belonged there."""
    with pytest.raises(Invalid):
        decode_cursor(cursor_of(value), as_moment, as_id)


@bounded
@given(moments, json_values.filter(lambda value: not isinstance(value, str)))
def test_a_place_whose_id_is_no_text_is_refused(moment: datetime, value: object) -> None:
    """A cursor that somebody made up would be taken for one that a listing gave out."""
    with pytest.raises(Invalid):
        decode_cursor(cursor_of([moment.isoformat(), value]), as_moment, as_id)


@bounded
@given(moments, ids, st.data())
def test_a_cursor_that_was_cut_short_leads_nowhere(moment: datetime, id: str, data: st.DataObject) -> None:
    """A cursor that lost its end on the way would skip tasks without a word."""
    cursor = encode_cursor(moment.isoformat(), id)
    cut = cursor[: data.draw(st.integers(0, len(cursor) - 1))]
    with pytest.raises(Invalid):
        decode_cursor(cut, as_moment, as_id)
