"""Customer facts besides events: contact keys, consent and suppression."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from features.config.config import Config
from features.config.customers import (
    ALL,
    ConsentColumn,
    ConsentsTable,
    CustomersTable,
    SuppressionList,
)
from features.errors import Problems, UserError
from features.sources.channels import channel_names
from features.sources.consent_words import consent_answers, exclusion_marks
from features.sources.people_by_address import (
    NO_ID,
    address_columns,
    comparable_addresses,
    id_columns,
    people_and_addresses,
    refuse_unclear_addresses,
    with_consents_of_addresses,
)
from features.sources.typed_rows import WRITTEN, TypedTable

_AMBIGUOUS = "several rows in the customers table"
# A refusal may be dated this far in the future: clocks and zones differ.
_CLOCK_TOLERANCE = pd.Timedelta(days=1)
# Systems write other years where a date is unknown, or never comes.
_YEARS = (1971, 2199)


@dataclass(frozen=True)
class CustomerFacts:
    """Contacts, consents and exclusions; every frame is indexed by customer id (text).

    Ids that start with `NO_ID` stand for rows without an id whose address counts all the same.

    Attributes
    ----------
    contacts
        Contact keys as written in the source, null if unknown.
    consent
        One bool column per recorded channel or purpose; None: no consents are recorded.
        Customers without a row have consented to nothing.
    suppressed
        customer_id, channel (null: every channel), reason; several rows per customer possible.
    refused
        One bool column per channel or purpose: True for an explicit refusal.
    dates
        One column per date of the customers table (local midnight, null if unknown).
    """

    contacts: pd.DataFrame
    consent: pd.DataFrame | None
    suppressed: pd.DataFrame
    refused: pd.DataFrame = field(default_factory=pd.DataFrame)
    dates: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class _Moments:
    """Time limits: grants count before the snapshot, refusals until the export is written.

    Attributes
    ----------
    snapshot
        Local midnight of the scores.
    written
        Wall-clock time of the export; None: every recorded refusal counts.
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
        """Return True for refusals that have begun; those without a date have."""
        if self.written is None:
            return pd.Series(True, index=times.index)
        return ~(times > self.written.normalize() + _CLOCK_TOLERANCE)

    def over(self, times: pd.Series[Any]) -> pd.Series[Any]:
        """Return True for end dates that have certainly passed."""
        return times.dt.normalize() < (self.written or self.snapshot).normalize()


def customer_facts(
    config: Config, at: dt.date, *, written_at: dt.datetime | None = None
) -> CustomerFacts:
    """Read contact keys, consent and suppression for an export of the scores of a date.

    A consent counts if it was granted before the date of the scores; a refusal if it was recorded
    before the export, or has no date. Of a grant and a refusal at the same moment the refusal
    counts.

    Parameters
    ----------
    config
        The data set.
    at
        Date of the scores.
    written_at
        Time of the export, with its zone; None: every recorded refusal counts.

    Raises
    ------
    UserError
        If a table or column is missing, a customer occurs twice, a value is neither yes nor no,
        or a date is ambiguous.
    """
    moments = _Moments.of(config, at, written_at)
    problems = Problems()
    contacts: list[pd.DataFrame] = []
    consent: pd.DataFrame | None = None
    suppressed: list[pd.DataFrame] = []
    refused: list[pd.DataFrame] = []
    dates = pd.DataFrame()
    if config.customers is not None:
        with problems.collect():
            contact_keys, consent, refusals, excluded, dates = _customers(
                config.customers, config, moments
            )
            contacts.append(contact_keys)
            refused.append(refusals)
            suppressed += excluded
    if config.consents is not None:
        with problems.collect():
            consent, refusals, contact_keys = _consents(config.consents, config, moments)
            consent = with_consents_of_addresses(consent, contacts)
            refused.append(refusals)
            contacts.append(contact_keys)
    for suppression_list in config.suppressions:
        with problems.collect():
            excluded_rows, contact_keys = _suppression_list(suppression_list, config, moments)
            suppressed.append(excluded_rows)
            contacts.append(contact_keys)
    problems.refuse()
    columns = ["customer_id", "channel", "reason"]
    exclusions = pd.concat(suppressed, ignore_index=True) if suppressed else pd.DataFrame()
    return CustomerFacts(
        _all_contacts(contacts),
        remove_refused(consent, refused),
        exclusions.reindex(columns=columns).astype(object),
        _any_refusal(refused),
        dates,
    )


