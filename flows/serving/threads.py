"""Threads for work that would keep the server from answering others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flows.serving.answers import Refusal

_WAITING = 64  # requests that wait for a thread; more are refused at once
Answer = TypeVar("Answer")


@dataclass
class Threads:
    """Threads for work that would keep the server from answering others."""

    scoring: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "scoring"))
    reading: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, "reading"))
    waiting: int = 0

    async def run(
        self, pool: ThreadPoolExecutor, work: Callable[..., Answer], *arguments: Any
    ) -> Answer:
        """Result of a call; refused at once where too many wait."""
        if self.waiting >= _WAITING:
            raise Refusal(
                503, "stagecast", f"{_WAITING} requests that wait", "fewer at once", retry_after=1
            )
        self.waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(pool, lambda: work(*arguments))
        finally:
            self.waiting -= 1
