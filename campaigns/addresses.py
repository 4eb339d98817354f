"""Addresses that several customers share: a refusal of one customer applies to the address."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from campaigns.rules import BoolArray, TextArray
from features.config.customers import ADDRESSES, ADS
from features.sources.channels import consent_channel
from features.sources.contact_normalisation import (
    comparable_address,
    names_several,
    national_digits,
    phone_tail,
    separate_addresses,
)

# Contact keys of one person; many persons share names and places.
ADDRESS_KINDS = ("email", "phone", "device_token", "mobile_ad_id", "external_id")
# Channel -> contact keys that its tools use; other channels: all keys.
_REACHED_BY = {
    "email": ("email", "external_id"),
    "sms": ("phone", "external_id"),
    "call": ("phone", "external_id"),
    "push": ("device_token", "external_id"),
}
# Contact key -> channels; refusing one withholds the key from exports of other channels too.
REFUSED_THROUGH = {
    "email": ("email",),
    "phone": ("sms", "call"),
    "device_token": ("push",),
    "mobile_ad_id": (ADS,),
}


def address_kinds(channels: Collection[str]) -> tuple[str, ...]:
    """Contact keys that the tools of some channels use."""
    kinds = {
        kind
        for channel in channels
        for kind in _REACHED_BY.get(consent_channel(channel), ADDRESS_KINDS)
    }
    return tuple(kind for kind in ADDRESS_KINDS if kind in kinds)


def reaching_kinds(channel: str) -> tuple[str, ...]:
    """Contact keys by which a channel reaches people; a letter needs none of them."""
    return _REACHED_BY.get(consent_channel(channel), ("external_id",))


@dataclass(frozen=True)
class Addresses:
    """Addresses with two or more customer ids.

    Attributes
    ----------
    rows
        Columns customer_id, kind (contact key), address (code); one row per customer and address.
    """

    rows: pd.DataFrame

    @classmethod
    def of(cls, contacts: pd.DataFrame) -> Addresses:
        """Find shared addresses in contact keys by customer id (index).

        E-mail addresses are compared without case, phone numbers in international form. A number
        without a country code equals every number that ends with its digits. Of a cell with
        several addresses each counts. A customer id or external id that is an e-mail address
        counts as one.
        """
        customer_ids = contacts.index.to_numpy(dtype=object)
        parts = [_ids_as_emails(customer_ids, customer_ids)]
        if "external_id" in contacts:
            parts.append(_ids_as_emails(customer_ids, contacts["external_id"].to_numpy()))
        for kind in ADDRESS_KINDS:
            if kind in contacts:
                filled = contacts[kind].notna().to_numpy(dtype=bool)
                key_texts = contacts[kind].to_numpy(dtype=object)[filled]
                country = contacts.get("country", pd.Series(None, index=contacts.index))
                countries = country.to_numpy(dtype=object)[filled]
                parts.append(_addresses(customer_ids[filled], kind, key_texts, countries))
        rows = pd.concat(parts, ignore_index=True).drop_duplicates()
        rows = rows[rows.duplicated(["kind", "address"], keep=False)]
        address_codes = rows.groupby(["kind", "address"], sort=False).ngroup()
        return cls(rows.assign(address=address_codes.astype(np.int64)).reset_index(drop=True))

    def shared_with(self, customers: Collection[Any], kinds: Collection[str]) -> pd.Index:
        """Other customers with an address of the given customers, for some kinds of address."""
        if not len(self.rows) or not len(customers):
            return pd.Index([], dtype=object)
        rows = self.rows[self.rows["kind"].isin(kinds)]
        is_given = rows["customer_id"].isin(customers)
        by_address = rows[is_given].groupby("address")["customer_id"]
        given_by_address = by_address.agg(["first", "nunique"])
        sharing = rows.join(given_by_address, on="address", how="inner")
        # A given customer counts only if another given customer has the same address.
        is_other = (sharing["nunique"] > 1) | (sharing["first"] != sharing["customer_id"])
        return pd.Index(sharing.loc[is_other, "customer_id"].unique())

    def is_shared_with(
        self, chosen: BoolArray, customers: pd.Index, kinds: Collection[str]
    ) -> BoolArray:
        """True for customers who share an address with another chosen customer."""
        return np.asarray(customers.isin(self.shared_with(customers[chosen], kinds)))

    def codes_by_customer(
        self, customers: pd.Index, kinds: Collection[str]
    ) -> dict[int, list[int]]:
        """Position of a customer -> codes of their shared addresses of some kinds."""
        rows = self.rows[self.rows["kind"].isin(kinds)]
        places = customers.get_indexer(rows["customer_id"])
        codes: dict[int, list[int]] = {}
        for position, code in zip(places.tolist(), rows["address"].tolist(), strict=True):
            if position >= 0:
                codes.setdefault(position, []).append(code)
        return codes


NO_ADDRESSES = Addresses(
    pd.DataFrame(
        {
            "customer_id": pd.Series(dtype=object),
            "kind": pd.Series(dtype=object),
            "address": pd.Series(dtype=np.int64),
        }
    )
)


def _ids_as_emails(customer_ids: Any, texts: Any) -> pd.DataFrame:
    """E-mail addresses that customers have in place of an id."""
    is_email = np.array(["@" in str(text) for text in texts], dtype=bool)
    no_countries = np.full(int(is_email.sum()), None, dtype=object)
    return _addresses(customer_ids[is_email], "email", texts[is_email], no_countries)


def _addresses(ids: Any, kind: str, texts: Any, countries: Any) -> pd.DataFrame:
    """Addresses of one kind in comparable form, without empty ones."""
    frame = pd.DataFrame({"customer_id": ids, "text": texts, "country": countries})
    if kind in ADDRESSES:
        cells = [separate_addresses(str(text)) for text in frame["text"]]
        frame = frame.assign(text=cells).explode("text", ignore_index=True)
    if kind == "phone":
        return _phones(frame)
    # Each distinct text is parsed once.
    address_of_text = {text: comparable_address(kind, text) for text in frame["text"].unique()}
    addressed = frame.assign(kind=kind, address=frame["text"].map(address_of_text))
    return addressed.loc[addressed["address"] != "", ["customer_id", "kind", "address"]]


def _phones(frame: pd.DataFrame) -> pd.DataFrame:
    """Comparable phone numbers; only numbers with repeated last digits are parsed."""
    last_digits = frame["text"].map(phone_tail)
    candidates = frame[(last_digits != "") & last_digits.duplicated(keep=False)]
    last_digits = last_digits[candidates.index]
    if not len(candidates):
        return NO_ADDRESSES.rows
    address = [
        comparable_address("phone", text, "" if country != country or country is None else country)
        for text, country in zip(candidates["text"], candidates["country"], strict=True)
    ]
    candidates = candidates.assign(kind="phone", address=address, tail=last_digits)
    is_international = candidates["address"].str.startswith("+")
    international, national = candidates[is_international], candidates[~is_international]
    # A national number equals every international number that ends with its digits.
    national = national.assign(digits=national["address"].map(national_digits))
    pairs = national.merge(international[["tail", "address"]].drop_duplicates(), on="tail")
    is_same_number = [
        full_number.endswith(digits)
        for digits, full_number in zip(pairs["digits"], pairs["address_y"], strict=True)
    ]
    completed = pairs[np.array(is_same_number, dtype=bool)]
    completed = completed.assign(address=completed["address_y"])
    parts = [international, national.assign(address=national["digits"]), completed]
    columns = ["customer_id", "kind", "address"]
    return pd.concat([part[columns] for part in parts], ignore_index=True)


def comparable_cells(contacts: pd.DataFrame, kind: str) -> TextArray:
    """Comparable form of a contact key of each row; empty if the cell is."""
    texts = contacts[kind].fillna("").astype(str)
    no_countries = pd.Series("", index=contacts.index)
    countries = contacts.get("country", no_countries).fillna("").astype(str)
    return np.array(
        [
            comparable_address(kind, text, country) if text else ""
            for text, country in zip(texts, countries, strict=True)
        ],
        dtype=object,
    )


def cells_with_several(contacts: pd.DataFrame, kind: str) -> BoolArray:
    """True for rows with several e-mail addresses or numbers in the cell of a contact key."""
    if kind not in ADDRESSES:
        return np.zeros(len(contacts), dtype=bool)
    texts = contacts[kind].fillna("").astype(str)
    return np.array([names_several(text) for text in texts], dtype=bool)


def first_occurrences(texts: Sequence[str]) -> BoolArray:
    """True for the first occurrence of each text, and for every empty text."""
    column = pd.Series(list(texts), dtype=object)
    return np.asarray(((column == "") | ~column.duplicated()).to_numpy(dtype=bool))
