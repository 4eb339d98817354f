"""Shared by all tests: hypothesis is repeatable."""

from __future__ import annotations

import os

# As the command line does, before numpy is imported: threads that spin slow the tests down.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from hypothesis import HealthCheck, settings

# The same examples on every machine and no deadline: a slow machine is no failure.
settings.register_profile(
    "stagecast",
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("stagecast")
