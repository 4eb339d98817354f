"""What is known of customers beside their events: contact keys, consent, suppression; products."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from features.config.config import Config
from features.config.customers import (
    ALL,
    ConsentColumn,
    ConsentsTable,
    CustomersTable,
    SuppressionList,
)
from features.config.sources import UrlTable
from features.errors import Problems, UserError
from features.sources.channels import channel_names
from features.sources.consent_words import answers, marks
from features.sources.events import connect, open_table, reading
from features.sources.files import describe
from features.sources.keys import key_column
from features.sources.sampling import Sampling, whole_tables
from features.sources.typed_rows import WRITTEN, TypedTable

# Customers of whom a table gives an address and no id; no id begins with this sign.
NAMELESS = "\x00"
TWICE = "several rows in the customers table"
# How far ahead of the writer's clock a refusal may be dated: other clocks, other zones.
AHEAD = pd.Timedelta(days=1)
CONTACTS_OF_LISTS = ("email", "phone")


@dataclass(frozen=True)
class CustomerFacts:
    """What holds of customers; every frame is indexed by customer id (text).

    Ids that begin with `NAMELESS` stand for rows without an id whose address counts all the same.

    Attributes
    ----------
    contacts
        Contact keys as the source writes them, null where unknown.
    consent
        One column of bool a channel or purpose that the data record; None: nothing is recorded.
        Customers who are not in it have consented to nothing.
    suppressed
        customer_id, channel (null: every channel), reason; several rows a customer may be.
    refused
        One column of bool a channel or purpose: who has said no, rather than nothing.
    """

    contacts: pd.DataFrame
    consent: pd.DataFrame | None
    suppressed: pd.DataFrame
    refused: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class _Moments:
    """What counts: grants before the snapshot, refusals until the export is written.

    Attributes
    ----------
    snapshot
        Local midnight of the scores.
    written
        Wall-clock time at which the export is written; None: every recorded refusal counts.
    """

    snapshot: pd.Timestamp
    written: pd.Timestamp | None

    @classmethod
    def of(cls, config: Config, at: dt.date, written_at: dt.datetime | None) -> _Moments:
        written = None
        if written_at is not None:
            written = pd.Timestamp(written_at).tz_convert(config.timezone).tz_localize(None)
        return cls(pd.Timestamp(at), written)

    def begun(self, times: pd.Series[Any]) -> pd.Series[Any]:
        """Which refusals have begun; one without a date has."""
        if self.written is None:
            return pd.Series(True, index=times.index)
        return ~(times > self.written.normalize() + AHEAD)

    def over(self, times: pd.Series[Any]) -> pd.Series[Any]:
        """Which last days have passed for certain."""
        return times.dt.normalize() < (self.written or self.snapshot).normalize()


def customer_facts(
    config: Config, at: dt.date, *, written_at: dt.datetime | None = None
) -> CustomerFacts:
    """Contact keys, consent and suppression for an export of the scores of a date.

    A consent counts where it was given before the date of the scores; a refusal where it was
    given until the export is written, and where nobody knows when. Of a grant and a refusal at
    the same moment the refusal counts.

    Parameters
    ----------
    config
        The data set.
    at
        Date of the scores.
    written_at
        Moment (with its zone) at which the export is written; None: every refusal counts that
        is recorded at all.

    Raises
    ------
    UserError
        Where a table or column is missing, a customer stands twice, a value is neither yes nor
        no, or a date cannot be read for certain.
    """
    moments = _Moments.of(config, at, written_at)
    problems = Problems()
    contacts: list[pd.DataFrame] = []
    consent: pd.DataFrame | None = None
    suppressed: list[pd.DataFrame] = []
    refused: list[pd.DataFrame] = []
    if config.customers is not None:
        with problems.collect():
            keys, consent, said_no, marked = _customers(config.customers, config, moments)
            contacts.append(keys)
            refused.append(said_no)
            suppressed += marked
    if config.consents is not None:
        with problems.collect():
            consent, said_no = _consents(config.consents, config, moments)
            refused.append(said_no)
    for number, table in enumerate(config.suppressions):
        with problems.collect():
            listed, keys = _listed(table, config, moments, number)
            suppressed.append(listed)
            contacts.append(keys)
    problems.refuse()
    columns = ["customer_id", "channel", "reason"]
    frame = pd.concat(suppressed, ignore_index=True) if suppressed else pd.DataFrame()
    return CustomerFacts(
        _stacked(contacts),
        without_refused(consent, refused),
        frame.reindex(columns=columns).astype(object),
        _any_of(refused),
    )


def _stacked(contacts: list[pd.DataFrame]) -> pd.DataFrame:
    empty = pd.DataFrame(index=pd.Index([], dtype=object, name="customer_id"))
    known = [frame for frame in contacts if len(frame)]
    return pd.concat(known) if known else empty


def _any_of(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Who has said no in one of the tables."""
    if not frames:
        return pd.DataFrame(index=pd.Index([], dtype=object, name="customer_id"))
    whole = frames[0]
    for frame in frames[1:]:
        index, columns = whole.index.union(frame.index), whole.columns.union(frame.columns)
        place = {"index": index, "columns": columns, "fill_value": False}
        whole = whole.reindex(**place) | frame.reindex(**place)
    return whole


