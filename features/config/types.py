"""What every block of a config is made of."""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# Strict: YAML's `yes` would be one day.
PositiveDays = Annotated[int, Field(ge=1, le=3650, strict=True)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class Strict(BaseModel):
    """Base of every config block: immutable, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


@dataclass(frozen=True)
class Affects:
    """What a change of a config key makes out of date; declared at every key of the config.

    Attributes
    ----------
    features
        What the features step has stored.
    recipe
        How models learn: a model of another recipe is another model.
    """

    features: bool = False
    recipe: bool = False


DATA = Affects(features=True, recipe=True)  # what events mean
STORED = Affects(features=True)  # where the data lie and which are read
LEARNING = Affects(recipe=True)  # what is predicted, and how
USE = Affects()  # what is done with scores, and how things run


_MEMORY_UNITS = {"MB": 10**6, "MIB": 2**20, "GB": 10**9, "GIB": 2**30}
MemorySize = Annotated[str, Field(pattern=r"^[1-9]\d{0,5}(\.\d+)? ?(?i:MB|MiB|GB|GiB)$")]


def memory_bytes(size: str) -> int:
    """Bytes of a size like 4GB or 900 MiB."""
    number, unit = re.fullmatch(r"([\d.]+) ?([A-Za-z]+)", size).groups()  # type: ignore[union-attr]
    return int(float(number) * _MEMORY_UNITS[unit.upper()])


def _plain(value: Any) -> Any:
    """A value of a rule: texts, finite numbers, yes or no, lists and mappings; dates become texts.

    What YAML can say beyond that (bytes, sets, keys that are no texts, infinity) would not be the
    same after it has been written and read again.

    Raises
    ------
    ValueError
        For anything else.
    """
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"keys that are texts, and not {key!r}: write it in quotes")
        return {key: _plain(nested) for key, nested in value.items()}
    if isinstance(value, list):
        return [_plain(nested) for nested in value]
    if isinstance(value, dt.date):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a number that is finite, and not {value}")
    if value is not None and not isinstance(value, str | bool | int | float):
        raise ValueError(f"texts, numbers, true or false, and not {type(value).__name__}")
    return value


PlainMapping = Annotated[dict[str, Any], AfterValidator(_plain)]
