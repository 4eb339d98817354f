from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.services.progress_bars import SparseLines, progress


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_short_step_prints_no_line_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress("fits", 3) as advance:
        for _ in range(3):
            advance()
    assert capsys.readouterr() == ("", "")


def test_a_long_step_prints_a_line_with_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = SparseLines(clock)
    for done in range(9):
        clock.now = 20.0 * done
        lines("fits", done, 8)
    printed = capsys.readouterr().err.splitlines()
    assert printed[0] == "\u203a fits: 2 of 8, about 2 min left"
    assert printed[-1] == "\u203a fits: 6 of 8, about 40 s left"
    assert len(printed) == 3


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40))
def test_lines_are_never_closer_than_half_a_minute(waits: list[float]) -> None:
    clock, printed = Clock(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.services.progress_bars.step", lambda _: printed.append(clock.now))
        lines = SparseLines(clock)
        for number, wait in enumerate(waits):
            clock.now += wait
            lines("rows", number, len(waits))
    assert all(later - earlier >= 30 for earlier, later in itertools.pairwise(printed))