def without_refused(
    consent: pd.DataFrame | None, refused: list[pd.DataFrame]
) -> pd.DataFrame | None:
    """The consents that no table takes back."""
    if consent is None:
        return None
    consent = consent.copy()
    no = _any_of(refused).reindex(index=consent.index, fill_value=False)
    for channel in consent.columns:
        column = refusals_of(no, channel)
        if column is not None:
            consent[channel] &= ~column
    return consent


def refusals_of(refused: pd.DataFrame, channel: str) -> pd.Series[Any] | None:
    """Who refused a channel by its name or all of them; None where nobody is known to have."""
    named = [refused[name] for name in dict.fromkeys((channel, ALL)) if name in refused]
    if not named:
        return None
    return named[0] | named[1] if len(named) > 1 else named[0]


def _customers(
    table: CustomersTable, config: Config, moments: _Moments
) -> tuple[pd.DataFrame, pd.DataFrame | None, pd.DataFrame, list[pd.DataFrame]]:
    names = table.columns
    given = {
        name: column if isinstance(column, ConsentColumn) else ConsentColumn(granted=column)
        for name, column in names.consent.items()
    }
    times = [column.at for column in given.values() if column.at is not None]
    texts = [*names.contact.values(), *names.suppress.values()]
    texts += [column.granted for column in given.values()]
    source = TypedTable("customers", table.table, table.csv, config.timezone)
    problems = Problems()
    rows, walls = source.rows(texts, times, keys=[names.customer_id], problems=problems)
    if (again := rows[f"{WRITTEN}{names.customer_id}"].dropna().duplicated()).any():
        problems.add(
            UserError(
                source.where,
                found=f"{int(again.sum())} customers more than once",
                expected="one row a customer",
            )
        )
    keys = rows[names.customer_id]
    # Spelled in two ways, as 17 and 17.0: which row is theirs nobody knows, so they are left out.
    twice = keys.notna() & keys.duplicated(keep=False)
    ids = _named(keys.mask(twice, None), "customers")
    contacts = pd.DataFrame(
        {key: rows[column].to_numpy(dtype=object) for key, column in names.contact.items()},
        index=ids,
    )
    granted, refused = {}, {}
    for name, column in given.items():
        with problems.collect():
            where = f"customers: columns.consent.{name}"
            said = answers(rows[column.granted], where, table.words)
            granted[name] = said.eq(True).to_numpy(dtype=bool)
            refused[name] = said.eq(False).to_numpy(dtype=bool)
        if column.at is not None and name in granted:
            later = walls[column.at.column] >= moments.snapshot
            granted[name] = granted[name] & ~later.to_numpy(dtype=bool)
    doubtful = {"customer_id": keys[twice].unique(), "channel": None, "reason": TWICE}
    marked = [pd.DataFrame(doubtful)]
    for reason, text in names.suppress.items():
        with problems.collect():
            hit = marks(rows[text], f"customers: columns.suppress.{reason}", table.words)
            listed = {"customer_id": ids[hit], "channel": None, "reason": reason}
            marked.append(pd.DataFrame(listed))
    problems.refuse()
    consent = pd.DataFrame(granted, index=ids) if given else None
    return contacts, consent, pd.DataFrame(refused, index=ids), marked


