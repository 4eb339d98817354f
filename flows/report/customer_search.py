"""Data of the customers that the page's search can show, compressed to fit into the page."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from features.calendar import day_date, grid_back
from features.lifecycle.stage_engine import stage_at
from features.lifecycle.stage_explanations import stage_reasons
from features.table.snapshot_builder import Builder
from flows.report.customer_timeline import daily_activity, stage_paths
from flows.report.figure import json_value

_MOST_CUSTOMERS = 5_000
_MOST_PACKED_BYTES = 2_600_000  # of the compressed text; the rest of the page needs about 1.3 MB
_BACK_DAYS = 364
_EVERY_DAYS = 7
_SCORE_COLUMNS = (
    "stage", "sub_stage", "stage_since", "previous_stage", "stage_change_cause",
    "stage_predicted", "stage_confidence", "next_stage", "p_move", "expected_transition_at",
    "lapses_at_if_silent", "p_churn", "churn_band", "p_first_purchase", "lead_score", "lead_band",
    "p_reactivate", "p_any_order", "expected_orders", "expected_next_order_at",
    "average_order_value", "average_days_between_orders", "historic_clv", "clv", "clv_low",
    "clv_high", "value_tier", "preferred_channel", "score_quality", "segment",
)  # fmt: skip
_REASON_COLUMNS = ("reason_1", "reason_2", "reason_3")


@dataclass(frozen=True)
class PackedCustomers:
    """The searchable customers, compressed.

    Attributes
    ----------
    packed
        JSON, compressed with gzip, as base64 text.
    count, total
        Number of searchable customers, and of all customers.
    selection
        A sentence on how the searchable customers were selected.
    """

    packed: str
    count: int
    total: int
    selection: str


def choose_customers(
    scores: pd.DataFrame, audience: pd.DataFrame, *, seed: int, most: int
) -> list[str]:
    """Choose customers to be searchable, most important first.

    Campaign members by expected value alternate with customers drawn at random (seeded), so that
    every stage is represented.
    """
    customers = scores["customer_id"].astype(str)
    present = audience[audience["change"] != "removed"].sort_values(
        ["expected_value", "customer_id"], ascending=[False, True], na_position="last"
    )
    members = [
        customer
        for customer in dict.fromkeys(present["customer_id"].astype(str))
        if customer in set(customers)
    ]
    shuffled = customers.iloc[np.random.default_rng(seed).permutation(len(customers))]
    chosen: dict[str, None] = {}
    for position in range(max(len(members), len(shuffled))):
        for source in (members, shuffled):
            if position < len(source):
                chosen[str(source[position] if source is members else shuffled.iloc[position])] = (
                    None
                )
        if len(chosen) >= most:
            break
    return list(chosen)[:most]


def pack_customers(
    builder: Builder,
    scores: pd.DataFrame,
    audience: pd.DataFrame,
    titles: Mapping[str, str],
    *,
    at: int,
    most_bytes: int = _MOST_PACKED_BYTES,
) -> PackedCustomers:
    """Compress the data of as many customers as fit into the page.

    Parameters
    ----------
    builder
        The data set.
    scores
        Scored rows with their segment.
    audience
        The run's audience.
    titles
        Campaign titles by campaign id.
    at
        Day number of the snapshot.
    most_bytes
        Upper limit of the compressed text.
    """
    seed = builder.config.seed
    customers = choose_customers(scores, audience, seed=seed, most=_MOST_CUSTOMERS)
    while True:
        content = json.dumps(
            _search_content(builder, scores, audience, titles, customers, at), ensure_ascii=False
        )
        packed = base64.b64encode(gzip.compress(content.encode(), mtime=0)).decode("ascii")
        if len(packed) <= most_bytes or len(customers) <= 1:
            break
        customers = customers[: max(1, int(len(customers) * 0.92 * most_bytes / len(packed)))]
    if len(customers) == len(scores):
        sentence = f"All {len(customers):,} customers can be searched."
    else:
        sentence = (
            f"{len(customers):,} of {len(scores):,} customers can be searched, because the page "
            "stays under 5 MB: campaign members with the highest expected value, and customers "
            f"drawn at random (seed {seed}). All customers are in the table of scores."
        )
    return PackedCustomers(packed, len(customers), len(scores), sentence)


def _search_content(
    builder: Builder,
    scores: pd.DataFrame,
    audience: pd.DataFrame,
    titles: Mapping[str, str],
    ids: Sequence[str],
    at: int,
) -> dict[str, Any]:
    """Return what the page shows of these customers."""
    customers = builder.history.customers
    ids = sorted(ids)
    positions = np.searchsorted(customers, np.array(ids, dtype=customers.dtype))
    scored_rows = scores.assign(customer_id=scores["customer_id"].astype(str)).set_index(
        "customer_id"
    )
    scored_rows = scored_rows.loc[ids]
    grid_days = grid_back(at, every_days=_EVERY_DAYS, first=at - _BACK_DAYS)
    activity = daily_activity(builder, positions, first=at - _BACK_DAYS, at=at)
    roles = list(dict.fromkeys(activity["role"]))
    stage_codes = stage_at(builder.taxonomy, builder.history, at, positions=positions)
    explanations = stage_reasons(
        builder.taxonomy,
        builder.history.take(positions),
        at,
        stage_codes,
        minor_units=builder.config.minor_units,
    )
    columns = [column for column in _SCORE_COLUMNS if column in scored_rows]
    return {
        "ids": ids,
        "at": day_date(at).isoformat(),
        "stages": builder.taxonomy.names,
        "roles": roles,
        "columns": columns,
        "scores": {
            column: [_compact(value) for value in scored_rows[column]] for column in columns
        },
        "grid": [at - day for day in grid_days],
        "paths": _stage_letters(stage_paths(builder, positions, grid_days)),
        "events": _events(activity, roles, len(ids), at),
        "why": explanations,
        "reasons": _reasons(scored_rows),
        "campaigns": _campaigns(audience, titles, ids),
    }


def _compact(value: Any) -> Any:
    value = json_value(value)
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _stage_letters(codes: Array) -> list[str]:
    """Encode stage codes as one letter per date (a: code 0); a dot before the first event."""
    return ["".join("." if code < 0 else chr(97 + int(code)) for code in row) for row in codes]


def _events(
    activity: pd.DataFrame, roles: Sequence[str], customers: int, at: int
) -> list[list[Any]]:
    """List by customer and role: role number, days before the snapshot, counts, amounts."""
    by_customer: list[list[Any]] = [[] for _ in range(customers)]
    role_number = {role: at for at, role in enumerate(roles)}
    for (customer, role), days in activity.groupby(["customer", "role"], sort=True):
        days_ago = (at - days["day"]).astype(int).tolist()
        counts = days["count"].astype(int).tolist()
        values = (
            []
            if days["value"].isna().all()
            else [round(float(value), 2) for value in days["value"]]
        )
        by_customer[int(customer)].append([role_number[role], days_ago, counts, values])
    return by_customer


def _reasons(rows: pd.DataFrame) -> list[list[str]]:
    columns = [column for column in _REASON_COLUMNS if column in rows]
    if not columns:
        return [[] for _ in range(len(rows))]
    return [
        [str(text) for text in line if isinstance(text, str) and text]
        for line in rows[columns].astype(object).to_numpy()
    ]


def _campaigns(
    audience: pd.DataFrame, titles: Mapping[str, str], customers: Sequence[str]
) -> list[list[Any]]:
    """List memberships by customer: title, arm, change, rank, expected value, reasons."""
    positions = {customer: at for at, customer in enumerate(customers)}
    by_customer: list[list[Any]] = [[] for _ in customers]
    listed = audience[audience["customer_id"].astype(str).isin(positions)]
    for member in listed.itertuples():
        membership = [
            titles.get(str(member.campaign_id), str(member.campaign_id)),
            member.arm,
            member.change,
        ]
        membership += [member.rank, member.expected_value, member.reasons]
        by_customer[positions[str(member.customer_id)]].append(
            [_compact(value) for value in membership]
        )
    return by_customer
