"""The Beta distribution, as far as rules need it: how sure a share is that was seen in so many cases.

The incomplete beta function is evaluated by its continued fraction (NIST DLMF 8.17.22) with Lentz's method.
"""

from math import exp, lgamma, log, log1p

_TINY = 1e-300
_PRECISION = 1e-12
_TERMS = 500
_HALVINGS = 20


def cumulative(x: float, a: float, b: float) -> float:
    """The probability that a Beta(a, b) variable is at most x; a and b above 0."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(1 - x, b, a) / b


def lower_bound(a: float, b: float, tail: float) -> float:
    """The value that a Beta(a, b) variable is below with the probability `tail`."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if cumulative(middle, a, b) < tail:
            low = middle
        else:
            high = middle
    return low


def by_chance(hits: float, cases: float, share: float) -> float:
    """The probability of at least so many hits among the cases if each is a hit with the probability `share`.

    The binomial tail, continued to fractions of cases.
    """
    return cumulative(share, hits, cases - hits + 1) if hits > 0 else 1.0


def _fraction(x: float, a: float, b: float) -> float:
    numerator, denominator = 1.0, _away_from_zero(1 - (a + b) * x / (a + 1))
    value = denominator = 1 / denominator
    for m in range(1, _TERMS):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            denominator = 1 / _away_from_zero(1 + step * denominator)
            numerator = _away_from_zero(1 + step / numerator)
            value *= numerator * denominator
        if abs(numerator * denominator - 1) < _PRECISION:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
