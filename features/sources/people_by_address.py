"""People whom a table of consents or suppressions names by an e-mail address or phone number.

Each address has a placeholder in the place of a customer id. A refusal of the address holds for
every customer who has it; so does a consent, if both spell it in full.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

from features.config.customers import ADDRESSES, PersonColumns
from features.errors import UserError
from features.sources.contact_normalisation import (
    comparable_address,
    email,
    names_several,
    phone,
)
from features.sources.keys import is_rounded, rounded_keys_error

# Prefix of placeholder ids for rows with an address but no id; no real id starts with it.
NO_ID = "\x00"
_ADDRESS = f"{NO_ID}address "
_HASH = (
    "(?:0x)?(?:[0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{128})|[0-9A-Za-z+/]{43}="
)


def id_columns(columns: PersonColumns) -> list[str]:
    """Return the column of ids, if there is one."""
    return [columns.customer_id] if columns.customer_id else []


def address_columns(columns: PersonColumns) -> dict[str, str]:
    """Return the columns that name people by an address, by contact key."""
    return {kind: column for kind in ADDRESSES if (column := getattr(columns, kind))}


def comparable_addresses(rows: pd.DataFrame, columns: PersonColumns) -> pd.DataFrame:
    """Return the rows with their addresses in one spelling, null where there is none."""
    forms = {
        column: rows[column].map(
            {text: comparable_address(kind, text) or None for text in rows[column].dropna()}
        )
        for kind, column in address_columns(columns).items()
    }
    return rows.assign(**forms)


def refuse_unclear_addresses(rows: pd.DataFrame, columns: PersonColumns, where: str) -> None:
    """Stop at cells that name no single address: a refusal in them would be lost.

    Raises
    ------
    UserError
        For several addresses in a cell, for hashes in their place, and for numbers that a
        spreadsheet rounded.
    """
    for kind, column in address_columns(columns).items():
        texts = rows[column].dropna()
        if kind == "phone" and (rounded := int(texts.map(is_rounded).sum())):
            raise rounded_keys_error(where, rounded, column)
        _refuse_cells(
            f"{where}: {column}",
            (int(texts.map(names_several).sum()), "more than one address"),
            "one address a row",
            "write a row for each address",
        )
        _refuse_cells(
            f"{where}: {column}",
            (int(texts.map(_is_hash).sum()), "a hash in the place of an address"),
            "addresses as they are written",
            "export the column without hashing: no person can be recognised by a hash",
        )


def _refuse_cells(where: str, counted: tuple[int, str], expected: str, hint: str) -> None:
    count, content = counted
    if count:
        cells = f"{count:,} cells with {content}"
        raise UserError(where, found=cells, expected=expected, hint=hint)


def _is_hash(text: str) -> bool:
    """Return True for an MD5, SHA-1, SHA-256 or SHA-512 sum in hexadecimal or base64 digits."""
    return re.fullmatch(_HASH, text.strip()) is not None and not text.strip().isdecimal()


def people_and_addresses(
    rows: pd.DataFrame, columns: PersonColumns
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return whom the rows of a table name.

    Returns
    -------
    DataFrame
        customer_id (id of a customer, or placeholder of an address), indexed as the rows. A row
        with an id and an address is there twice, a row with neither is not.
    DataFrame
        The addresses as contact keys, indexed by placeholder.
    """
    named = [rows[column].dropna() for column in id_columns(columns)]
    contacts = [pd.DataFrame(index=pd.Index([], dtype=object, name="customer_id"))]
    for kind, column in address_columns(columns).items():
        texts = rows[column].dropna()
        placeholders = texts.map(lambda text, kind=kind: f"{_ADDRESS}{kind} {text}")
        named.append(placeholders)
        contacts.append(pd.DataFrame({kind: texts.to_numpy()}, index=placeholders.to_numpy()))
    people = pd.concat(named).astype(object).rename("customer_id").to_frame()
    return people, pd.concat(contacts).rename_axis("customer_id")


def with_consents_of_addresses(
    consent: pd.DataFrame, contacts: Iterable[pd.DataFrame]
) -> pd.DataFrame:
    """Extend the consents of addresses to the customers who have them.

    A phone number without a country code is nobody's: another country may have the same.

    Parameters
    ----------
    consent
        One bool column per channel, indexed by id and by placeholder.
    contacts
        Contact keys by customer id (index).
    """
    consents = [consent]
    for keys in contacts if names_address(consent.index).any() else ():
        countries = keys.get("country", pd.Series(None, index=keys.index)).fillna("")
        for kind in keys.columns.intersection(list(ADDRESSES)):
            placeholders = [
                f"{_ADDRESS}{kind} {email(text) if kind == 'email' else phone(text, country)}"
                for text, country in zip(keys[kind].fillna(""), countries, strict=True)
            ]
            of_address = consent.reindex(placeholders, fill_value=False)
            consents.append(of_address.set_axis(keys.index, axis=0))
    return pd.concat(consents).groupby(level=0).any() if len(consents) > 1 else consent


def names_address(customer_ids: pd.Index[Any]) -> Any:
    """Return True where an id is the placeholder of an address."""
    return customer_ids.astype(str).str.startswith(_ADDRESS)
