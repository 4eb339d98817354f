"""What every block of a config is made of."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# Strict: YAML's `yes` would be one day.
PositiveDays = Annotated[int, Field(ge=1, le=3650, strict=True)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class Strict(BaseModel):
    """Base of every config block: immutable, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


MEMORY_UNITS = {"MB": 10**6, "MIB": 2**20, "GB": 10**9, "GIB": 2**30}
MemorySize = Annotated[str, Field(pattern=r"^[1-9]\d{0,5}(\.\d+)? ?(?i:MB|MiB|GB|GiB)$")]


def memory_bytes(size: str) -> int:
    """Bytes of a size like 4GB or 900 MiB."""
    number, unit = re.fullmatch(r"([\d.]+) ?([A-Za-z]+)", size).groups()  # type: ignore[union-attr]
    return int(float(number) * MEMORY_UNITS[unit.upper()])
