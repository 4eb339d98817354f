"""All tables of one block of customers in a life-cycle scenario."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.arrays import Array
from simulator import engagement, ground_truth, records, rows
from simulator.customers import SimulatedPeople, draw_people
from simulator.latent_state_path import simulate_paths, transition_chances
from simulator.orders import ID_BITS, add_orders, first_block_id
from simulator.rows import EventRows, add_reporting_delay, event_table
from simulator.shared_settings import BLOCK_SIZE, SimulationPlan, random_streams

# Offset of the ids of unlinked visitors: the upper half of their block's range.
_VISITOR_IDS = BLOCK_SIZE << (ID_BITS - 1)


def lifecycle_tables(plan: SimulationPlan, block: int, customers: int) -> dict[str, pa.Table]:
    """All tables of one block, cut to the first `customers` of the simulation.

    Returns
    -------
    dict
        By name: events, anonymous_events, identities, customers, consents, stage_history,
        experiments, and under ``truth/``: customers, states, snapshots, uplift, mis_stagings.
    """
    generators = random_streams(plan.seed, block)
    people = draw_people(plan, generators["people"], block)
    chances = transition_chances(plan, people, generators["people"])
    paths = simulate_paths(plan, people, chances, generators["path"])
    event_rows = EventRows()
    orders = add_orders(plan, people, paths, generators["orders"], event_rows)
    engagement.add_engagement(plan, people, paths, orders, generators["engagement"], event_rows)
    engagement.add_messages(plan, people, paths, generators["messages"], event_rows)
    events = event_rows.sorted(before=plan.end)
    known_at = records.first_known_at(plan, people, events, generators["records"])
    # Whole blocks are simulated; customers beyond the requested number are marked as unknown.
    known_at[max(customers - people.first, 0) :] = -1
    ids, anonymous = records.customer_ids(people.first), records.anonymous_ids(people.first)
    named, unnamed, first_at = _events(plan, events, known_at, generators["late"])
    history, errors = records.stage_history(plan, paths, ids, known_at, generators["records"])
    block_tables = {
        "events": _table(plan, people, named, ids),
        "anonymous_events": pa.concat_tables(
            [
                _table(plan, people, unnamed, anonymous),
                _visitors(plan, people, known_at, generators),
            ]
        ).unify_dictionaries(),
        "identities": records.identities(ids, anonymous, first_at, known_at),
        "customers": records.customers(plan, people, ids, known_at, generators["records"]),
        "consents": records.consents(plan, people, ids, known_at),
        "stage_history": history,
        "experiments": records.experiments(plan, people, paths, orders, events, ids),
        "truth/customers": ground_truth.hidden_traits(plan, people, paths, ids, known_at),
        "truth/states": ground_truth.latent_paths(plan, paths, ids),
        "truth/snapshots": ground_truth.truth_snapshots(
            plan, people, chances, paths, ids, known_at
        ),
        "truth/uplift": ground_truth.campaign_effects(plan, people, chances, paths, ids, known_at),
        "truth/mis_stagings": errors,
    }
    if people.first + BLOCK_SIZE > customers:
        wanted_ids = ids.slice(0, customers - people.first)
        for name in ("experiments", "truth/states"):
            block_tables[name] = _only(block_tables[name], wanted_ids)
    return block_tables


def _only(table: pa.Table, ids: pa.Array) -> pa.Table:
    return table.filter(pc.is_in(table["customer_id"], value_set=ids))


def _events(
    plan: SimulationPlan,
    events: dict[str, Array],
    known_at: Array,
    rng: np.random.Generator,
) -> tuple[dict[str, Array], dict[str, Array], Array]:
    """Split events into identified and anonymous ones; also return each customer's first moment."""
    settings = plan.scenario.engagement
    events["number"] = np.arange(len(events["at"]))
    events["known"] = add_reporting_delay(
        rng, events["at"], late_share=settings.late_share, mean_days=settings.late_days
    )
    # The identifying event is reported without delay; else a customer could exist without events.
    gives_name = events["at"] == known_at[events["customer"]]
    events["known"] = np.where(gives_name, events["at"], events["known"])
    has_name = events["at"] >= known_at[events["customer"]]
    # Events reported after the last day are left out.
    is_reported = (events["known"] < plan.end) & (known_at[events["customer"]] >= 0)
    first_at = np.full(BLOCK_SIZE, -1, dtype=np.int64)
    customer, position = np.unique(events["customer"], return_index=True)
    first_at[customer] = events["at"][position]
    named = {name: column[is_reported & has_name] for name, column in events.items()}
    unnamed = {name: column[is_reported & ~has_name] for name, column in events.items()}
    return named, unnamed, first_at


def _choice_names(plan: SimulationPlan) -> dict[str, pa.Array]:
    names = {
        name: pa.array(plan.choices[name]) for name in rows.CHOICE_COLUMNS if name in plan.choices
    }
    return {
        **names,
        "product_id": pa.array(plan.product_ids),
        "campaign_id": pa.array(plan.messages),
    }


def _table(
    plan: SimulationPlan,
    people: SimulatedPeople,
    events: dict[str, Array],
    ids: pa.Array,
    *,
    offset: int = 0,
) -> pa.Table:
    return event_table(
        events, _choice_names(plan), ids=ids, first_id=first_block_id(people) + offset
    )


def _visitors(
    plan: SimulationPlan,
    people: SimulatedPeople,
    known_at: Array,
    generators: dict[str, np.random.Generator],
) -> pa.Table:
    """Page views of visitors who are never linked to a customer."""
    rng, event_rows = generators["visitors"], EventRows()
    visitors = np.flatnonzero(rng.random(BLOCK_SIZE) < plan.scenario.arrival.visitors_share)
    week = rng.integers(0, plan.weeks, len(visitors))
    engagement.add_sessions(plan, people, rng, event_rows, visitors, plan.moments(rng, week))
    page_views = event_rows.sorted(before=plan.end)
    page_views["number"] = np.arange(len(page_views["at"]))
    page_views["known"] = page_views["at"]
    page_views["session_id"] = page_views["session_id"] + _VISITOR_IDS
    has_customer = known_at[page_views["customer"]] >= 0
    page_views = {name: column[has_customer] for name, column in page_views.items()}
    ids = records.anonymous_ids(people.first + 2**31)
    return _table(plan, people, page_views, ids, offset=_VISITOR_IDS)
