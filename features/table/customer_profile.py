"""Snapshots: who exists at a reference date, who is eligible for what, and who they are then."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd

from features.arrays import Array
from features.calendar import day_date
from features.contracts import CUSTOMER, MONEY_ROLES, SNAPSHOT
from features.history.day_rows import FAR_PAST
from features.history.history import History
from features.lifecycle.stage_engine import decide
from features.lifecycle.stage_spells import present_stay
from features.lifecycle.sub_stages_and_flags import flags, standing_facts, sub_stages
from features.lifecycle.taxonomy import Taxonomy
from features.table.families.feature import FeatureSpec, View
from features.table.population_statistics import Everybody
from features.table.preferred_values import liking

COLD_DAYS = 30  # history shorter than this says little about a customer
THIN_PURCHASE_DAYS = 2


def existing(history: History, at: int) -> Array:
    """Positions of the customers who exist at a snapshot: an event past and known before it."""
    return np.flatnonzero(history.exists_from <= at)


def snapshot_stamp(at: int) -> pd.Timestamp:
    """A snapshot's local midnight as it stands in frames."""
    return pd.Timestamp(day_date(at)).as_unit("s")


def keys(history: History, positions: Array, at: int) -> pd.DataFrame:
    """Key columns of some customers at a snapshot."""
    return pd.DataFrame(key_columns(history, positions, at))


def key_columns(history: History, positions: Array, at: int) -> dict[str, Array]:
    """Key columns as arrays, by name."""
    stamp = np.full(len(positions), snapshot_stamp(at).to_datetime64())
    return {CUSTOMER: history.customers[positions].astype(object), SNAPSHOT: stamp}


def bought_within(view: View, days: int | None) -> Array:
    """Whether each customer bought within some days of the snapshot (None: ever)."""
    return view.last("purchase", days or 0).count > 0


def net_spend(view: View, *, refunds: str) -> Array:
    """Spend so far in major units; refunds are netted in unless the config keeps them apart."""
    roles = MONEY_ROLES if refunds == "net" else ("purchase",)
    return np.sum([view.money(view.last(role, 0).value) for role in roles], axis=0)


def profile_columns(
    history: History,
    taxonomy: Taxonomy,
    spec: FeatureSpec,
    at: int,
    *,
    refunds: str,
    data_through: int,
    everybody: Everybody | None = None,
) -> dict[str, Array]:
    """Facts of the scored row that no model makes: one value an existing customer, by column.

    Parameters
    ----------
    history, taxonomy, spec
        The events, the rules and the declared attributes.
    at
        Day number of the snapshot.
    refunds
        The config's setting.
    data_through
        Day number of the last day of events.
    everybody
        Facts of all customers, where the history holds only some of them.

    Returns
    -------
    dict
        customer_id, snapshot_at, data_through, sub_stage, stage_since, previous_stage,
        stage_change_cause, historic_clv, average_order_value, average_days_between_orders,
        ``preferred_*`` and ``interest_*`` (with ``_share`` and ``_n``), preferred_channel, flags,
        score_quality. Null: never in another stage; never bought; nothing chosen.
    """
    known_history = history.known_before(at)
    positions = existing(history, at)
    view = View(known_history, at, spec.minor_units)
    stay = present_stay(taxonomy, history, at)
    facts = standing_facts(taxonomy, history, at, stay=stay)
    sub_stage = sub_stages(taxonomy, facts, decide(taxonomy, facts))
    names = np.array([*taxonomy.names, None], dtype=object)
    previous = names[stay.previous]  # code -1 takes the last name, which stands for none
    purchase_days = view.purchases
    columns: dict[str, Array] = {
        **key_columns(history, positions, at),
        "data_through": np.full(len(positions), snapshot_stamp(data_through).to_datetime64()),
        "sub_stage": sub_stage[positions],
        "stage_since": _stamps(stay.since[positions]),
        "previous_stage": previous[positions],
        "stage_change_cause": stay.cause[positions],
        "historic_clv": net_spend(view, refunds=refunds)[positions],
        "average_order_value": purchase_days.mean(purchase_days.customer, purchase_days.amount)[
            positions
        ],
        "average_days_between_orders": purchase_days.mean(*purchase_days.gaps)[positions],
        "flags": _flag_lists(flags(taxonomy, facts), view.customers)[positions],
        "score_quality": _quality(view)[positions],
    }
    columns |= {name: values[positions] for name, values in liking(view, spec, everybody).items()}
    return columns


def _flag_lists(truth: Mapping[str, Array], customers: int) -> Array:
    """JSON list of the flags that hold, one a customer; equal lists are made once."""
    flag_bits = np.zeros(customers, dtype=np.int64)
    for bit, holds in enumerate(truth.values()):
        flag_bits |= holds.astype(np.int64) << bit
    combinations, combination_of = np.unique(flag_bits, return_inverse=True)
    texts = [
        json.dumps([name for bit, name in enumerate(truth) if int(combination) >> bit & 1])
        for combination in combinations
    ]
    return np.array(texts, dtype=object)[combination_of]


def _stamps(days: Array) -> Array:
    return days.astype("datetime64[D]").astype("datetime64[s]")


def _quality(view: View) -> Array:
    first_day = np.full(view.customers, np.inf)
    for role in view.history.roles:
        day = view.last(role, 0).first_day
        first_day = np.where(day > FAR_PAST, np.minimum(first_day, day), first_day)
    cold = view.at - first_day < COLD_DAYS
    thin = view.purchases.n <= THIN_PURCHASE_DAYS
    return np.where(cold, "cold", np.where(thin, "thin", "ok")).astype(object)
