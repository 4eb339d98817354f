"""Every column of the feature frame, with what it means: the catalogue as it is shown."""

from __future__ import annotations

from dataclasses import dataclass

from features.config.config import Config
from features.contracts import ROLES
from features.table.families import catalogue
from features.table.families.feature import FeatureSpec


@dataclass(frozen=True)
class Column:
    """One column of the feature frame.

    Attributes
    ----------
    name
        As in the frame.
    dtype
        float64, bool or text.
    unit
        events, days, money, ratio, share, code or text.
    window_days
        Days that its window spans; None for the whole past, or where it has no window.
    meaning
        A sentence a marketer understands.
    null
        What a missing value means; empty where there is none.
    """

    name: str
    dtype: str
    unit: str
    window_days: int | None
    meaning: str
    null: str


# The rule engine's clocks (`features.table.snapshot_builder.stage_columns`) and what it says of the
# customer.
CLOCKS = (
    ("stage__code", "code", "stage by the rules", ""),
    ("stage__periods_in_stage", "periods", "whole periods in the same stage", ""),
    ("stage__silent_code", "code", "first other stage if nothing happens", ""),
    ("stage__silent_period", "periods", "the period in which that stage comes", ""),
    ("stage__after_purchase_code", "code", "stage after one purchase today", ""),
    ("stage__purchases_needed", "purchases", "purchases, on as many days, to another stage", ""),
    ("stage__days_to_lapse", "days", "days of silence until a silent stage", "never"),
)
FACTS = (
    Column("stage", "text", "text", None, "name of the stage by the rules", ""),
    Column("churn_eligible", "bool", "text", None, "whether churn risk applies", ""),
)


def columns(spec: FeatureSpec) -> list[Column]:
    """All columns of the feature frame but its key, in the order of the frame."""
    windowed = [
        Column(f.name, "float64", f.unit, f.window_days, f.meaning, f.null) for f in catalogue(spec)
    ]
    clocks = [
        Column(name, "float64", unit, None, meaning, null) for name, unit, meaning, null in CLOCKS
    ]
    return [*windowed, *clocks, *FACTS]


def expected_spec(config: Config) -> FeatureSpec:
    """The features of a config before its data were read: roles that it maps or names.

    Once the data are read, roles without events drop out.
    """
    named = {s.event_type for s in config.sources if isinstance(s.event_type, str)}
    by_column = any(not isinstance(s.event_type, str) for s in config.sources)
    types = config.role_types()

    def there(role: str) -> bool:
        return (by_column and role in config.roles) or bool(named & set(types.get(role, ())))

    return FeatureSpec(
        windows=config.windows,
        roles=tuple(role for role in ROLES if there(role)),
        attributes=config.attributes(),
        minor_units=config.minor_units,
        contracts=config.churn.by == "cancel",
    )
