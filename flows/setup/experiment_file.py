"""Read an experiment from elsewhere: any table with an arm and an outcome for each person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from campaigns.experiment_effects import ExperimentPeople, unbalanced_columns
from features.errors import Problems, UserError
from features.sources.keys import fold_key, key_values
from flows.setup.experiment_cells import ExperimentTable
from flows.setup.people_table import MOST_GROUPS, numeric_columns, plain_name, read_people_table

ARM, OUTCOME, WAVE, CONTROL_SHARE, PERSON, CURRENCY = (
    "arm", "outcome", "entered_at", "control_share", "customer_id", "currency",
)  # fmt: skip
_OUTCOMES = "0 or 1, yes or no, or an amount of money"


@dataclass(frozen=True)
class ExperimentFile:
    """What was read, and what a reader of the results should know.

    Attributes
    ----------
    people
        The people.
    control
        Control arm, as written in the file.
    covariates
        Columns whose influence on the outcome is taken out.
    other_columns
        Columns that could be named as covariates.
    warnings
        What is unusual about the file, in sentences.
    """

    people: ExperimentPeople
    control: str
    covariates: tuple[str, ...]
    other_columns: tuple[str, ...]
    warnings: tuple[str, ...]


def read_experiment(
    file: Path,
    *,
    control: str,
    covariates: Sequence[str] = (),
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
        Columns known before the draw: numbers, or at most 20 different texts.
    per
        Column that the outcome is divided by.

    Raises
    ------
    UserError
        All problems together: the file cannot be read, a column is missing, a cell is no number,
        an outcome is missing, a person stands there twice, or there is no control arm.
    """
    table = read_people_table(file)
    missing = [name for name in (ARM, OUTCOME) if name not in table.rows]
    if missing:
        raise UserError(
            table.name,
            found=f"no column {' and none '.join(missing)}, but "
            f"{', '.join(map(str, table.rows.columns[:12]))}",
            expected="the columns arm and outcome",
            hint="rename the columns of the file",
        )
    warnings = []
    arms = _arms(table.rows[ARM])
    without_arm = int(arms.isna().sum())
    if without_arm:
        warnings.append(f"{without_arm:,} rows without an arm are left out")
    table, arms = table.where(arms.notna()), arms[arms.notna()]
    return _checked(table, arms, control, covariates, per, warnings)


def _checked(
    table: ExperimentTable,
    arms: pd.Series[Any],
    control: str,
    covariates: Sequence[str],
    per: str | None,
    warnings: list[str],
) -> ExperimentFile:
    """Read every column, and refuse all problems in one answer."""
    problems = Problems()
    empty = pd.Series(0.0, index=table.rows.index)
    outcome, shares, waves, denominator = empty, empty, empty.map(lambda _: ""), None
    control_arm, known = control, pd.DataFrame(index=table.rows.index)
    with problems.collect():
        control_arm = _control_arm(arms, control, table)
    with problems.collect():
        _refuse_people_twice(table)
    with problems.collect():
        _refuse_currencies(table)
    with problems.collect():
        outcome = table.numbers(OUTCOME, _OUTCOMES, hint="write 0 for people who did nothing")
    if WAVE in table.rows:
        with problems.collect():
            waves = table.days(WAVE)
    if CONTROL_SHARE in table.rows:
        with problems.collect():
            shares = table.shares(CONTROL_SHARE)
    if per is not None:
        with problems.collect():
            denominator = _denominator(table, plain_name(per))
    with problems.collect():
        known = _covariates(table, [plain_name(name) for name in covariates], per, warnings)
    problems.refuse()
    if not outcome.any():
        warnings.append("every outcome is 0")
    if known.shape[1] and denominator is None and outcome.isin([0, 1]).all():
        warnings.append("the outcome is 0 or 1: covariates are not used")
        known = known.iloc[:, :0]
    for name in dict.fromkeys(name.split("=")[0] for name in unbalanced_columns(known, arms)):
        warnings.append(
            f"column {name} differs between the arms by more than chance: if the message can have "
            "changed it, do not name it as a covariate, because the effect is then understated"
        )
    people = ExperimentPeople(arms, outcome, waves, shares, known, denominator)
    used = tuple(dict.fromkeys(str(name).split("=")[0] for name in known))
    fixed = _fixed_columns(per)
    others = [name for name in table.rows if name not in {*fixed, *used}]
    usable = [name for name in others if _can_be_covariate(table, name)]
    return ExperimentFile(people, control_arm, used, tuple(usable), tuple(warnings))


