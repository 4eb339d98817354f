"""What every fuzz test shares: limits that hold for any input, and the judge of how it ended.

Hypothesis makes the inputs, and not a fuzzer led by coverage: what parses bytes here (DuckDB,
Arrow, LightGBM) is compiled without the marks that such a fuzzer needs, while the faults of our own
code lie behind inputs that are nearly right, which a grammar reaches and flipped bytes do not.
A failing input is also made small, and is the same one on every machine.
"""

from __future__ import annotations

import faulthandler
import resource
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from features.errors import UserError
from tests.tries import ALL, tries

T = TypeVar("T")
Check = Callable[[Any], None]

HANGS_AFTER = 120  # seconds of one input, on a machine that others use too
MOST_GROWTH = 1_500_000  # KB that one input of at most a few KB may cost
LONGEST_MESSAGE = 4_000


@contextmanager
def limits() -> Iterator[None]:
    """Ends the process, with the place where it stands, where one input takes too long.

    A thread of the interpreter watches, so that a loop in compiled code is noticed too.
    """
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    faulthandler.dump_traceback_later(HANGS_AFTER, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < MOST_GROWTH, f"one input took {grown:,} KB"


def outcome(call: Callable[..., T], *arguments: Any, **named: Any) -> T | UserError:
    """The result of a call, or its refusal; any other end is a failure of the test."""
    with limits():
        try:
            return call(*arguments, **named)
        except UserError as error:
            for problem in error.problems:
                judge(str(problem))
            return error


def judge(message: str) -> None:
    """One message: complete, short, and without signs that a terminal would obey."""
    assert "found " in message
    assert "expected: " in message
    assert len(message) < LONGEST_MESSAGE, f"{len(message):,} signs"
    assert "Traceback" not in message
    unseen = {c for c in message if unicodedata.category(c) in ("Cc", "Cs") and c != "\n"}
    assert not unseen, f"control signs {sorted(map(ascii, unseen))}"


@dataclass(frozen=True)
class Property:
    """A check of inputs, and where its inputs come from."""

    check: Check
    inputs: st.SearchStrategy[Any]

    def run(self, number: int, examples: int) -> None:
        """Try inputs that a number decides; the same number gives the same ones."""
        tried = given(self.inputs)(self.check)
        chosen = settings(
            max_examples=examples, derandomize=False, database=None, deadline=None,
            print_blob=True, suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        seed(number)(chosen(tried))()


PROPERTIES: dict[str, Property] = {}


def fuzzed(
    inputs: st.SearchStrategy[Any], *, examples: int, long: int | None = None
) -> Callable[[Check], Callable[[], None]]:
    """A test of the plain suite that tries some inputs, always the same; `-m fuzz` goes on.

    A third of the examples in the plain suite, all (or `long`) in the long rounds.
    The inputs that are tried depend on the strategy and the test's name only (`derandomize`).
    """

    def decorate(check: Check) -> Callable[[], None]:
        PROPERTIES[f"{check.__module__}::{check.__name__}"] = Property(check, inputs)
        count = long if ALL and long else tries(examples)
        plain = settings(
            max_examples=count, derandomize=True, database=None, deadline=None,
            print_blob=True, suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        tried: Callable[[], None] = plain(given(inputs)(check))
        return tried

    return decorate
