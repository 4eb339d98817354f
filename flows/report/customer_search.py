"""The searchable customers: who they are, how they were chosen, and all that the page tells."""

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
from flows.report.customer_timeline import paths, timelines
from flows.report.figure import plain

MOST_CUSTOMERS = 5_000
MOST_BYTES = 2_600_000  # of the packed text: the rest of the page needs about 1.3 MB
BACK_DAYS = 364
EVERY_DAYS = 7
SCORE_COLUMNS = (
    "stage", "sub_stage", "stage_since", "previous_stage", "stage_change_cause",
    "stage_predicted", "stage_confidence", "next_stage", "p_move", "expected_transition_at",
    "lapses_at_if_silent", "p_churn", "churn_band", "p_first_purchase", "lead_score", "lead_band",
    "p_reactivate", "p_any_order", "expected_orders", "expected_next_order_at",
    "average_order_value", "average_days_between_orders", "historic_clv", "clv", "clv_low",
    "clv_high", "value_tier", "preferred_channel", "score_quality", "segment",
)  # fmt: skip
REASON_COLUMNS = ("reason_1", "reason_2", "reason_3")


@dataclass(frozen=True)
class People:
    """The searchable customers.

    Attributes
    ----------
    packed
        JSON, compressed with gzip, as base64 text.
    n, of
        How many are searchable, of how many.
    chosen
        A sentence on how they were chosen.
    """

    packed: str
    n: int
    of: int
    chosen: str


def choose(scores: pd.DataFrame, audience: pd.DataFrame, *, seed: int, most: int) -> list[str]:
    """Ids of the customers to be searchable, the first ones first should room be short.

    Members of campaigns and the others take turns: members by expected value, the others drawn at
    random (seeded), so that every stage has its share.
    """
    ids = scores["customer_id"].astype(str)
    there = audience[audience["change"] != "removed"].sort_values(
        ["expected_value", "customer_id"], ascending=[False, True], na_position="last"
    )
    members = [c for c in dict.fromkeys(there["customer_id"].astype(str)) if c in set(ids)]
    drawn = ids.iloc[np.random.default_rng(seed).permutation(len(ids))]
    found: dict[str, None] = {}
    for place in range(max(len(members), len(drawn))):
        for source in (members, drawn):
            if place < len(source):
                found[str(source[place] if source is members else drawn.iloc[place])] = None
        if len(found) >= most:
            break
    return list(found)[:most]


def people(
    builder: Builder,
    scores: pd.DataFrame,
    audience: pd.DataFrame,
    titles: Mapping[str, str],
    *,
    at: int,
    most_bytes: int = MOST_BYTES,
) -> People:
    """Pack what the page tells of single customers, as many of them as there is room for.

    Parameters
    ----------
    builder
        The data set.
    scores
        Scored rows with their segment.
    audience
        The run's audience.
    titles
        Title of every campaign by its id.
    at
        Day number of the snapshot.
    most_bytes
        Room for the packed text.
    """
    seed = builder.config.seed
    ids = choose(scores, audience, seed=seed, most=MOST_CUSTOMERS)
    while True:
        text = json.dumps(_told(builder, scores, audience, titles, ids, at), ensure_ascii=False)
        packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode("ascii")
        if len(packed) <= most_bytes or len(ids) <= 1:
            break
        ids = ids[: max(1, int(len(ids) * 0.92 * most_bytes / len(packed)))]
    if len(ids) == len(scores):
        chosen = f"All {len(ids):,} customers can be searched."
    else:
        chosen = (
            f"{len(ids):,} of {len(scores):,} customers can be searched, since the page stays "
            "under 5 MB: campaign members of the highest expected value and customers drawn at "
            f"random (seed {seed}), in turns. Everyone is in the table customer_scores."
        )
    return People(packed, len(ids), len(scores), chosen)


def _told(
    builder: Builder,
    scores: pd.DataFrame,
    audience: pd.DataFrame,
    titles: Mapping[str, str],
    ids: Sequence[str],
    at: int,
) -> dict[str, Any]:
    """All that the page tells of these customers."""
    customers = builder.history.customers
    ids = sorted(ids)
    positions = np.searchsorted(customers, np.array(ids, dtype=customers.dtype))
    rows = scores.assign(customer_id=scores["customer_id"].astype(str)).set_index("customer_id")
    rows = rows.loc[ids]
    grid = grid_back(at, every_days=EVERY_DAYS, first=at - BACK_DAYS)
    days = timelines(builder, positions, first=at - BACK_DAYS, at=at)
    roles = list(dict.fromkeys(days["role"]))
    code = stage_at(builder.taxonomy, builder.history, at, positions=positions)
    why = stage_reasons(
        builder.taxonomy,
        builder.history.take(positions),
        at,
        code,
        minor_units=builder.config.minor_units,
    )
    columns = [name for name in SCORE_COLUMNS if name in rows]
    return {
        "ids": ids,
        "at": day_date(at).isoformat(),
        "stages": builder.taxonomy.names,
        "roles": roles,
        "columns": columns,
        "scores": {name: [_short(v) for v in rows[name]] for name in columns},
        "grid": [at - day for day in grid],
        "paths": _letters(paths(builder, positions, grid)),
        "events": _events(days, roles, len(ids), at),
        "why": why,
        "reasons": _reasons(rows),
        "campaigns": _campaigns(audience, titles, ids),
    }


def _short(value: Any) -> Any:
    value = plain(value)
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _letters(codes: Array) -> list[str]:
    """A letter a date: a for the first stage; a dot for who did not exist yet."""
    return ["".join("." if c < 0 else chr(97 + int(c)) for c in row) for row in codes]


def _events(days: pd.DataFrame, roles: Sequence[str], n: int, at: int) -> list[list[Any]]:
    """By customer and role: days before the snapshot, counts, and amounts where there are any."""
    found: list[list[Any]] = [[] for _ in range(n)]
    number = {role: at for at, role in enumerate(roles)}
    for (customer, role), rows in days.groupby(["customer", "role"], sort=True):
        ago = (at - rows["day"]).astype(int).tolist()
        counts = rows["count"].astype(int).tolist()
        values = [] if rows["value"].isna().all() else [round(float(v), 2) for v in rows["value"]]
        found[int(customer)].append([number[role], ago, counts, values])
    return found


def _reasons(rows: pd.DataFrame) -> list[list[str]]:
    there = [name for name in REASON_COLUMNS if name in rows]
    if not there:
        return [[] for _ in range(len(rows))]
    return [
        [str(text) for text in line if isinstance(text, str) and text]
        for line in rows[there].astype(object).to_numpy()
    ]


def _campaigns(
    audience: pd.DataFrame, titles: Mapping[str, str], ids: Sequence[str]
) -> list[list[Any]]:
    """By customer: title, arm, change, rank, expected value and reasons of each membership."""
    place = {name: at for at, name in enumerate(ids)}
    found: list[list[Any]] = [[] for _ in ids]
    there = audience[audience["customer_id"].astype(str).isin(place)]
    for row in there.itertuples():
        told = [titles.get(str(row.campaign_id), str(row.campaign_id)), row.arm, row.change]
        told += [row.rank, row.expected_value, row.reasons]
        found[place[str(row.customer_id)]].append([_short(value) for value in told])
    return found
