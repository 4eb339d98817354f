"""Rows of a table of orders that brought nothing: no amount, or a supplier's bill."""

from __future__ import annotations

from typing import Any

import pandas as pd

from features.contracts import LEFT_OUT
from flows.setup.readings import amounts, counted, is_allowed, is_purchase
from flows.setup.source_draft import SourceProposal

_MOST_EMPTY = 0.2  # of the rows that are no further lines; more are a mistake
_FEWEST_BILLS = 3  # from which somebody who only ever gets money is no customer
_MOST_PAID_OUT = 0.5  # share of the money; with more the table is a ledger of costs


def leave_out_unpaid(found: SourceProposal) -> None:
    """Leave out rows with an empty amount, where all others are purchases or refunds.

    They are further lines of an order with its total on the first, cancelled vouchers, or
    instalments that are not paid yet.
    """
    if not _only_money(found) or "value_times" in found.columns:
        return
    name = found.columns["value"]
    if name in found.fill_from or name in found.only:
        return
    empty = found.table.columns[name].cells.isna().reset_index(drop=True)
    when = found.columns["occurred_at"]
    time = when["column"] if isinstance(when, dict) else str(when)
    undated = found.table.columns[time].cells.isna().reset_index(drop=True)
    counts = (is_purchase(found) | undated) & empty & is_allowed(found)
    if not counts.any() or empty.all():
        return
    order = found.columns.get("order_id")
    further = pd.Series(False, index=empty.index)
    if order is not None:
        ids = found.table.columns[order].cells.reset_index(drop=True)
        further = empty & ids.isin(set(ids[~empty].dropna()))
    unpaid = counts & ~further
    if unpaid.sum() > _MOST_EMPTY * max(int((~further).sum()), 1):
        return
    found.only[name] = ["*"]
    if (counts & further).any():
        found.notes["order_id"] = (
            f"{found.notes.get('order_id', '')} {int((counts & further).sum()):,} further lines of "
            f"orders have no {name!r}: it stands on one line of each order."
        ).strip()
    if unpaid.any():
        _note(
            found,
            f"CHECK: {int(unpaid.sum()):,} of {len(empty):,} rows have no {name!r}, and are left "
            f"out: {counted(found, is_purchase(found))} remain.",
        )


def leave_out_suppliers(found: SourceProposal) -> None:
    """Leave out negative amounts, where they are mostly of people who never paid anything.

    In a statement of a shop's account, rent and electricity stand beside what customers paid.
    """
    amount = amounts(found) if _only_money(found) else None
    if amount is None or found.value_scale < 0 or found.columns["value"] in found.only:
        return
    who = found.table.columns[found.columns["customer_id"]].cells.reset_index(drop=True)
    rows = pd.DataFrame({"who": who, "amount": amount})[is_purchase(found) & amount.notna()]
    people = rows.groupby("who")["amount"].agg(["size", "max"])
    suppliers = people.index[(people["max"] <= 0) & (people["size"] >= _FEWEST_BILLS)]
    is_bill = rows["who"].isin(suppliers)
    paid_out = -rows["amount"].clip(upper=0).sum()
    bills = -rows.loc[is_bill, "amount"].sum()
    if not len(suppliers) or bills <= _MOST_PAID_OUT * paid_out:
        return
    if paid_out > _MOST_PAID_OUT * rows["amount"].abs().sum():
        return
    before = counted(found, is_allowed(found))
    found.only[found.columns["value"]] = [">0"]
    count = len(suppliers)
    _note(
        found,
        f"CHECK: {count:,} {'customer' if count == 1 else 'customers'} only ever got money "
        f"({bills:,.2f}): suppliers. Negative amounts are left out. With them as refunds: "
        f"{before}; without: {counted(found, is_purchase(found))}.",
    )


def _only_money(found: SourceProposal) -> bool:
    """Whether all events of a source are purchases or refunds, with amounts."""
    if "value" not in found.columns:
        return False
    kind: Any = found.event_type
    if isinstance(kind, str):
        return kind == "purchase"
    if "words" in kind:
        return set(kind["words"].values()) <= {"purchase", "refund", LEFT_OUT}
    return set(found.roles) <= {"purchase", "refund"} and "purchase" in found.roles


def _note(found: SourceProposal, sentence: str) -> None:
    found.notes["only"] = f"{found.notes.get('only', '')} {sentence}".strip()
