"""The Beta distribution against sums that say the same."""

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.routing import beta

shares = st.floats(0.001, 0.999)


@given(shares, st.integers(1, 60), st.integers(0, 60))
def test_chance_is_the_binomial_tail(share: float, cases: int, hits: int) -> None:
    """Rules would be taken for chance, or chance for rules."""
    hits = min(hits, cases)
    tail = sum(comb(cases, k) * share**k * (1 - share) ** (cases - k) for k in range(hits, cases + 1))
    assert beta.by_chance(hits, cases, share) == pytest.approx(tail, rel=1e-6, abs=1e-12)


@given(st.floats(0.01, 5000), st.floats(0.01, 5000), shares)
def test_a_lower_bound_leaves_just_the_tail_below_it(a: float, b: float, tail: float) -> None:
    """A rule would be called surer than its record allows."""
    bound = beta.lower_bound(a, b, tail)
    assert 0 <= bound <= 1
    assert beta.cumulative(bound, a, b) <= tail <= beta.cumulative(bound + 2e-6, a, b) + 1e-9


@pytest.mark.parametrize(("x", "expected"), [(-1, 0), (0, 0), (1, 1), (2, 1)])
def test_outside_of_the_interval_nothing_is_left(x: float, expected: float) -> None:
    """Shares of exactly none or all would be errors."""
    assert beta.cumulative(x, 2, 3) == expected
