"""No group that is shown, and no difference of groups, describes fewer than 30 customers."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.metrics.stage_metrics import FEWEST
from flows.assistant.disclosure import (
    dominated,
    hidden_groups,
    hidden_shares,
    isolates,
    rounded_count,
    significant,
    tells_of_few,
)


@given(st.lists(st.integers(0, 200), max_size=8), st.integers(0, 60))
def test_what_is_hidden_is_nothing_or_enough(sizes: list[int], outside: int) -> None:
    total = sum(sizes) + outside
    hidden = hidden_groups(sizes, total)
    shown = [size for size, is_hidden in zip(sizes, hidden, strict=True) if not is_hidden]
    assert all(size >= FEWEST for size in shown)
    rest = total - sum(shown)
    assert rest == 0 or rest >= FEWEST or not shown


@given(st.lists(st.integers(FEWEST, 200), min_size=1, max_size=8))
def test_nothing_is_hidden_without_a_small_group(sizes: list[int]) -> None:
    assert not any(hidden_groups(sizes, sum(sizes)))


@given(st.lists(st.tuples(st.integers(0, 150), st.integers(0, 150)), max_size=8))
def test_a_share_and_what_follows_from_shares_describe_enough(
    groups: list[tuple[int, int]],
) -> None:
    sizes = [did + did_not for did, did_not in groups]
    shares = [did / (did + did_not) if did + did_not else np.nan for did, did_not in groups]
    total, in_all = sum(sizes), sum(did for did, _ in groups)
    hidden = hidden_shares(shares, sizes, in_all / total if total else float("nan"), total)
    shown = [group for group, is_hidden in zip(groups, hidden, strict=True) if not is_hidden]
    assert all(min(group) >= FEWEST for group in shown)
    assert not any(tells_of_few(did / (did + did_not), did + did_not) for did, did_not in shown)
    if shown:
        for part, whole in ((0, in_all), (1, total - in_all)):
            rest = whole - sum(group[part] for group in shown)
            assert rest == 0 or rest >= FEWEST


@pytest.mark.parametrize(
    ("share", "size", "is_telling"),
    [(0.011, 94, True), (93 / 94, 94, True), (0.5, 60, False), (0.5, 58, True), (0.0, 500, True),
     (float("nan"), 500, True)],
)  # fmt: skip
def test_one_of_ninety_four_is_no_share(share: float, size: int, is_telling: bool) -> None:
    assert tells_of_few(share, size) == is_telling


def test_groups_that_overlap_are_judged_one_by_one() -> None:
    assert hidden_groups([100, 100, 29], 100) == [False, False, True]


def unions(division: np.ndarray) -> list[frozenset[int]]:
    """Customers of every union of groups."""
    groups = [frozenset(np.flatnonzero(division == code).tolist()) for code in set(division)]
    chosen = chain.from_iterable(combinations(groups, n) for n in range(len(groups) + 1))
    return [frozenset().union(*some) for some in chosen]


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from([1, 5, 29, 30, 31, 60])),
        min_size=1,
        max_size=9,
    )
)
def test_two_divisions_isolate_as_sets_of_customers_do(cells: list[tuple[int, int, int]]) -> None:
    sizes = [size for _, _, size in cells]
    first, second = (np.repeat([cell[n] for cell in cells], sizes) for n in (0, 1))
    expected = any(
        0 < len(one ^ other) < FEWEST for one in unions(first) for other in unions(second)
    )
    assert isolates(first, second) == expected


def test_divisions_with_too_many_unions_count_as_isolating() -> None:
    many = np.arange(4000) % 40
    assert isolates(many, many // 2)


@given(st.integers(0, 10_000))
def test_counts_are_multiples_and_near(count: int) -> None:
    shown = rounded_count(count)
    if count < FEWEST:
        assert shown is None
    else:
        assert shown is not None
        assert shown % FEWEST == 0
        assert abs(shown - count) <= FEWEST / 2
        assert shown > 0


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.1234, 0.12), (1234.0, 1200.0), (-0.0567, -0.057), (0.0, 0.0), (float("nan"), None),
     (float("inf"), None)],
)  # fmt: skip
def test_two_digits_are_left(value: float, shown: float | None) -> None:
    assert significant(value) == shown


def test_a_sum_that_one_person_makes_is_seen() -> None:
    assert dominated(np.array([1000.0, *[1.0] * 50]))
    assert not dominated(np.full(30, 7.0))
    assert not dominated(np.zeros(30))
    assert not dominated(np.array([]))