def _consents(
    table: ConsentsTable, config: Config, moments: _Moments
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Who has granted and who has refused by the last change that counts."""
    names = table.columns
    source = TypedTable("consents", table.table, table.csv, config.timezone)
    problems = Problems()
    rows, walls = source.rows(
        [names.channel, names.granted],
        [names.changed_at],
        keys=[names.customer_id],
        problems=problems,
    )
    with problems.collect():
        said = answers(rows[names.granted], "consents: columns.granted", table.words)
    with problems.collect():
        channels = _channels(rows[names.channel], source, config)
    problems.refuse()
    frame = pd.DataFrame(
        {
            "customer_id": rows[names.customer_id],
            "channel": channels,
            # In a record of changes an empty cell takes a consent back.
            "granted": said.eq(True),
            "at": walls[names.changed_at.column],
        }
    )
    # A consent for no channel in particular, or given nobody knows when, proves nothing.
    proven = (frame["at"] < moments.snapshot) & frame["channel"].notna()
    counts = proven.where(frame["granted"], moments.begun(frame["at"]))
    frame = frame[frame["customer_id"].notna() & counts]
    frame["channel"] = frame["channel"].fillna(ALL)
    frame["at"] = frame["at"].fillna(pd.Timestamp.max.floor("us"))
    whole = frame[frame["channel"] == ALL]
    for name in frame["channel"].unique():
        if name != ALL:
            frame = pd.concat([frame, whole.assign(channel=name)])
    frame = frame.sort_values(["at", "granted"], ascending=[True, False], kind="stable")
    last = frame.drop_duplicates(["customer_id", "channel"], keep="last")
    wide = last.pivot(index="customer_id", columns="channel", values="granted")
    wide = wide.rename_axis(columns=None)
    return wide.eq(True), wide.eq(False)


def _listed(
    table: SuppressionList, config: Config, moments: _Moments, number: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of a suppression list that hold, and the addresses that it names."""
    names = table.columns
    optional = [name for name in (names.reason, names.channel, names.email, names.phone) if name]
    times = [each for each in (names.from_, names.until) if each is not None]
    keys = [names.customer_id] if names.customer_id else []
    source = TypedTable("suppressions", table.table, table.csv, config.timezone)
    rows, walls = source.rows(optional, times, keys=keys)
    holds = pd.Series(True, index=rows.index)
    if names.from_ is not None:
        holds &= moments.begun(walls[names.from_.column])
    if names.until is not None:
        holds &= ~moments.over(walls[names.until.column])
    listed = pd.DataFrame(index=rows.index)
    listed["customer_id"] = rows[names.customer_id] if names.customer_id else None
    listed["reason"] = rows[names.reason].fillna(table.reason) if names.reason else table.reason
    listed["channel"] = None
    if names.channel:
        channels = _channels(rows[names.channel], source, config)
        listed["channel"] = channels.where(channels != ALL, None)
    contacts = pd.DataFrame(index=_named(pd.Series(None, index=rows.index), f"list {number}"))
    for key in CONTACTS_OF_LISTS:
        if column := getattr(names, key):
            contacts[key] = rows[column].to_numpy(dtype=object)
    named = contacts.notna().any(axis=1).to_numpy(dtype=bool)
    by_address = listed.assign(customer_id=contacts.index.to_numpy())[named & holds.to_numpy()]
    by_id = listed[holds & listed["customer_id"].notna()]
    return pd.concat([by_id, by_address], ignore_index=True), contacts[named & holds.to_numpy()]


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
    texts = [*names.attributes.values(), *([names.margin] if names.margin else [])]
    times = [names.restocked_at] if names.restocked_at else []
    source = TypedTable("products", table.table, table.csv, config.timezone)
    rows, walls = source.rows(texts, times, keys=[names.product_id])
    found = pd.DataFrame({"product_id": rows[names.product_id]})
    found["margin"] = pd.to_numeric(rows[names.margin], errors="coerce") if names.margin else np.nan
    day = pd.Series(pd.NaT, index=rows.index, dtype="datetime64[s]")
    if names.restocked_at is not None:
        day = walls[names.restocked_at.column].dt.normalize().astype("datetime64[s]")
    found["restocked_at"] = day.where(day < pd.Timestamp(at))
    for name, column in names.attributes.items():
        if name not in config.sensitive:
            found[name] = rows[column].to_numpy(dtype=object)
    return found


def _named(ids: pd.Series[Any], table: str) -> pd.Series[Any]:
    """Ids of a table's rows; who has none is told apart by the row."""
    lacking = pd.Series([f"{NAMELESS}{table} {n}" for n in range(len(ids))], index=ids.index)
    return ids.astype(object).where(ids.notna(), lacking).rename("customer_id")


def _channels(texts: pd.Series[Any], source: TypedTable, config: Config) -> pd.Series[Any]:
    return channel_names(texts, f"{source.where}: {texts.name}", config.channels)


def unreadable_words(config: Config, sampling: Sampling) -> None:
    """Refuse unknown words for yes and no in the tables that a check opened only in part.

    A scan of one column is cheap, and a single odd word stops a run.

    Raises
    ------
    UserError
        As `answers`, for all columns in one answer.
    """
    columns: list[tuple[CustomersTable | ConsentsTable, str, str]] = []
    if config.customers is not None:
        for name, column in config.customers.columns.consent.items():
            granted = column.granted if isinstance(column, ConsentColumn) else column
            columns.append((config.customers, f"customers: columns.consent.{name}", granted))
        for reason, mark in config.customers.columns.suppress.items():
            columns.append((config.customers, f"customers: columns.suppress.{reason}", mark))
    if config.consents is not None:
        where = "consents: columns.granted"
        columns.append((config.consents, where, config.consents.columns.granted))
    problems = Problems()
    for table, where, column in columns:
        if describe(table.table) in sampling.cut and not isinstance(table.table, UrlTable):
            with problems.collect(), reading(describe(table.table)), whole_tables():
                found = open_table(connect(), table.table, table)
                words = found.select(word=key_column(found[column])).distinct()
                answers(words.to_pyarrow().to_pandas()["word"], where, table.words)
    problems.refuse()
