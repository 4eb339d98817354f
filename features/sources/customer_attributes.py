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
    def of(cls, config: Config, snapshot_date: dt.date, written_at: dt.datetime | None) -> _Moments:
        written = None
        if written_at is not None:
            written = pd.Timestamp(written_at).tz_convert(config.timezone).tz_localize(None)
        return cls(pd.Timestamp(snapshot_date), written)

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
            contact_keys, consent, refusals, excluded = _customers(
                config.customers, config, moments
            )
            contacts.append(contact_keys)
            refused.append(refusals)
            suppressed += excluded
    if config.consents is not None:
        with problems.collect():
            consent, refusals = _consents(config.consents, config, moments)
            refused.append(refusals)
    for number, suppression_list in enumerate(config.suppressions):
        with problems.collect():
            excluded_rows, contact_keys = _listed(suppression_list, config, moments, number)
            suppressed.append(excluded_rows)
            contacts.append(contact_keys)
    problems.refuse()
    columns = ["customer_id", "channel", "reason"]
    exclusions = pd.concat(suppressed, ignore_index=True) if suppressed else pd.DataFrame()
    return CustomerFacts(
        _stacked(contacts),
        without_refused(consent, refused),
        exclusions.reindex(columns=columns).astype(object),
        _any_of(refused),
    )


def _stacked(contacts: list[pd.DataFrame]) -> pd.DataFrame:
    no_contacts = pd.DataFrame(index=pd.Index([], dtype=object, name="customer_id"))
    filled_frames = [frame for frame in contacts if len(frame)]
    return pd.concat(filled_frames) if filled_frames else no_contacts


