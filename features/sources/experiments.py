"""Single-send experiments declared in YAML: people, treatment and outcome."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError, model_validator

from features.config.sources import CsvFormat, Location, TimeColumn
from features.config.types import Strict
from features.config.validation_messages import problem
from features.config.yaml_loading import find, parse_yaml
from features.errors import UserError
from features.sources.typed_rows import TypedTable


class ExperimentFile(Strict):
    """The declaration of an experiment.

    Attributes
    ----------
    name
        Name of the stored uplift; playbooks refer to it under ``value.uplift``.
    table
        File (csv, parquet, json lines, or a glob of them) or database table; one row per person
        and send.
    treatment, outcome
        Columns: received the message (0/1), and the outcome (0/1, orders, money).
    covariates
        Columns known before the send; other columns are ignored. The scorer uses the features of
        the day of the send instead.
    sent_at
        Column of the day of the send; required if the config lists the experiment.
    campaigns
        Playbooks whose effect the scorer predicts; default: the one with the experiment's name.
    customer_id
        Column of the person; without it every row counts as another person.
    propensity
        Probability of treatment: a number or a column; default: the share treated.
    compare
        Name -> column of other rankings to measure on the same people (highest first), such as
        churn risk.
    where
        Column -> value; selects these rows.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    table: Location
    treatment: str
    outcome: str
    covariates: tuple[str, ...] = ()
    customer_id: str | None = None
    sent_at: TimeColumn | None = None
    campaigns: tuple[str, ...] = ()
    propensity: Annotated[float, Field(gt=0, lt=1)] | str | None = None
    compare: dict[str, str] = Field(default={})
    where: dict[str, str | int] = Field(default={})
    csv: CsvFormat = CsvFormat()
    seed: int = 20240501

    @model_validator(mode="after")
    def _nothing_from_afterwards(self) -> ExperimentFile:
        later_columns = {self.treatment, self.outcome} & set(self.covariates)
        if later_columns:
            raise ValueError(
                f"{min(later_columns)!r} cannot be a covariate: it was not known before"
            )
        return self


@dataclass(frozen=True)
class ExperimentTable:
    """Checked rows of an experiment; every array has one entry per row.

    Attributes
    ----------
    spec
        The declaration.
    covariates
        Numbers as float64, texts as they are.
    treatment, outcome, propensity
        0 or 1; a number; between 0 and 1.
    people
        Integer code of the person.
    customers, sent_on
        Customer id and local day number of the send; None if no column is declared.
    rankings
        Other rankings to compare, by name.
    """

    spec: ExperimentFile
    covariates: pd.DataFrame
    treatment: np.ndarray[tuple[int], np.dtype[np.float64]]
    outcome: np.ndarray[tuple[int], np.dtype[np.float64]]
    propensity: np.ndarray[tuple[int], np.dtype[np.float64]]
    people: np.ndarray[tuple[int], np.dtype[np.int64]]
    rankings: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]
    customers: np.ndarray[tuple[int], np.dtype[np.object_]] | None = None
    sent_on: np.ndarray[tuple[int], np.dtype[np.int64]] | None = None


def load_experiment(path: str, *, timezone: str = "UTC") -> ExperimentTable:
    """Load the experiment of a YAML file with its rows; days follow the time zone.

    Raises
    ------
    UserError
        For unknown keys or columns, treatment that is not yes or no, an outcome that is no number,
        or an empty arm.
    """
    yaml_path = find(path)
    content = parse_yaml(yaml_path)
    try:
        declaration = ExperimentFile.model_validate(content)
    except ValidationError as error:
        raise problem(error, yaml_path, content, ExperimentFile) from error
    if isinstance(declaration.table, str) and not Path(declaration.table).is_absolute():
        declaration = declaration.model_copy(
            update={"table": str(yaml_path.parent / declaration.table)}
        )
    return _read(declaration, timezone)


def _read(spec: ExperimentFile, timezone: str) -> ExperimentTable:
    columns = [spec.treatment, spec.outcome, *spec.covariates, *spec.compare.values(), *spec.where]
    columns += [spec.propensity] if isinstance(spec.propensity, str) else []
    key_columns = [spec.customer_id] if spec.customer_id is not None else []
    time_columns = [spec.sent_at] if spec.sent_at is not None else []
    source = TypedTable(f"experiment {spec.name}", spec.table, spec.csv, timezone)
    rows, wall_clocks = source.rows([], time_columns, keys=key_columns, plain=columns)
    for column, wanted_value in spec.where.items():
        rows = rows[rows[column].astype(str) == str(wanted_value)]
    sent_on = (
        None if spec.sent_at is None else _days(wall_clocks[spec.sent_at.column][rows.index], spec)
    )
    rows = rows.reset_index(drop=True)
    treatment = _number(rows, spec.treatment)
    if set(treatment.tolist()) != {0.0, 1.0}:
        raise UserError(
            f"experiment {spec.name}: treatment",
            found=f"{len(rows)} rows with values {sorted(set(treatment.tolist()))[:5]}",
            expected="0 and 1, both of them: somebody must have got the message, and somebody not",
        )
    treated_share = float(treatment.mean())
    if isinstance(spec.propensity, str):
        propensity = _number(rows, spec.propensity)
    else:
        propensity = np.full(
            len(rows), treated_share if spec.propensity is None else spec.propensity
        )
    if not ((propensity > 0) & (propensity < 1)).all():
        raise UserError(
            f"experiment {spec.name}: propensity",
            found="a chance of 0 or 1",
            expected="chances between 0 and 1: where one arm is impossible nothing can be compared",
        )
    people = np.arange(len(rows))
    if spec.customer_id is not None:
        person_codes, distinct_ids = pd.factorize(rows[spec.customer_id])
        # Every row without an id counts as another person.
        people = np.where(person_codes < 0, len(distinct_ids) + people, person_codes)
    return ExperimentTable(
        spec=spec,
        covariates=pd.DataFrame(
            {covariate: _covariate(rows[covariate]) for covariate in spec.covariates}
        ),
        treatment=treatment,
        outcome=_number(rows, spec.outcome),
        propensity=propensity,
        people=np.asarray(people, dtype=np.int64),
        rankings={covariate: _ranking(rows, column) for covariate, column in spec.compare.items()},
        customers=None if spec.customer_id is None else _texts(rows[spec.customer_id]),
        sent_on=sent_on,
    )


def _texts(column: pd.Series[object]) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    return np.asarray(column.astype(str).to_numpy(dtype=object))


def _days(
    wall_clocks: pd.Series[object], spec: ExperimentFile
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if wall_clocks.isna().any():
        raise UserError(
            f"experiment {spec.name}: sent_at",
            found=f"{int(wall_clocks.isna().sum())} rows without a day",
            expected="the day of the send in every row",
        )
    return np.asarray(wall_clocks.to_numpy().astype("datetime64[D]").astype(np.int64))


def _number(rows: pd.DataFrame, column: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    numbers = pd.to_numeric(rows[column], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    if np.isnan(numbers).any():
        raise UserError(
            column,
            found=f"{int(np.isnan(numbers).sum())} values that are no numbers",
            expected="a number in every row",
        )
    return np.asarray(numbers)


def _ranking(rows: pd.DataFrame, column: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the numbers to rank by; NaN ranks last."""
    numbers = pd.to_numeric(rows[column], errors="coerce")
    return np.asarray(numbers.to_numpy(dtype=float, na_value=np.nan))


def _covariate(column: pd.Series[object]) -> pd.Series[object]:
    """Return numbers if every filled value is one, else the column as objects."""
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers if numbers.notna().sum() == column.notna().sum() else column.astype(object)
