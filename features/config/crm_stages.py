"""Config block of the CRM's stage history: where it lies, and what its names mean."""

from __future__ import annotations

from pydantic import Field, model_validator

from features.config.sources import ColumnRef, Columns, CsvFormat, EventSource, Location, TimeColumn
from features.config.types import Strict


class StageColumns(Strict):
    """Which column of the table fills which column of a stage record."""

    customer_id: str
    occurred_at: TimeColumn
    stage: str
    known_at: TimeColumn | None = None


class StageHistory(Strict):
    """The CRM's stage records: a table, and the taxonomy's stages for the names in it.

    `stages` maps recorded names to stages of the taxonomy; a name that is a stage needs no entry.
    `ignored` lists names that stand for no stage: while such a record is in force the customer is
    unstaged.
    """

    table: Location
    columns: StageColumns
    stages: dict[str, str] = Field(default={})
    ignored: tuple[str, ...] = ()
    csv: CsvFormat = CsvFormat()

    @model_validator(mode="after")
    def _one_meaning(self) -> StageHistory:
        ambiguous = sorted(set(self.stages) & set(self.ignored))
        if ambiguous:
            raise ValueError(
                f"each name under `stages` or `ignored`, and {ambiguous[0]!r} is under both"
            )
        return self

    def source(self) -> EventSource:
        """The table as a source of events, whose type is the recorded name."""
        columns = Columns(
            customer_id=self.columns.customer_id,
            occurred_at=self.columns.occurred_at,
            known_at=self.columns.known_at,
        )
        stage_column = ColumnRef(column=self.columns.stage)
        return EventSource(
            events=self.table, columns=columns, event_type=stage_column, csv=self.csv
        )
