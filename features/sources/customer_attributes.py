"""What is known of customers beside their events: contact keys, consent, suppression; products."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.config.config import Config
from features.config.customers import ConsentColumn, CustomersTable, SuppressionList
from features.config.sources import CsvFormat, Location, TimeColumn
from features.errors import UserError
from features.sources.events import connect, open_table
from features.sources.files import describe, no_zone, require

YES = {"true", "t", "yes", "y", "1", "1.0", "granted", "opt_in", "subscribed"}
NO = {
    "false",
    "f",
    "no",
    "n",
    "0",
    "0.0",
    "",
    "withdrawn",
    "opt_out",
    "unsubscribed",
    "nan",
    "none",
}


@dataclass(frozen=True)
class CustomerFacts:
    """What holds of customers at a date; every frame is indexed by customer id (text).

    Attributes
    ----------
    contacts
        Contact keys as the source writes them, null where unknown.
    consent
        One column of bool a channel or purpose that the data record; None: nothing is recorded.
        Customers who are not in it have consented to nothing.
    suppressed
        customer_id, channel (null: every channel), reason; several rows a customer may be.
    """

    contacts: pd.DataFrame
    consent: pd.DataFrame | None
    suppressed: pd.DataFrame


@dataclass(frozen=True)
class _Source:
    """A table and how its files are written."""

    table: Location
    csv: CsvFormat
    key: str

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """The named columns as pandas."""
        found = open_table(connect(), self.table, self)
        for column in columns:
            require(found, column, f"{self.key}: {describe(self.table)}")
        frame: pd.DataFrame = found.select(list(dict.fromkeys(columns))).to_pyarrow().to_pandas()
        return frame


def customer_facts(config: Config, at: dt.date) -> CustomerFacts:
    """Contact keys, consent and suppression as they stood before a date.

    A consent that changed on the date or later counts as it was before; where only the state of
    today is recorded and it is younger than the date, it counts as not given.

    Raises
    ------
    UserError
        Where a table or column is missing, a customer stands twice, or a value is neither yes nor
        no.
    """
    contacts = pd.DataFrame(index=pd.Index([], dtype=object, name="customer_id"))
    consent: pd.DataFrame | None = None
    suppressed: list[pd.DataFrame] = []
    if config.customers is not None:
        contacts, consent, marked = _customers(config.customers, config, at)
        suppressed += marked
    if config.consents is not None:
        consent = _consents(config, at)
    suppressed += [_listed(each, config, at) for each in config.suppressions]
    columns = ["customer_id", "channel", "reason"]
    frame = pd.concat(suppressed, ignore_index=True) if suppressed else pd.DataFrame()
    return CustomerFacts(contacts, consent, frame.reindex(columns=columns).astype(object))


def _customers(
    table: CustomersTable, config: Config, at: dt.date
) -> tuple[pd.DataFrame, pd.DataFrame | None, list[pd.DataFrame]]:
    names = table.columns
    given = {
        name: column if isinstance(column, ConsentColumn) else ConsentColumn(granted=column)
        for name, column in names.consent.items()
    }
    times = [column.at.column for column in given.values() if column.at is not None]
    asked = [names.customer_id, *names.contact.values(), *names.suppress.values(), *times]
    asked += [column.granted for column in given.values()]
    source = _Source(table.table, table.csv, "customers")
    rows = source.read(asked)
    ids = _ids(rows[names.customer_id])
    if ids.duplicated().any():
        raise UserError(
            f"customers: {describe(table.table)}",
            found=f"{int(ids.duplicated().sum())} customers more than once",
            expected="one row a customer",
        )
    contacts = pd.DataFrame(
        {key: _text(rows[column]) for key, column in names.contact.items()}
    ).set_axis(ids, axis=0)
    consent: pd.DataFrame | None = None
    if given:
        parts = {}
        for name, column in given.items():
            granted = _truth(rows[column.granted], f"customers: columns.consent.{name}")
            if column.at is not None:
                granted = granted & ~(
                    local_days_of(rows, column.at, config.timezone) >= np.datetime64(at)
                )
            parts[name] = granted
        consent = pd.DataFrame(parts, index=ids)
    marked = [
        pd.DataFrame({"customer_id": ids[hit], "channel": None, "reason": reason})
        for reason, column in names.suppress.items()
        if (hit := _truth(rows[column], f"customers: columns.suppress.{reason}")).any()
    ]
    return contacts, consent, marked


def _consents(config: Config, at: dt.date) -> pd.DataFrame:
    table = config.consents
    if table is None:
        raise ValueError("no consents are declared")
    names = table.columns
    source = _Source(table.table, table.csv, "consents")
    asked = [names.customer_id, names.channel, names.granted, names.changed_at.column]
    rows = source.read(asked)
    day = local_days_of(rows, names.changed_at, config.timezone)
    frame = pd.DataFrame(
        {
            "customer_id": _ids(rows[names.customer_id]),
            "channel": rows[names.channel].astype(str),
            "granted": _truth(rows[names.granted], "consents: columns.granted"),
            "day": day,
        }
    )
    frame = frame[~np.isnat(day) & (day < np.datetime64(at))]
    # Of two changes on one day the refusal holds: nobody is addressed by mistake.
    frame = frame.sort_values(["day", "granted"], ascending=[True, False], kind="stable")
    last = frame.drop_duplicates(["customer_id", "channel"], keep="last")
    wide = last.pivot(index="customer_id", columns="channel", values="granted")
    granted: pd.DataFrame = wide.eq(True).rename_axis(columns=None)
    return granted


def _listed(table: SuppressionList, config: Config, at: dt.date) -> pd.DataFrame:
    names = table.columns
    optional = [names.reason, names.channel]
    times = [each.column for each in (names.from_, names.until) if each is not None]
    source = _Source(table.table, table.csv, "suppressions")
    rows = source.read([names.customer_id, *(name for name in optional if name), *times])
    holds = np.ones(len(rows), dtype=bool)
    if names.from_ is not None:
        holds &= ~(local_days_of(rows, names.from_, config.timezone) >= np.datetime64(at))
    if names.until is not None:
        holds &= ~(local_days_of(rows, names.until, config.timezone) < np.datetime64(at))
    reason = rows[names.reason].fillna(table.reason) if names.reason else table.reason
    listed = pd.DataFrame({"customer_id": _ids(rows[names.customer_id]), "reason": reason})
    listed["channel"] = rows[names.channel].astype(object) if names.channel else None
    return listed[holds]


def products(config: Config, at: dt.date) -> pd.DataFrame | None:
    """The products as they stood before a date; None where the config declares none.

    Returns
    -------
    DataFrame
        product_id, margin (share of the price, null: unknown), restocked_at (date of the last
        return to stock before the date, null: none), and the declared attributes.
    """
    table = config.products
    if table is None:
        return None
    names = table.columns
    asked = [names.product_id, *names.attributes.values()]
    asked += [names.margin] if names.margin else []
    asked += [names.restocked_at.column] if names.restocked_at else []
    rows = _Source(table.table, table.csv, "products").read(asked)
    found = pd.DataFrame({"product_id": _ids(rows[names.product_id])})
    found["margin"] = pd.to_numeric(rows[names.margin], errors="coerce") if names.margin else np.nan
    day = (
        local_days_of(rows, names.restocked_at, config.timezone)
        if names.restocked_at
        else np.full(len(rows), np.datetime64("NaT"), dtype="datetime64[D]")
    )
    found["restocked_at"] = np.where(day < np.datetime64(at), day, np.datetime64("NaT")).astype(
        "datetime64[s]"
    )
    for name, column in names.attributes.items():
        if name not in config.sensitive:
            found[name] = _text(rows[column])
    return found


def _ids(column: pd.Series[Any]) -> pd.Series[Any]:
    return column.astype(str).astype(object).rename("customer_id")


def _text(column: pd.Series[Any]) -> Any:
    filled = column.astype(object)
    return filled.where(filled.isna(), filled.astype(str)).to_numpy(dtype=object)


def _truth(column: pd.Series[Any], where: str) -> Any:
    """Yes and no as bool; empty is no."""
    if pd.api.types.is_bool_dtype(column) and not column.isna().any():
        return column.to_numpy(dtype=bool)
    text = column.astype(object).where(column.notna(), "").astype(str).str.strip().str.lower()
    unknown = ~text.isin(YES | NO)
    if unknown.any():
        raise UserError(
            where,
            found=f"{int(unknown.sum())} values that are neither yes nor no",
            expected=f"{', '.join(sorted(YES))}, or {', '.join(sorted(NO - {''}))}",
        )
    return text.isin(YES).to_numpy(dtype=bool)


def local_days_of(rows: pd.DataFrame, spec: TimeColumn, timezone: str) -> Any:
    """Local calendar day of a time column (datetime64[D]), NaT where empty.

    Raises
    ------
    UserError
        For values that are no dates, or instants without a zone.
    """
    column = rows[spec.column]
    moments = pd.to_datetime(column, errors="coerce", utc=spec.as_ == "instant", format="mixed")
    if pd.isna(moments).sum() > pd.isna(column).sum():
        raise UserError(
            spec.column, found="values that are no dates", expected="dates or timestamps"
        )
    if spec.as_ == "instant":
        naive = getattr(column.dtype, "tz", None) is None
        if naive and spec.zone is None:
            raise no_zone(spec.column, spec.column)
        if naive and spec.zone is not None:
            moments = moments.dt.tz_localize(None).dt.tz_localize(
                spec.zone, ambiguous=True, nonexistent="shift_forward"
            )
        moments = moments.dt.tz_convert(timezone).dt.tz_localize(None)
    return moments.to_numpy().astype("datetime64[D]")
