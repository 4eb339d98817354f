"""Addresses that several customers share: what one of them refused holds for the address."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from campaigns.contact_normalisation import address_text, ending, phone_digits_of
from campaigns.rules import BoolArray
from features.config.customers import ADS
from features.sources.channels import consent_channel

# Contact keys that reach one person; names and places are shared by many.
KINDS = ("email", "phone", "device_token", "mobile_ad_id", "external_id")
# Channel -> the keys by which its tools know a person; any other channel: all keys.
REACHED_BY = {
    "email": ("email", "external_id"),
    "sms": ("phone", "external_id"),
    "call": ("phone", "external_id"),
    "push": ("device_token", "external_id"),
}
# Contact key -> channels whose refusal also keeps it out of the exports of other channels.
REFUSED_THROUGH = {
    "email": ("email",),
    "phone": ("sms", "call"),
    "device_token": ("push",),
    "mobile_ad_id": (ADS,),
}


def kinds_of(channels: Collection[str]) -> tuple[str, ...]:
    """Contact keys by which a person is known in some channels."""
    named = {kind for c in channels for kind in REACHED_BY.get(consent_channel(c), KINDS)}
    return tuple(kind for kind in KINDS if kind in named)


@dataclass(frozen=True)
class Addresses:
    """Addresses that stand under two or more customer ids.

    Attributes
    ----------
    rows
        customer_id, kind (contact key), address (code); one row a customer and shared address.
    """

    rows: pd.DataFrame

    @classmethod
    def of(cls, contacts: pd.DataFrame) -> Addresses:
        """Shared addresses of contact keys by customer id (index).

        An e-mail address is compared without case, a phone number in international form; where a
        number has no country code, all numbers that end like it count as the same. A customer id
        that is an e-mail address counts as one.
        """
        ids = contacts.index.to_numpy(dtype=object)
        parts = [_ids_as_emails(ids)]
        for kind in KINDS:
            if kind in contacts:
                filled = contacts[kind].notna().to_numpy(dtype=bool)
                texts = contacts[kind].to_numpy(dtype=object)[filled]
                country = contacts.get("country", pd.Series(None, index=contacts.index))
                countries = country.to_numpy(dtype=object)[filled]
                parts.append(_addresses(ids[filled], kind, texts, countries))
        rows = pd.concat(parts, ignore_index=True).drop_duplicates()
        rows = rows[rows.duplicated(["kind", "address"], keep=False)]
        codes = rows.groupby(["kind", "address"], sort=False).ngroup()
        return cls(rows.assign(address=codes.astype(np.int64)).reset_index(drop=True))

    def others(self, customers: Collection[Any], kinds: Collection[str]) -> pd.Index:
        """Who shares an address of some kinds with one of some customers, themselves aside."""
        if not len(self.rows) or not len(customers):
            return pd.Index([], dtype=object)
        rows = self.rows[self.rows["kind"].isin(kinds)]
        mine = rows["customer_id"].isin(customers)
        barred = rows[mine].groupby("address")["customer_id"].agg(["first", "nunique"])
        found = rows.join(barred, on="address", how="inner")
        # Alone on the list, a customer is no other of theirs.
        other = (found["nunique"] > 1) | (found["first"] != found["customer_id"])
        return pd.Index(found.loc[other, "customer_id"].unique())

    def sharing(self, chosen: BoolArray, customers: pd.Index, kinds: Collection[str]) -> BoolArray:
        """Which customers share an address with another one that is chosen."""
        return np.asarray(customers.isin(self.others(customers[chosen], kinds)))

    def by_customer(self, customers: pd.Index, kinds: Collection[str]) -> dict[int, list[int]]:
        """Position of a customer -> codes of their shared addresses of some kinds."""
        rows = self.rows[self.rows["kind"].isin(kinds)]
        places = customers.get_indexer(rows["customer_id"])
        found: dict[int, list[int]] = {}
        for place, code in zip(places.tolist(), rows["address"].tolist(), strict=True):
            if place >= 0:
                found.setdefault(place, []).append(code)
        return found


NO_ADDRESSES = Addresses(
    pd.DataFrame(
        {
            "customer_id": pd.Series(dtype=object),
            "kind": pd.Series(dtype=object),
            "address": pd.Series(dtype=np.int64),
        }
    )
)


def _ids_as_emails(ids: Any) -> pd.DataFrame:
    named = np.array([each for each in ids if "@" in str(each)], dtype=object)
    return _addresses(named, "email", named, np.full(len(named), None, dtype=object))


def _addresses(ids: Any, kind: str, texts: Any, countries: Any) -> pd.DataFrame:
    """Addresses of one kind as comparable text, empty ones left out."""
    frame = pd.DataFrame({"customer_id": ids, "text": texts, "country": countries})
    if kind == "phone":
        return _phones(frame)
    distinct = frame["text"].drop_duplicates()
    known = dict(zip(distinct, [address_text(kind, text) for text in distinct], strict=True))
    found = frame.assign(kind=kind, address=frame["text"].map(known))
    return found.loc[found["address"] != "", ["customer_id", "kind", "address"]]


def _phones(frame: pd.DataFrame) -> pd.DataFrame:
    """Phone numbers; only those whose last digits stand twice are looked at closely."""
    tail = frame["text"].map(ending)
    alike = frame[(tail != "") & tail.duplicated(keep=False)]
    tail = tail[alike.index]
    if not len(alike):
        return NO_ADDRESSES.rows
    address = [
        address_text("phone", text, "" if country != country or country is None else country)
        for text, country in zip(alike["text"], alike["country"], strict=True)
    ]
    alike = alike.assign(kind="phone", address=address, tail=tail)
    whole = alike["address"].str.startswith("+")
    bare = alike[~whole].assign(digits=lambda rows: rows["address"].map(phone_digits_of))
    pairs = bare.merge(alike[whole][["tail", "address"]].drop_duplicates(), on="tail")
    same = [
        long.endswith(short)
        for short, long in zip(pairs["digits"], pairs["address_y"], strict=True)
    ]
    more = pairs[np.array(same, dtype=bool)].assign(address=lambda rows: rows["address_y"])
    own = bare.assign(address=bare["digits"])
    columns = ["customer_id", "kind", "address"]
    return pd.concat([alike[whole][columns], own[columns], more[columns]], ignore_index=True)


def first_of_each(texts: Sequence[str]) -> BoolArray:
    """Which texts stand for the first time; empty ones always do."""
    column = pd.Series(list(texts), dtype=object)
    return np.asarray(((column == "") | ~column.duplicated()).to_numpy(dtype=bool))