def _arms(column: pd.Series[Any]) -> pd.Series[Any]:
    """Arms without spaces around; spellings that differ in case only become the most frequent."""
    arms = key_values(column)
    folded = arms.map(fold_key, na_action="ignore")
    spelling = arms.groupby(folded).agg(lambda spellings: spellings.value_counts().index[0])
    return folded.map(spelling)


def _control_arm(arms: pd.Series[Any], control: str, table: ExperimentTable) -> str:
    names = sorted(arms.unique())
    matching = [name for name in names if fold_key(name) == fold_key(control.strip())]
    if len(names) < 2 or not matching:
        listed = ", ".join(names[:10]) or "none"
        raise table.refusal(
            ARM, f"the arms {listed}", f"the control arm {control!r} and at least one other arm",
            hint=f"name the control arm with --control, one of: {listed}" if names else "",
        )  # fmt: skip
    return str(matching[0])


def _refuse_people_twice(table: ExperimentTable) -> None:
    if PERSON not in table.rows:
        return
    keys = key_values(table.rows[PERSON])
    twice = keys[keys.notna() & keys.duplicated()]
    if len(twice):
        raise table.refusal(
            PERSON, f"{twice.nunique():,} people in more than one row, such as {twice.iloc[0]}",
            "one row per person: who counts twice makes the interval too narrow",
            twice.index[0], "add up each person's outcome first",
        )  # fmt: skip


def _refuse_currencies(table: ExperimentTable) -> None:
    if CURRENCY not in table.rows:
        return
    codes = table.rows[CURRENCY].dropna().astype(str).str.strip().str.upper()
    if (count := codes[codes != ""].nunique()) > 1:
        raise table.refusal(
            CURRENCY, f"{count} currencies: {', '.join(sorted(set(codes)))}",
            "amounts in one currency",
            hint="convert them first: amounts of different currencies cannot be compared",
        )  # fmt: skip


def _require_column(table: ExperimentTable, column: str, option: str) -> None:
    if column not in table.rows:
        raise UserError(
            f"{option} {column}", found="no such column", expected="a column of the file",
            hint=f"columns of {table.name}: {', '.join(map(str, table.rows.columns[:20]))}",
        )  # fmt: skip


def _fixed_columns(per: str | None) -> dict[str, str]:
    """Columns that cannot be covariates, and what they are."""
    fixed = {
        ARM: "the arm", OUTCOME: "the outcome", WAVE: "the day of the draw, which counts anyway",
        CONTROL_SHARE: "the planned share, which counts anyway", PERSON: "the person",
    }  # fmt: skip
    return fixed if per is None else {**fixed, plain_name(per): "what the outcome is divided by"}


def _denominator(table: ExperimentTable, column: str) -> pd.Series[float]:
    """What the outcome is divided by."""
    _require_column(table, column, "--per")
    if column in _fixed_columns(None):
        raise UserError(
            f"--per {column}", found=_fixed_columns(None)[column],
            expected="another column, such as orders",
        )  # fmt: skip
    expected = "a number not below zero"
    numbers = table.numbers(column, expected, hint="write 0 for people without any")
    return table.require(column, numbers, lambda number: number >= 0, expected)


def _covariates(
    table: ExperimentTable, names: Sequence[str], per: str | None, warnings: list[str]
) -> pd.DataFrame:
    """Covariates as numbers.

    Raises
    ------
    UserError
        All names together that are no column, or none that can be a covariate.
    """
    problems, parts = Problems(), []
    for name in dict.fromkeys(names):
        with problems.collect():
            _require_column(table, name, "--covariate")
            if name in (fixed := _fixed_columns(per)):
                raise UserError(
                    f"--covariate {name}", found=fixed[name],
                    expected="a column that was known before the draw",
                )  # fmt: skip
            columns = numeric_columns(table, name)
            if columns is None:
                raise UserError(
                    f"--covariate {name}", found="other texts",
                    expected=f"numbers, or at most {MOST_GROUPS} different texts",
                )  # fmt: skip
            varies = columns.nunique(dropna=False) > 1
            if not varies.any():
                warnings.append(f"column {name} is the same for everybody: it is not used")
            parts.append(columns.loc[:, varies])
    problems.refuse()
    return pd.concat([pd.DataFrame(index=table.rows.index), *parts], axis=1)


def _can_be_covariate(table: ExperimentTable, name: str) -> bool:
    try:
        return numeric_columns(table, name) is not None
    except UserError:
        return False