def _any_of(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Who has said no in one of the tables."""
    if not frames:
        return pd.DataFrame(index=pd.Index([], dtype=object, name="customer_id"))
    combined = frames[0]
    for frame in frames[1:]:
        index, columns = combined.index.union(frame.index), combined.columns.union(frame.columns)
        target_shape = {"index": index, "columns": columns, "fill_value": False}
        combined = combined.reindex(**target_shape) | frame.reindex(**target_shape)
    return combined


def without_refused(
    consent: pd.DataFrame | None, refused: list[pd.DataFrame]
) -> pd.DataFrame | None:
    """The consents that no table takes back."""
    if consent is None:
        return None
    consent = consent.copy()
    refusals = _any_of(refused).reindex(index=consent.index, fill_value=False)
    for channel in consent.columns:
        channel_refused = refusals_of(refusals, channel)
        if channel_refused is not None:
            consent[channel] &= ~channel_refused
    return consent


def refusals_of(refused: pd.DataFrame, channel: str) -> pd.Series[Any] | None:
    """Who refused a channel by its name or all of them; None where nobody is known to have."""
    refusal_columns = [
        refused[column_name]
        for column_name in dict.fromkeys((channel, ALL))
        if column_name in refused
    ]
    if not refusal_columns:
        return None
    return (
        refusal_columns[0] | refusal_columns[1] if len(refusal_columns) > 1 else refusal_columns[0]
    )


def _customers(
    table: CustomersTable, config: Config, moments: _Moments
) -> tuple[pd.DataFrame, pd.DataFrame | None, pd.DataFrame, list[pd.DataFrame]]:
    table_columns = table.columns
    consent_columns = {
        consent_name: column if isinstance(column, ConsentColumn) else ConsentColumn(granted=column)
        for consent_name, column in table_columns.consent.items()
    }
    time_columns = [column.at for column in consent_columns.values() if column.at is not None]
    text_columns = [*table_columns.contact.values(), *table_columns.suppress.values()]
    text_columns += [column.granted for column in consent_columns.values()]
    source = TypedTable("customers", table.table, table.csv, config.timezone)
    problems = Problems()
    rows, wall_clocks = source.rows(
        text_columns, time_columns, keys=[table_columns.customer_id], problems=problems
    )
    if (repeated := rows[f"{WRITTEN}{table_columns.customer_id}"].dropna().duplicated()).any():
        problems.add(
            UserError(
                source.where,
                found=f"{int(repeated.sum())} customers more than once",
                expected="one row a customer",
            )
        )
    customer_keys = rows[table_columns.customer_id]
    # Spelled in two ways, as 17 and 17.0: which row is theirs nobody knows, so they are left out.
    ambiguous = customer_keys.notna() & customer_keys.duplicated(keep=False)
    customer_ids = _named(customer_keys.mask(ambiguous, None), "customers")
    contacts = pd.DataFrame(
        {
            contact_key: rows[column].to_numpy(dtype=object)
            for contact_key, column in table_columns.contact.items()
        },
        index=customer_ids,
    )
    granted, refused = {}, {}
    for consent_name, column in consent_columns.items():
        with problems.collect():
            config_place = f"customers: columns.consent.{consent_name}"
            consent_given = answers(rows[column.granted], config_place, table.words)
            granted[consent_name] = consent_given.eq(True).to_numpy(dtype=bool)
            refused[consent_name] = consent_given.eq(False).to_numpy(dtype=bool)
        if column.at is not None and consent_name in granted:
            after_snapshot = wall_clocks[column.at.column] >= moments.snapshot
            granted[consent_name] = granted[consent_name] & ~after_snapshot.to_numpy(dtype=bool)
    ambiguous_rows = {
        "customer_id": customer_keys[ambiguous].unique(),
        "channel": None,
        "reason": TWICE,
    }
    exclusions = [pd.DataFrame(ambiguous_rows)]
    for reason, mark_column in table_columns.suppress.items():
        with problems.collect():
            is_marked = marks(
                rows[mark_column], f"customers: columns.suppress.{reason}", table.words
            )
            marked_rows = {
                "customer_id": customer_ids[is_marked],
                "channel": None,
                "reason": reason,
            }
            exclusions.append(pd.DataFrame(marked_rows))
    problems.refuse()
    consent = pd.DataFrame(granted, index=customer_ids) if consent_columns else None
    return contacts, consent, pd.DataFrame(refused, index=customer_ids), exclusions


def _consents(
    table: ConsentsTable, config: Config, moments: _Moments
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Who has granted and who has refused by the last change that counts."""
    table_columns = table.columns
    source = TypedTable("consents", table.table, table.csv, config.timezone)
    problems = Problems()
    rows, wall_clocks = source.rows(
        [table_columns.channel, table_columns.granted],
        [table_columns.changed_at],
        keys=[table_columns.customer_id],
        problems=problems,
    )
    with problems.collect():
        consent_given = answers(
            rows[table_columns.granted], "consents: columns.granted", table.words
        )
    with problems.collect():
        channels = _channels(rows[table_columns.channel], source, config)
    problems.refuse()
    changes = pd.DataFrame(
        {
            "customer_id": rows[table_columns.customer_id],
            "channel": channels,
            # In a record of changes an empty cell takes a consent back.
            "granted": consent_given.eq(True),
            "at": wall_clocks[table_columns.changed_at.column],
        }
    )
    # A consent for no channel in particular, or given nobody knows when, proves nothing.
    proven_grants = (changes["at"] < moments.snapshot) & changes["channel"].notna()
    is_effective = proven_grants.where(changes["granted"], moments.begun(changes["at"]))
    changes = changes[changes["customer_id"].notna() & is_effective]
    changes["channel"] = changes["channel"].fillna(ALL)
    changes["at"] = changes["at"].fillna(pd.Timestamp.max.floor("us"))
    all_channel_rows = changes[changes["channel"] == ALL]
    for channel_name in changes["channel"].unique():
        if channel_name != ALL:
            changes = pd.concat([changes, all_channel_rows.assign(channel=channel_name)])
    changes = changes.sort_values(["at", "granted"], ascending=[True, False], kind="stable")
    last_changes = changes.drop_duplicates(["customer_id", "channel"], keep="last")
    by_channel = last_changes.pivot(index="customer_id", columns="channel", values="granted")
    by_channel = by_channel.rename_axis(columns=None)
    return by_channel.eq(True), by_channel.eq(False)


def _listed(
    table: SuppressionList, config: Config, moments: _Moments, number: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of a suppression list that hold, and the addresses that it names."""
    table_columns = table.columns
    text_columns = [
        column_name
        for column_name in (
            table_columns.reason,
            table_columns.channel,
            table_columns.email,
            table_columns.phone,
        )
        if column_name
    ]
    time_columns = [
        time_column
        for time_column in (table_columns.from_, table_columns.until)
        if time_column is not None
    ]
    key_columns = [table_columns.customer_id] if table_columns.customer_id else []
    source = TypedTable("suppressions", table.table, table.csv, config.timezone)
    rows, wall_clocks = source.rows(text_columns, time_columns, keys=key_columns)
    is_active = pd.Series(True, index=rows.index)
    if table_columns.from_ is not None:
        is_active &= moments.begun(wall_clocks[table_columns.from_.column])
    if table_columns.until is not None:
        is_active &= ~moments.over(wall_clocks[table_columns.until.column])
    listed = pd.DataFrame(index=rows.index)
    listed["customer_id"] = rows[table_columns.customer_id] if table_columns.customer_id else None
    listed["reason"] = (
        rows[table_columns.reason].fillna(table.reason) if table_columns.reason else table.reason
    )
    listed["channel"] = None
    if table_columns.channel:
        channels = _channels(rows[table_columns.channel], source, config)
        listed["channel"] = channels.where(channels != ALL, None)
    contacts = pd.DataFrame(index=_named(pd.Series(None, index=rows.index), f"list {number}"))
    for contact_key in CONTACTS_OF_LISTS:
        if column := getattr(table_columns, contact_key):
            contacts[contact_key] = rows[column].to_numpy(dtype=object)
    has_address = contacts.notna().any(axis=1).to_numpy(dtype=bool)
    listed_addresses = listed.assign(customer_id=contacts.index.to_numpy())[
        has_address & is_active.to_numpy()
    ]
    listed_ids = listed[is_active & listed["customer_id"].notna()]
    return pd.concat([listed_ids, listed_addresses], ignore_index=True), contacts[
        has_address & is_active.to_numpy()
    ]


def products(config: Config, snapshot_date: dt.date) -> pd.DataFrame | None:
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
    table_columns = table.columns
    text_columns = [
        *table_columns.attributes.values(),
        *([table_columns.margin] if table_columns.margin else []),
    ]
    time_columns = [table_columns.restocked_at] if table_columns.restocked_at else []
    source = TypedTable("products", table.table, table.csv, config.timezone)
    rows, wall_clocks = source.rows(text_columns, time_columns, keys=[table_columns.product_id])
    catalogue = pd.DataFrame({"product_id": rows[table_columns.product_id]})
    catalogue["margin"] = (
        pd.to_numeric(rows[table_columns.margin], errors="coerce")
        if table_columns.margin
        else np.nan
    )
    restock_day = pd.Series(pd.NaT, index=rows.index, dtype="datetime64[s]")
    if table_columns.restocked_at is not None:
        restock_day = (
            wall_clocks[table_columns.restocked_at.column].dt.normalize().astype("datetime64[s]")
        )
    catalogue["restocked_at"] = restock_day.where(restock_day < pd.Timestamp(snapshot_date))
    for attribute, column in table_columns.attributes.items():
        if attribute not in config.sensitive:
            catalogue[attribute] = rows[column].to_numpy(dtype=object)
    return catalogue


def _named(customer_ids: pd.Series[Any], table_name: str) -> pd.Series[Any]:
    """Ids of a table's rows; who has none is told apart by the row."""
    placeholder_ids = pd.Series(
        [f"{NAMELESS}{table_name} {row_number}" for row_number in range(len(customer_ids))],
        index=customer_ids.index,
    )
    return (
        customer_ids.astype(object)
        .where(customer_ids.notna(), placeholder_ids)
        .rename("customer_id")
    )


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
    word_columns: list[tuple[CustomersTable | ConsentsTable, str, str]] = []
    if config.customers is not None:
        for consent_name, column in config.customers.columns.consent.items():
            granted = column.granted if isinstance(column, ConsentColumn) else column
            word_columns.append(
                (config.customers, f"customers: columns.consent.{consent_name}", granted)
            )
        for reason, mark_column in config.customers.columns.suppress.items():
            word_columns.append(
                (config.customers, f"customers: columns.suppress.{reason}", mark_column)
            )
    if config.consents is not None:
        config_place = "consents: columns.granted"
        word_columns.append((config.consents, config_place, config.consents.columns.granted))
    problems = Problems()
    for table, config_place, column in word_columns:
        if describe(table.table) in sampling.cut and not isinstance(table.table, UrlTable):
            with problems.collect(), reading(describe(table.table)), whole_tables():
                opened = open_table(connect(), table.table, table)
                distinct_words = opened.select(word=key_column(opened[column])).distinct()
                answers(distinct_words.to_pyarrow().to_pandas()["word"], config_place, table.words)
    problems.refuse()
