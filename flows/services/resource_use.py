"""Processor time and memory of a training, shown on MLflow's tab of system metrics."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass, field

# Linux counts memory in kilobytes, macOS in bytes.
_BYTES_PER_UNIT = 1 if sys.platform == "darwin" else 1024
_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def _processor_seconds() -> float:
    usages = [resource.getrusage(who) for who in _WHO]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@dataclass(frozen=True)
class ResourceMeter:
    """What this process and its ended workers use from its creation on.

    MLflow's own monitor samples machine-wide figures in a thread and needs another package; these
    sums cost one system call.
    """

    _begun: float = field(default_factory=time.monotonic)
    _processor: float = field(default_factory=_processor_seconds)

    def metrics(self) -> dict[str, float]:
        """Seconds, seconds of processor, and the largest memory of one process so far (MB)."""
        peak = max(resource.getrusage(who).ru_maxrss for who in _WHO) * _BYTES_PER_UNIT
        return {
            "system/seconds": time.monotonic() - self._begun,
            "system/processor_seconds": _processor_seconds() - self._processor,
            "system/peak_memory_megabytes": peak / 10**6,
        }
