"""One block of customers: every table of the lifecycle scenario, from the block's own streams."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simulator import engagement, ground_truth, records, rows
from simulator.customers import People, people
from simulator.latent_state_path import chances, walk
from simulator.orders import ID_BITS, first_id, orders
from simulator.rows import Rows, event_table, known_at
from simulator.shared_settings import BLOCK, Array, Plan, streams

# Ids of unlinked visitors' events lie in the upper half of their block's range.
VISITORS = BLOCK << (ID_BITS - 1)


def tables(plan: Plan, block: int, customers: int) -> dict[str, pa.Table]:
    """All tables of one block, cut to the first `customers` of the simulation.

    Returns
    -------
    dict
        By name: events, anonymous_events, identities, customers, consents, stage_history,
        experiments, and under ``truth/``: customers, states, snapshots, uplift, mis_stagings.
    """
    stream = streams(plan.seed, block)
    person = people(plan, stream["people"], block)
    chance = chances(plan, person, stream["people"])
    path = walk(plan, person, chance, stream["path"])
    gathered = Rows()
    made = orders(plan, person, path, stream["orders"], gathered)
    engagement.engage(plan, person, path, made, stream["engagement"], gathered)
    engagement.message(plan, person, path, stream["messages"], gathered)
    happened = gathered.sorted(before=plan.end)
    known = records.known_from(plan, person, happened, stream["records"])
    # Customers beyond the last one asked for exist, so that the others do not depend on it.
    known[max(customers - person.first, 0) :] = -1
    ids, anonymous = records.customer_ids(person.first), records.anonymous_ids(person.first)
    named, unnamed, first = _events(plan, happened, known, stream["late"])
    history, errors = records.stage_history(plan, path, ids, known, stream["records"])
    block_tables = {
        "events": _table(plan, person, named, ids),
        "anonymous_events": pa.concat_tables(
            [_table(plan, person, unnamed, anonymous), _visitors(plan, person, known, stream)]
        ).unify_dictionaries(),
        "identities": records.identities(ids, anonymous, first, known),
        "customers": records.customers(plan, person, ids, known, stream["records"]),
        "consents": records.consents(plan, person, ids, known),
        "stage_history": history,
        "experiments": records.experiments(plan, person, path, made, happened, ids),
        "truth/customers": ground_truth.traits(plan, person, path, ids, known),
        "truth/states": ground_truth.states(plan, path, ids),
        "truth/snapshots": ground_truth.snapshots(plan, person, chance, path, ids, known),
        "truth/uplift": ground_truth.uplift(plan, chance, path, ids, known),
        "truth/mis_stagings": errors,
    }
    if person.first + BLOCK > customers:
        here = ids.slice(0, customers - person.first)
        for name in ("experiments", "truth/states"):
            block_tables[name] = _only(block_tables[name], here)
    return block_tables


def _only(table: pa.Table, ids: pa.Array) -> pa.Table:
    return table.filter(pc.is_in(table["customer_id"], value_set=ids))


def _events(
    plan: Plan,
    happened: dict[str, Array],
    known: Array,
    rng: np.random.Generator,
) -> tuple[dict[str, Array], dict[str, Array], Array]:
    """Rows under the customer's name, rows from before they had one, and each first moment."""
    spec = plan.scenario.engagement
    happened["number"] = np.arange(len(happened["at"]))
    happened["known"] = known_at(rng, happened["at"], share=spec.late_share, days=spec.late_days)
    # How somebody came to be known is known at once, or they would exist without an event.
    naming = happened["at"] == known[happened["customer"]]
    happened["known"] = np.where(naming, happened["at"], happened["known"])
    by_name = happened["at"] >= known[happened["customer"]]
    # What the shop has not yet heard of on the last day is not in its tables.
    there = (happened["known"] < plan.end) & (known[happened["customer"]] >= 0)
    first = np.full(BLOCK, -1, dtype=np.int64)
    customer, position = np.unique(happened["customer"], return_index=True)
    first[customer] = happened["at"][position]
    named = {name: column[there & by_name] for name, column in happened.items()}
    unnamed = {name: column[there & ~by_name] for name, column in happened.items()}
    return named, unnamed, first


def _names(plan: Plan) -> dict[str, pa.Array]:
    names = {name: pa.array(plan.choices[name]) for name in rows.CODED if name in plan.choices}
    return {
        **names,
        "product_id": pa.array(plan.product_ids),
        "campaign_id": pa.array(plan.messages),
    }


def _table(
    plan: Plan, person: People, some: dict[str, Array], ids: pa.Array, *, offset: int = 0
) -> pa.Table:
    return event_table(some, _names(plan), ids=ids, first_id=first_id(person) + offset)


def _visitors(
    plan: Plan, person: People, known: Array, stream: dict[str, np.random.Generator]
) -> pa.Table:
    """Page views of visitors who are never linked to anybody."""
    rng, gathered = stream["visitors"], Rows()
    who = np.flatnonzero(rng.random(BLOCK) < plan.scenario.arrival.visitors_share)
    week = rng.integers(0, plan.weeks, len(who))
    engagement.sessions(plan, person, rng, gathered, who, plan.moments(rng, week))
    seen = gathered.sorted(before=plan.end)
    seen["number"] = np.arange(len(seen["at"]))
    seen["known"] = seen["at"]
    seen["session_id"] = seen["session_id"] + VISITORS
    beside = known[seen["customer"]] >= 0
    seen = {name: column[beside] for name, column in seen.items()}
    ids = records.anonymous_ids(person.first + 2**31)
    return _table(plan, person, seen, ids, offset=VISITORS)