def _all_contacts(contacts: list[pd.DataFrame]) -> pd.DataFrame:
    no_contacts = pd.DataFrame(index=pd.Index([], dtype=object, name="customer_id"))
    filled_frames = [frame for frame in contacts if len(frame)]
    all_contacts: pd.DataFrame = pd.concat(filled_frames) if filled_frames else no_contacts
    is_repeated = all_contacts.index.to_series().duplicated().to_numpy()  # an address on two lists
    return all_contacts[~is_repeated]


def _any_refusal(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Combine refusals of several tables: True if any of them holds one."""
    if not frames:
        return pd.DataFrame(index=pd.Index([], dtype=object, name="customer_id"))
    combined = frames[0]
    for frame in frames[1:]:
        index, columns = combined.index.union(frame.index), combined.columns.union(frame.columns)
        target_shape = {"index": index, "columns": columns, "fill_value": False}
        combined = combined.reindex(**target_shape) | frame.reindex(**target_shape)
    return combined


def remove_refused(
    consent: pd.DataFrame | None, refused: list[pd.DataFrame]
) -> pd.DataFrame | None:
    """Return the consents that no refusal withdraws."""
    if consent is None:
        return None
    consent = consent.copy()
    refusals = _any_refusal(refused).reindex(index=consent.index, fill_value=False)
    for channel in consent.columns:
        channel_refused = channel_refusals(refusals, channel)
        if channel_refused is not None:
            consent[channel] &= ~channel_refused
    return consent


def channel_refusals(refused: pd.DataFrame, channel: str) -> pd.Series[Any] | None:
    """Return who refused a channel by its name or all channels; None without such records."""
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
) -> tuple[pd.DataFrame, pd.DataFrame | None, pd.DataFrame, list[pd.DataFrame], pd.DataFrame]:
    table_columns = table.columns
    consent_columns = {
        consent_name: column if isinstance(column, ConsentColumn) else ConsentColumn(granted=column)
        for consent_name, column in table_columns.consent.items()
    }
    time_columns = [column.at for column in consent_columns.values() if column.at is not None]
    time_columns += table_columns.dates.values()
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
    # One id in two spellings (17 and 17.0): the right row is unknown, so the customer is excluded.
    ambiguous = customer_keys.notna() & customer_keys.duplicated(keep=False)
    customer_ids = _row_ids(customer_keys.mask(ambiguous, None), "customers")
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
            consent_given = consent_answers(rows[column.granted], config_place, table.words)
            granted[consent_name] = consent_given.eq(True).to_numpy(dtype=bool)
            refused[consent_name] = consent_given.eq(False).to_numpy(dtype=bool)
        if column.at is not None and consent_name in granted:
            after_snapshot = wall_clocks[column.at.column] >= moments.snapshot
            granted[consent_name] = granted[consent_name] & ~after_snapshot.to_numpy(dtype=bool)
    ambiguous_rows = {
        "customer_id": customer_keys[ambiguous].unique(),
        "channel": None,
        "reason": _AMBIGUOUS,
    }
    exclusions = [pd.DataFrame(ambiguous_rows)]
    for reason, mark_column in table_columns.suppress.items():
        with problems.collect():
            is_marked = exclusion_marks(
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
    dates = pd.DataFrame(
        {
            name: wall_clocks[column.column].dt.normalize().to_numpy()
            for name, column in table_columns.dates.items()
        },
        index=customer_ids,
    )
    return contacts, consent, pd.DataFrame(refused, index=customer_ids), exclusions, dates


def _consents(
    table: ConsentsTable, config: Config, moments: _Moments
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return grants and refusals by person and channel, and the addresses that name people.

    The last change that counts holds, for an id and for an address.
    """
    table_columns = table.columns
    source = TypedTable("consents", table.table, table.csv, config.timezone)
    problems = Problems()
    rows, wall_clocks = source.rows(
        [table_columns.channel, table_columns.granted, *address_columns(table_columns).values()],
        [table_columns.changed_at],
        keys=id_columns(table_columns),
        problems=problems,
    )
    with problems.collect():
        consent_given = consent_answers(
            rows[table_columns.granted], "consents: columns.granted", table.words
        )
    with problems.collect():
        channels = _channels(rows[table_columns.channel], source, config)
    with problems.collect():
        refuse_unclear_addresses(rows, table_columns, source.where)
    problems.refuse()
    changes = pd.DataFrame(
        {
            "channel": channels,
            # In a log of changes an empty cell withdraws a consent.
            "granted": consent_given.eq(True),
            "at": _known_dates(wall_clocks[table_columns.changed_at.column]),
        }
    )
    # A consent without a channel or a date is no proof.
    proven_grants = (changes["at"] < moments.snapshot) & changes["channel"].notna()
    is_effective = proven_grants.where(changes["granted"], moments.begun(changes["at"]))
    people, addresses = people_and_addresses(
        comparable_addresses(rows, table_columns), table_columns
    )
    changes = people.join(changes[is_effective], how="inner")
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
    return by_channel.eq(True), by_channel.eq(False), addresses


def _known_dates(times: pd.Series[Any]) -> pd.Series[Any]:
    """Return the times, null where the year stands for "unknown" (1, 1900, 1970, 9999)."""
    return times.where(times.dt.year.between(*_YEARS))


def _suppression_list(
    table: SuppressionList, config: Config, moments: _Moments
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the active rows of a suppression list, and the addresses in it."""
    table_columns = table.columns
    text_columns = [name for name in (table_columns.reason, table_columns.channel) if name]
    text_columns += address_columns(table_columns).values()
    time_columns = [
        time_column
        for time_column in (table_columns.from_, table_columns.until)
        if time_column is not None
    ]
    source = TypedTable("suppressions", table.table, table.csv, config.timezone)
    rows, wall_clocks = source.rows(text_columns, time_columns, keys=id_columns(table_columns))
    refuse_unclear_addresses(rows, table_columns, source.where)
    is_active = pd.Series(True, index=rows.index)
    if table_columns.from_ is not None:
        is_active &= moments.begun(_known_dates(wall_clocks[table_columns.from_.column]))
    if table_columns.until is not None:
        is_active &= ~moments.over(_known_dates(wall_clocks[table_columns.until.column]))
    listed = pd.DataFrame({"channel": None}, index=rows.index, dtype=object)
    listed["reason"] = (
        rows[table_columns.reason].fillna(table.reason) if table_columns.reason else table.reason
    )
    if table_columns.channel:
        channels = _channels(rows[table_columns.channel], source, config)
        listed["channel"] = channels.where(channels != ALL, None)
    people, addresses = people_and_addresses(rows[is_active], table_columns)
    return people.join(listed), addresses


def _row_ids(customer_ids: pd.Series[Any], table_name: str) -> pd.Series[Any]:
    """Return the ids of a table's rows, with a unique placeholder where there is none."""
    placeholder_ids = pd.Series(
        [f"{NO_ID}{table_name} {row_number}" for row_number in range(len(customer_ids))],
        index=customer_ids.index,
    )
    return (
        customer_ids.astype(object)
        .where(customer_ids.notna(), placeholder_ids)
        .rename("customer_id")
    )


def _channels(texts: pd.Series[Any], source: TypedTable, config: Config) -> pd.Series[Any]:
    return channel_names(texts, f"{source.where}: {texts.name}", config.channels)
