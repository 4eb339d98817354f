"""Read a log of decisions from elsewhere, and the policies to compare on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from campaigns.policy.decision_log import (
    DecisionLog,
    Policy,
    chosen_policy,
    constant_policy,
    group_policy,
    uniform_policy,
)
from features.arrays import Array
from features.errors import Problems, UserError
from features.sources.keys import fold_key, key_values
from flows.setup.experiment_cells import ExperimentTable
from flows.setup.people_table import numeric_columns, plain_name, read_people_table

# Names under which tools write these columns, where the file has no column of the name asked for.
_OTHER_NAMES = {
    "offer": ("action", "arm", "treatment", "variant", "message", "item_id"),
    "propensity": ("propensity_score", "pscore", "action_prob", "action_probability",
                   "probability"),
    "reward": ("outcome", "response", "click", "conversion", "margin", "revenue"),
}  # fmt: skip
_MOST_GROUPS = 1000  # groups between which policies may differ
_POLICIES = "uniform, always:OFFER, column:NAME or log:FILE"


@dataclass(frozen=True)
class LogColumns:
    """Columns of a log, as named by the user.

    Attributes
    ----------
    offer, propensity, reward
        What was done, how likely that was, and what came of it.
    by
        Columns between the values of which policies may differ.
    covariates
        Columns that help to predict the reward.
    person
        Column of the person; None if every decision is of another one.
    """

    offer: str = "offer"
    propensity: str = "propensity"
    reward: str = "reward"
    by: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    person: str | None = None


_ALL_PROPENSITIES = "propensities"  # what `stagecast measure --decisions` writes of all offers


@dataclass(frozen=True)
class DecisionFile:
    """A log that was read, with the policies asked for."""

    log: DecisionLog
    policies: tuple[Policy, ...]


def read_decisions(file: Path, columns: LogColumns, policies: Sequence[str]) -> DecisionFile:
    """Read a log of decisions from a CSV, parquet, JSON lines or spreadsheet file.

    Parameters
    ----------
    file
        One row per decision.
    columns
        What its columns mean.
    policies
        Each ``uniform``, ``always:OFFER``, ``column:NAME`` (the column holds the offer that the
        policy takes) or ``log:FILE`` (offers as often as in another log, in each group).

    Raises
    ------
    UserError
        All problems of the file together, or a policy that cannot be read.
    """
    table = read_people_table(file)
    if table.rows.empty:
        raise UserError(
            table.name, found="no decisions", expected="one row per decision",
            hint="`stagecast measure --decisions FILE` writes those of campaigns whose measurement "
            "period is over",
        )  # fmt: skip
    problems = Problems()
    offer_cells, group_cells = pd.Series(dtype=object), pd.Series(dtype=object)
    propensity = reward = pd.Series(dtype=float)
    context = pd.DataFrame(index=table.rows.index)
    person = np.arange(len(table.rows))
    with problems.collect():
        offer_cells = _offers(table, columns.offer)
    with problems.collect():
        propensity = _propensities(table, columns.propensity)
    with problems.collect():
        reward = table.numbers(
            _column(table, columns.reward, "reward"), "a number", hint="write 0 for no reward"
        )
    with problems.collect():
        group_cells = _groups(table, columns.by)
    with problems.collect():
        context = _context(table, columns.covariates)
    if columns.person is not None:
        with problems.collect():
            cells = table.rows[_column(table, columns.person, "--person")]
            person = pd.factorize(key_values(cells).fillna(""))[0]
    problems.refuse()
    others = {text: _other_log(text, columns) for text in policies if text.startswith("log:")}
    names = {*offer_cells.unique(), *(name for shares in others.values() for name in shares)}
    offers, groups = tuple(sorted(names)), tuple(sorted(group_cells.unique()))
    if offer_cells.nunique() < 2:
        raise table.refusal(
            columns.offer, f"the offer {offers[0]} alone", "at least two offers",
            hint="a log of one offer cannot tell what another would have earned",
        )  # fmt: skip
    log = DecisionLog(
        offers=offers,
        offer=_positions(offer_cells, offers),
        propensity=propensity.to_numpy(dtype=float),
        reward=reward.to_numpy(dtype=float),
        groups=groups,
        group=_positions(group_cells, groups),
        context=context.to_numpy(dtype=float),
        person=person,
        could_be=_could_be(table, offers),
    )
    chosen = [_policy(text, log, table, others) for text in dict.fromkeys(policies)]
    return DecisionFile(log, tuple(chosen))


def _column(table: ExperimentTable, name: str, meaning: str) -> str:
    """Plain name of a column, or of the only one under another usual name.

    Raises
    ------
    UserError
        If there is none, or more than one.
    """
    plain = plain_name(name)
    if plain in table.rows:
        return plain
    usual = [other for other in _OTHER_NAMES.get(plain, ()) if other in table.rows]
    if len(usual) == 1:
        return usual[0]
    option = meaning if meaning.startswith("--") else f"--{meaning}"
    present = f"columns {' and '.join(usual)}" if usual else "no such column"
    raise UserError(
        f"{table.name}: column {name}", found=present, expected=f"the column of the {meaning}",
        hint=f"name it with {option} COLUMN, of: {', '.join(map(str, table.rows.columns[:12]))}",
    )  # fmt: skip


def _offers(table: ExperimentTable, name: str) -> pd.Series[Any]:
    """Offer of every decision; spellings that differ in case only become the most frequent."""
    column = _column(table, name, "offer")
    keys = key_values(table.rows[column])
    if (empty := keys.isna()).any():
        raise table.refusal(
            column, "an empty cell", "an offer in every row", empty.idxmax(),
            "write a name, such as nothing, for people who got no offer",
        )  # fmt: skip
    folded = keys.map(fold_key)
    return folded.map(keys.groupby(folded).agg(lambda same: same.value_counts().index[0]))


def _could_be(table: ExperimentTable, offers: Sequence[str]) -> Array | None:
    """Which offers could be drawn, by the JSON of a column `propensities`; None without one.

    Raises
    ------
    UserError
        For a cell that is no object of offers and probabilities.
    """
    if _ALL_PROPENSITIES not in table.rows:
        return None
    could_be = np.ones((len(table.rows), len(offers)), dtype=bool)
    for place, (row, cell) in enumerate(table.rows[_ALL_PROPENSITIES].items()):
        if pd.isna(cell) or not str(cell).strip():
            continue  # not said: all could
        try:
            drawn = {fold_key(str(name)) for name, chance in json.loads(cell).items() if chance > 0}
        except (ValueError, TypeError, AttributeError):
            raise table.refusal(
                _ALL_PROPENSITIES, "a cell that cannot be read",
                'offers and probabilities such as {"code": 0.3, "nothing": 0.7}', row,
                "write them so, or leave the column out",
            ) from None  # fmt: skip
        could_be[place] = [fold_key(offer) in drawn for offer in offers]
    return could_be


def _propensities(table: ExperimentTable, name: str) -> pd.Series[float]:
    hint = "write how likely this offer was when it was drawn"
    return table.shares(_column(table, name, "propensity"), hint, with_one=True)


def _groups(table: ExperimentTable, names: Sequence[str]) -> pd.Series[Any]:
    """Values of the columns of ``--by``, joined."""
    if not names:
        return pd.Series("all", index=table.rows.index)
    parts = [
        f"{name} " + key_values(table.rows[_column(table, name, "--by")]).fillna("unknown")
        for name in names
    ]
    joined = parts[0].str.cat(parts[1:], sep=", ") if len(parts) > 1 else parts[0]
    if (count := joined.nunique()) > _MOST_GROUPS:
        raise UserError(
            f"--by {', '.join(names)}", found=f"{count:,} groups",
            expected=f"at most {_MOST_GROUPS:,}", hint="leave out columns with many values",
        )  # fmt: skip
    return joined


def _context(table: ExperimentTable, names: Sequence[str]) -> pd.DataFrame:
    parts = []
    for name in dict.fromkeys(names):
        columns = numeric_columns(table, _column(table, name, "--covariate"))
        if columns is None:
            raise UserError(
                f"--covariate {name}", found="other texts", expected="numbers, or few texts"
            )
        parts.append(columns.fillna(columns.mean()).fillna(0.0))
    return pd.concat([pd.DataFrame(index=table.rows.index), *parts], axis=1)


def _other_log(text: str, columns: LogColumns) -> dict[str, dict[str, float]]:
    """Share of each offer by group in the log of another policy (offer -> group -> share)."""
    table = read_people_table(Path(text.removeprefix("log:")))
    problems = Problems()
    offers, groups = pd.Series(dtype=object), pd.Series(dtype=object)
    with problems.collect():
        offers = _offers(table, columns.offer)
    with problems.collect():
        groups = _groups(table, columns.by)
    problems.refuse()
    shares = pd.crosstab(groups, offers, normalize="index")
    return {str(offer): {str(g): float(s) for g, s in shares[offer].items()} for offer in shares}


def _policy(
    text: str,
    log: DecisionLog,
    table: ExperimentTable,
    others: dict[str, dict[str, dict[str, float]]],
) -> Policy:
    kind, _, name = text.partition(":")
    if text in others:
        return _group_policy(f"log:{Path(text.removeprefix('log:')).name}", log, others[text])
    if kind == "column" and name:
        cells = _offers(table, name)
        known = {fold_key(offer): position for position, offer in enumerate(log.offers)}
        positions = cells.map(fold_key).map(known)
        if (unknown := positions.isna()).any():
            raise table.refusal(
                name, repr(cells[unknown.idxmax()]), f"an offer of the log: {_listed(log)}",
                unknown.idxmax(),
            )  # fmt: skip
        return chosen_policy(text, log, positions.to_numpy(dtype=np.int64))
    if text == "uniform":
        return uniform_policy(log)
    matching = [
        position
        for position, offer in enumerate(log.offers)
        if fold_key(offer) == fold_key(name.strip() if kind == "always" else text.strip())
    ]
    if matching:
        return replace(constant_policy(log, matching[0]), name=text)
    raise UserError(
        f"--policy {text}", found="no such policy", expected=f"{_POLICIES}",
        hint=f"offers of the log: {_listed(log)}",
    )  # fmt: skip


def _group_policy(text: str, log: DecisionLog, shares: dict[str, dict[str, float]]) -> Policy:
    known_groups = {group for by_group in shares.values() for group in by_group}
    unknown = [group for group in log.groups if group not in known_groups]
    if unknown:
        raise UserError(
            f"--policy {text}", found=f"no decision in the group {unknown[0]}",
            expected="decisions in every group of the log", hint="leave out a column of --by",
        )  # fmt: skip
    table = [[shares.get(offer, {}).get(group, 0.0) for offer in log.offers]
             for group in log.groups]  # fmt: skip
    return group_policy(text, log, np.array(table))


def _positions(cells: pd.Series[Any], names: Sequence[str]) -> Array:
    places = {name: position for position, name in enumerate(names)}
    return cells.map(places).to_numpy(dtype=np.int64)


def _listed(log: DecisionLog) -> str:
    more = f" and {len(log.offers) - 10} more" if len(log.offers) > 10 else ""
    return ", ".join(log.offers[:10]) + more
