"""Ids that differ in case only, or are a UUID with and without dashes: near twins.

A refusal also reaches ids that a spreadsheet or a keyboard spelled otherwise (``'0012``, ``12,0``,
digits of another script, an invisible sign inside, ``(12)``): whose it is must not depend on that.

Some shops distinguish ``ab12`` and ``AB12``, and 32 hex digits may be an MD5 hash, so near twins
stay two customers. Most often they are one: they are counted, and refusals apply to both.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from typing import Any

import ibis
import pandas as pd
from ibis.expr.types import Column, Table

from features.sources.customer_attributes import CustomerFacts, remove_refused
from features.sources.key_columns import folded_column
from features.sources.keys import INVISIBLE, fold_key
from features.sources.number_text import western_digits

_AROUND = "'\"`=\u2018\u2019\u201c\u201d#()[]{}<>;:,.!*"
_NUMBER = "[0-9]+[.,]0+"
_GROUPED = "[0-9]{1,3}(?:[.,'][0-9]{3})+"  # groups of thousands


def near_twins(ids: Column) -> Table:
    """Count the distinct ids that are near twins of another one: one row, `twins`."""
    distinct = ids.name("id").as_table().filter(ids.notnull()).distinct()
    spellings = distinct.group_by(folded=folded_column(distinct.id)).agg(n=distinct.count())
    twin_groups = spellings.filter(spellings.n > 1)
    return twin_groups.agg(twins=twin_groups.n.sum().fill_null(0))


def near_twins_among(ids: Any) -> int:
    """Count how many of some distinct ids are near twins of another one."""
    twin_counts = near_twins(ibis.memtable({"id": ids}).id)
    return int(twin_counts.to_pyarrow()["twins"][0].as_py())


def with_refusals_of_twins(
    facts: CustomerFacts, customers: pd.Index[str]
) -> tuple[CustomerFacts, int]:
    """Apply refusals under ids that no customer has to the near twins of those ids.

    Parameters
    ----------
    facts
        Consents, refusals and suppressions as read from the tables.
    customers
        Ids of all scored customers.

    Returns
    -------
    CustomerFacts
        With refusals and suppressions of ``AB12`` applied to ``ab12`` if there is no customer
        ``AB12``.
    int
        Number of such ids.
    """
    refusing_ids = pd.Index(facts.suppressed["customer_id"]).append(facts.refused.index).unique()
    strangers = refusing_ids.difference(customers)
    twin_pairs = _twin_pairs(strangers, customers)
    if not len(twin_pairs):
        return facts, 0
    twin_of = twin_pairs.set_index("id")["customer"]
    suppressed = facts.suppressed.merge(
        twin_of.rename("twin"), left_on="customer_id", right_index=True
    )
    twin_rows = suppressed.assign(customer_id=suppressed["twin"])[facts.suppressed.columns]
    twin_refusals = (
        facts.refused.reindex(twin_of.index).set_axis(twin_of.to_numpy(), axis=0).eq(True)
    )
    refused = pd.concat([facts.refused, twin_refusals]).groupby(level=0).any()
    extended_facts = replace(
        facts,
        suppressed=pd.concat([facts.suppressed, twin_rows], ignore_index=True).astype(object),
        refused=refused,
        consent=remove_refused(facts.consent, [refused]),
    )
    return extended_facts, int(twin_pairs["id"].nunique())


def _folded_ids(ids: pd.Index[Any]) -> pd.Index[str]:
    return pd.Index([_fold_spelling(customer_id) for customer_id in ids.astype(str)], dtype=object)


def _fold_spelling(customer_id: str) -> str:
    """Fold an id as `fold_key` does, and what typing and spreadsheets change."""
    visible = "".join(sign for sign in customer_id if sign not in INVISIBLE)
    western = western_digits(unicodedata.normalize("NFKC", visible))
    bare = fold_key(western).strip(_AROUND).lstrip("+")
    if re.fullmatch(_GROUPED, bare):
        bare = re.sub("[.,']", "", bare)
    whole = re.sub("[.,]0+$", "", bare) if re.fullmatch(_NUMBER, bare) else bare
    return whole.lstrip("0") or whole if whole.isdecimal() else whole


def contacts_with_twins(contacts: pd.DataFrame, customers: pd.Index[str]) -> pd.DataFrame:
    """Return contact keys, with those of ids that no customer has also under their near twins.

    For finding out who shares an address; nobody is written to at the address of a near twin.

    Parameters
    ----------
    contacts
        Contact keys, indexed by customer id.
    customers
        Ids of all scored customers.
    """
    strangers = contacts.index.unique().difference(customers)
    twin_pairs = _twin_pairs(strangers, customers)
    if not len(twin_pairs):
        return contacts
    twin_rows = twin_pairs.set_index("id")[["customer"]].join(contacts).set_index("customer")
    return pd.concat([contacts, twin_rows.rename_axis(contacts.index.name)])


def _twin_pairs(strangers: pd.Index[Any], customers: pd.Index[str]) -> pd.DataFrame:
    """Pair ids that no customer has (`id`) with their near twins (`customer`)."""
    by_folded = pd.Series(customers, index=_folded_ids(customers), dtype=object)
    stranger_ids = pd.DataFrame({"id": strangers, "folded": _folded_ids(strangers)})
    by_folded = by_folded[by_folded.index.isin(stranger_ids["folded"])]
    return stranger_ids.merge(
        by_folded.rename("customer").rename_axis("folded").reset_index(), on="folded"
    )
