"""The made-up shop after a run, shared with the tests of flows."""

from __future__ import annotations

from tests.flows.conftest import shop

__all__ = ["shop"]
