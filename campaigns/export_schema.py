"""Column maps of export targets: one YAML file per target, validated before any export."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from campaigns.rules import is_scored_column
from features.config.customers import CONTACT_KEYS
from features.config.types import Strict
from features.config.validation_messages import problem
from features.config.yaml_loading import parse_yaml
from features.errors import Problems, UserError
from features.sources.contact_normalisation import FORMS

# Fields of campaign and membership that a column map may use.
AUDIENCE_FIELDS = (
    "campaign_id",
    "campaign_title",
    "customer_id",
    "channel",
    "rank",
    "expected_value",
    "change",
    "entered_at",
    "expires_at",
    "offer",
    "offer_name",
    "propensity",
    "send_hour",
    "send_weekday",
    "snapshot_at",
)
# Column prefixes that belong to the receiving tool; no map may use them.
_FORBIDDEN = {
    "klaviyo": ("predicted", "expected date of next order", "churn risk", "$consent"),
    "hubspot": ("lifecyclestage", "lifecycle stage", "hs_"),
}


class MappedColumn(Strict):
    """Column of the exported file.

    Attributes
    ----------
    name
        Header documented by the target.
    source
        Contact key, audience column or scored column; YAML key ``from``.
    form
        Normalisation of the text; YAML key ``as``.
    sha256
        True: the normalised text is hashed.
    constant
        Text of every row, instead of `source`.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    source: str | None = Field(default=None, alias="from")
    form: str = Field(default="text", alias="as")
    sha256: bool = False
    constant: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> MappedColumn:
        if (self.source is None) == (self.constant is None):
            raise ValueError("a column needs either `from` or `constant`")
        if self.form not in FORMS:
            raise ValueError(f"unknown form {self.form!r}; one of: {', '.join(FORMS)}")
        if self.source is not None and not (
            self.source in CONTACT_KEYS
            or self.source in AUDIENCE_FIELDS
            or is_scored_column(self.source)
        ):
            raise ValueError(
                f"unknown column {self.source!r}; a contact key ({', '.join(CONTACT_KEYS)}), "
                f"an audience column ({', '.join(AUDIENCE_FIELDS)}), or a scored column"
            )
        return self

    @property
    def is_contact(self) -> bool:
        """True if the column is a contact key."""
        return self.source in CONTACT_KEYS


class TargetMap(Strict):
    """Column map of one receiving tool.

    Attributes
    ----------
    target
        Folder under ``exports/``.
    format
        ``table``: one database table of all campaigns.
    together
        True: one file for all campaigns instead of one per campaign.
    needs
        Headers; at least one must be filled. Other rows are left out and counted.
    ads
        True: advertising; rows need the consent ``ads``.
    channels
        Exported channels; null: all.
    kinds
        Exported kinds of campaigns.
    removed
        True: removed customers are listed too, so that the tool can remove them.
    lowest
        Fewest rows of a file (advertising tools refuse small lists); fewer rows give no file.
    url
        Database of a ``table`` (SQLAlchemy form); null: a SQLite file among the exports.
    about
        How to use the file in the tool, for the documentation.
    """

    target: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
    title: str
    about: str = ""
    format: Literal["csv", "parquet", "jsonl", "table"] = "csv"
    together: bool = False
    needs: tuple[str, ...] = ()
    ads: bool = False
    channels: tuple[str, ...] | None = None
    kinds: tuple[Literal["promotional", "service", "list"], ...] = (
        "promotional",
        "service",
        "list",
    )
    removed: bool = True
    lowest: Annotated[int, Field(ge=0)] = 0
    url: str | None = None
    columns: Annotated[tuple[MappedColumn, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> TargetMap:
        names = [column.name for column in self.columns]
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise ValueError(f"column {repeated!r} twice")
        missing = next((name for name in self.needs if name not in names), None)
        if missing is not None:
            raise ValueError(f"`needs` names {missing!r}, which is no column")
        reserved_prefixes = _FORBIDDEN.get(self.target, ())
        reserved = next(
            (name for name in names if name.lower().startswith(reserved_prefixes)), None
        )
        if reserved_prefixes and reserved is not None:
            raise ValueError(
                f"column {reserved!r} is {self.title}'s own and must not be overwritten"
            )
        return self

    @property
    def contacts(self) -> list[str]:
        """Contact keys among the columns."""
        return [str(column.source) for column in self.columns if column.is_contact]


def load_target(path: Path) -> TargetMap:
    """Load the column map of a YAML file.

    Raises
    ------
    UserError
        With the file, the key, the value and the allowed values.
    """
    content = parse_yaml(path)
    try:
        return TargetMap.model_validate(content)
    except ValidationError as error:
        raise problem(error, path, content, TargetMap) from error


def load_targets(paths: Iterable[Path], problems: Problems | None = None) -> list[TargetMap]:
    """Column maps by target name.

    With `problems`, errors are collected there and the files skipped; without, they are raised.

    Raises
    ------
    UserError
        As `load_target`, and if two files describe one target.
    """
    targets: dict[str, TargetMap] = {}
    collector = problems if problems is not None else Problems()
    for path in paths:
        with collector.collect():
            target = load_target(path)
            if target.target in targets:
                raise UserError(
                    f"{path}: target",
                    found=f"{target.target!r} twice",
                    expected="one file per target",
                )
            targets[target.target] = target
    if problems is None:
        collector.refuse()
    return [targets[name] for name in sorted(targets)]
