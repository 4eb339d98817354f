"""All fuzz properties in turn, with inputs that nobody has tried, for as long as somebody likes."""

from __future__ import annotations

import os
import random
import time

import pytest

import tests.fuzz.test_fuzz_config
import tests.fuzz.test_fuzz_serving
import tests.fuzz.test_fuzz_tables  # noqa: F401  each module adds its properties
from tests.fuzz.judge import PROPERTIES

EXAMPLES = 100  # of a property, before the next one has its turn


@pytest.mark.fuzz
def test_no_input_ends_in_anything_but_a_result_or_a_refusal() -> None:
    """Environment: STAGECAST_FUZZ_SECONDS (default 600), and STAGECAST_FUZZ_SEED to begin with."""
    seconds = float(os.environ.get("STAGECAST_FUZZ_SECONDS", "600"))
    number = int(os.environ.get("STAGECAST_FUZZ_SEED", random.SystemRandom().randrange(10**9)))
    end, rounds = time.monotonic() + seconds, 0
    while rounds == 0 or time.monotonic() < end:
        for name, tried in PROPERTIES.items():
            # Printed before it is tried: a process that is ended says nothing afterwards.
            print(f"STAGECAST_FUZZ_SEED={number} {name}", flush=True)
            tried.run(number, EXAMPLES)
        number, rounds = number + 1, rounds + 1
    assert rounds > 0
    print(f"{rounds} rounds of {EXAMPLES} inputs of {len(PROPERTIES)} properties")
