"""Simulated customers, shared with the tests of the simulator."""

from __future__ import annotations

from tests.simulator.conftest import small, tallied

__all__ = ["small", "tallied"]
