"""Read an experiment from elsewhere: any table with an arm and an outcome for each person."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from campaigns.experiment_effects import ExperimentPeople, unbalanced_columns
from features.config.sources import CsvFormat
from features.errors import UserError
from features.sources.events import connect, engine_errors, open_table
from features.sources.keys import fold_key, key_values
from features.sources.number_text import decimal_sign, number_value
from flows.setup.table_profiling import sniff_format

ARM, OUTCOME, WAVE, CONTROL_SHARE, PERSON = (
    "arm", "outcome", "entered_at", "control_share", "customer_id",
)  # fmt: skip
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_MOST_GROUPS = 20  # values of a text column that may be a covariate


@dataclass(frozen=True)
class ExperimentFile:
    """What was read, and what was left aside.

    Attributes
    ----------
    people
        The people.
    control
        Control arm, as written in the file.
    used, ignored
        Columns used as covariates; other columns with the reason.
    without_arm
        Rows without an arm: people who were not drawn.
    """

    people: ExperimentPeople
    control: str
    used: tuple[str, ...]
    ignored: dict[str, str]
    without_arm: int


@dataclass(frozen=True)
class _Form:
    """How the file is written; what `open_table` asks for."""

    csv: CsvFormat


def read_experiment(
    file: Path,
    *,
    control: str,
    covariates: Sequence[str] | None = None,
    per: str | None = None,
) -> ExperimentFile:
    """Read the people of an experiment from a CSV, parquet, JSON lines or spreadsheet file.

    Columns, without regard to case, spaces and dashes in names: ``arm``, ``outcome`` (0 or 1, yes
    or no, or money), perhaps ``entered_at`` (day of the draw), ``control_share`` (planned, against
    each other arm) and ``customer_id``.

    Parameters
    ----------
    file
        One row per person.
    control
        Control arm.
    covariates
        Columns known before the draw; None: every other column of numbers or of few different
        texts, unless it differs between the arms.
    per
        Column that the outcome is divided by.

    Raises
    ------
    UserError
        If the file cannot be read, a column is missing, a cell is no number, an outcome is
        missing, a person stands there twice, or there is no control arm.
    """
    table = _read_table(file)
    missing = [name for name in (ARM, OUTCOME) if name not in table]
    if missing:
        raise UserError(
            str(file),
            found=f"no column {missing[0]}, but {', '.join(map(str, table.columns[:12]))}",
            expected="the columns arm and outcome",
            hint="rename the columns of the file",
        )
    arm = _arms(table[ARM])
    drawn = arm.notna()
    without_arm = int((~drawn).sum())
    table, arm = table[drawn].reset_index(drop=True), arm[drawn].reset_index(drop=True)
    control_arm = _control_arm(arm, control, file)
    _refuse_people_twice(table, file)
    outcome = _numbers(table, OUTCOME, file, "0 or 1, or an amount of money")
    denominator = None
    if per is not None:
        _require_column(table, per := _plain(per), "--per", file)
        denominator = _numbers(table, per, file, "a number not below zero")
        if (denominator < 0).any():
            raise UserError(f"{file}: {per}", found="negative numbers", expected="none below zero")
    known, ignored = _covariates(table, covariates, per, arm, file)
    shares = pd.Series(0.0, index=table.index)
    if CONTROL_SHARE in table:
        shares = _numbers(table, CONTROL_SHARE, file, "a share between 0 and 1")
        if not ((shares > 0) & (shares < 1)).all():
            raise UserError(
                f"{file}: {CONTROL_SHARE}",
                found=f"{shares[(shares <= 0) | (shares >= 1)].iloc[0]:g}",
                expected="a share between 0 and 1: .2 for one in five",
            )
    people = ExperimentPeople(arm, outcome, _waves(table, file), shares, known, denominator)
    used = dict.fromkeys(str(name).split("=")[0] for name in known)
    return ExperimentFile(people, control_arm, tuple(used), ignored, without_arm)


def _read_table(file: Path) -> pd.DataFrame:
    """All columns as text or numbers, under plain names."""
    form = _Form(sniff_format(str(file)))
    with engine_errors(str(file)):
        table: pd.DataFrame = open_table(connect(), str(file), form).to_pyarrow().to_pandas()
    names = [_plain(str(name)) for name in table.columns]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(
            str(file),
            found=f"two columns {twice[0]}",
            expected="different names",
            hint="case, spaces and dashes do not tell names apart",
        )
    return table.set_axis(names, axis=1)


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().strip("\ufeff").casefold())


def _arms(column: pd.Series[Any]) -> pd.Series[Any]:
    """Arms without spaces around; spellings that differ in case only become the most frequent."""
    arms = key_values(column)
    folded = arms.map(fold_key, na_action="ignore")
    spelling = arms.groupby(folded).agg(lambda each: each.value_counts().index[0])
    return folded.map(spelling)


def _control_arm(arm: pd.Series[Any], control: str, file: Path) -> str:
    names = sorted(arm.unique())
    matching = [name for name in names if fold_key(name) == fold_key(control.strip())]
    if len(names) < 2 or not matching:
        raise UserError(
            f"{file}: {ARM}",
            found=", ".join(names[:10]) or "no arm",
            expected=f"the control arm {control!r} and at least one other arm",
            hint="name the control arm with --control",
        )
    return str(matching[0])


def _refuse_people_twice(table: pd.DataFrame, file: Path) -> None:
    if PERSON not in table:
        return
    keys = key_values(table[PERSON])
    twice = keys[keys.notna() & keys.duplicated()]
    if len(twice):
        raise UserError(
            f"{file}: {PERSON}",
            found=f"{twice.nunique():,} people in more than one row, such as {twice.iloc[0]}",
            expected="one row per person: who counts twice makes the interval too narrow",
            hint="add up each person's outcome first",
        )


def _require_column(table: pd.DataFrame, name: str, option: str, file: Path) -> None:
    if name not in table:
        raise UserError(
            f"{option} {name}", found="no such column", expected=", ".join(table.columns[:20]),
            hint=f"columns of {file.name}",
        )  # fmt: skip


def _numbers(table: pd.DataFrame, name: str, file: Path, expected: str) -> pd.Series[float]:
    """Numbers of a column, all of them known."""
    numbers, unread = _as_numbers(table[name])
    if unread is not None:
        raise UserError(f"{file}: {name}", found=f"text: {unread!r}", expected=expected)
    if numbers.isna().any():
        raise UserError(
            f"{file}: {name}",
            found=f"{int(numbers.isna().sum()):,} empty cells",
            expected=f"{expected}, for every person",
            hint="write 0 for people who did nothing: without them the arms cannot be compared",
        )
    return numbers


def _as_numbers(column: pd.Series[Any]) -> tuple[pd.Series[float], str | None]:
    """Numbers (null: empty), and the first text that is none."""
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
        numbers = column.astype("Float64").astype(float)
        return numbers.where(np.isfinite(numbers)), None
    texts = column.map(lambda cell: None if cell is None or cell != cell else str(cell).strip())
    filled = texts[texts.notna() & (texts != "")]
    sign = decimal_sign(filled) or "."
    values = {text: _WORDS.get(text.casefold(), number_value(text, sign)) for text in set(filled)}
    unread = [text for text in filled if values[text] is None]
    numbers = texts.map(values).astype(float)
    return numbers, unread[0] if unread else None


def _covariates(
    table: pd.DataFrame,
    asked: Sequence[str] | None,
    per: str | None,
    arm: pd.Series[Any],
    file: Path,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Covariates as numbers, and the columns that are none with the reason."""
    fixed = {ARM, OUTCOME, WAVE, CONTROL_SHARE, PERSON, per}
    candidates = [name for name in table if name not in fixed]
    if asked is not None:
        candidates = [_plain(name) for name in asked]
        for name in candidates:
            _require_column(table, name, "--covariate", file)
    ignored: dict[str, str] = {}
    parts = []
    for name in candidates:
        numbers, unread = _as_numbers(table[name])
        if unread is None and numbers.notna().any():
            columns = numbers.to_frame(name)
        elif 2 <= table[name].nunique() <= _MOST_GROUPS:
            columns = pd.get_dummies(table[name].astype(str), prefix=name, prefix_sep="=")
            columns = columns.astype(float)
        else:
            ignored[name] = "neither numbers nor a few groups"
            continue
        if asked is None and unbalanced_columns(columns, arm):
            ignored[name] = "differs between the arms: probably measured after the draw"
        else:
            parts.append(columns)
    empty = pd.DataFrame(index=table.index)
    return (pd.concat(parts, axis=1) if parts else empty), ignored


def _waves(table: pd.DataFrame, file: Path) -> pd.Series[str]:
    """Day of entry as text; empty without the column."""
    if WAVE not in table:
        return pd.Series("", index=table.index)
    days = pd.to_datetime(table[WAVE], errors="coerce", format="ISO8601", utc=True)
    if days.isna().any():
        raise UserError(
            f"{file}: {WAVE}",
            found=f"{table[WAVE][days.isna()].iloc[0]!r}",
            expected="dates that begin with the year, in every row",
        )
    return days.dt.strftime("%Y-%m-%d")
