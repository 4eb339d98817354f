"""Tables other than events: identities, customers, consents, experiments, CRM stage records."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.arrays import Array
from simulator.customers import NO_WEEK, REGIONS, SimulatedPeople
from simulator.latent_state_path import StatePaths
from simulator.orders import SENT_AT, Orders
from simulator.rows import EVENT_CODES, coded, dates, moments
from simulator.scenario import CONSENTS, GONE, SLEEPING, STATES
from simulator.shared_settings import (
    BLOCK_SIZE,
    DAY_SECONDS,
    WEEK_SECONDS,
    SimulationPlan,
    draw_choices,
)

# Event types that identify an unknown visitor.
_NAMING_TYPES = ("sign_up", "form", "purchase", "redemption", "message_sent")
# Stages as the CRM names them, and the one it records for each latent state.
_CRM_STAGES = ("reach", "acquisition", "conversion", "retention", "loyalty", "lapsed", "dormant")
_CRM_STAGE_OF = {
    "aware": "reach",
    "interested": "acquisition",
    "deciding": "conversion",
    "new": "conversion",
    "repeat": "retention",
    "loyal": "loyalty",
    "sleeping": "lapsed",
    "cold": "dormant",
    "gone": "dormant",
}
# Mean delay of CRM records of inactivity, in weeks.
_NOTICED_WEEKS = 8.0
_ODD_FACTOR = 2_654_435_761  # odd, so that multiplication modulo 2^32 keeps ids distinct


def customer_ids(first: int) -> pa.Array:
    """Customer ids of a block by position."""
    return pa.array([f"C{number:08d}" for number in range(first, first + BLOCK_SIZE)])


def anonymous_ids(first: int) -> pa.Array:
    """Ids of anonymous visitors for the customers of a block, by position."""
    return pa.array(
        [f"anon-{number * _ODD_FACTOR % 2**32:08x}" for number in range(first, first + BLOCK_SIZE)]
    )


def first_known_at(
    plan: SimulationPlan, people: SimulatedPeople, rows: dict[str, Array], rng: np.random.Generator
) -> Array:
    """Second from which the shop knows each customer by id; -1 for customers without events.

    Anonymous visitors are linked at their first lead, order or message, or at a visit in which
    they sign in. A visitor without such an event counts as known from the first visit.
    """
    first_at = _first_moments(rows, np.arange(len(rows["at"])))
    gives_name = np.isin(rows["kind"], [EVENT_CODES[name] for name in _NAMING_TYPES])
    wait = rng.exponential(plan.scenario.arrival.known_after_days * DAY_SECONDS, BLOCK_SIZE).astype(
        np.int64
    )
    signed_in = rows["at"] >= (first_at + wait)[rows["customer"]]
    linked_at = _first_moments(rows, np.flatnonzero(gives_name | signed_in))
    return np.where(people.anonymous & (linked_at >= 0), linked_at, first_at)


def _first_moments(rows: dict[str, Array], row_numbers: Array) -> Array:
    """Earliest moment of the selected rows by customer; -1 if a customer has none."""
    first_moments = np.full(BLOCK_SIZE, -1, dtype=np.int64)
    customer, position = np.unique(rows["customer"][row_numbers], return_index=True)
    first_moments[customer] = rows["at"][row_numbers[position]]
    return first_moments


def identities(ids: pa.Array, anonymous: pa.Array, first_at: Array, known_at: Array) -> pa.Table:
    """Identity links: anonymous_id, customer_id, linked_at; one row a visitor identified later."""
    positions = np.flatnonzero(known_at > first_at)
    return pa.table(
        {
            "anonymous_id": anonymous.take(pa.array(positions)),
            "customer_id": ids.take(pa.array(positions)),
            "linked_at": moments(known_at[positions]),
        }
    )


def customers(
    plan: SimulationPlan,
    people: SimulatedPeople,
    ids: pa.Array,
    known_at: Array,
    rng: np.random.Generator,
) -> pa.Table:
    """Customers table: static attributes, invalid contact keys, consent as of the last day.

    One row a customer. `consent_<channel>_at` is the date of the last change.
    """
    positions = np.flatnonzero(known_at >= 0)
    number = people.first + positions
    regions, last_week = pa.array(REGIONS), np.full(len(positions), plan.weeks - 1)
    source = draw_choices(rng, plan.popular["channel"], BLOCK_SIZE)
    is_staff = rng.random(BLOCK_SIZE) < 0.003
    columns = {
        "customer_id": ids.take(pa.array(positions)),
        "valid_from": dates(known_at[positions]),
        "age": people.age[positions],
        "region": coded(people.region[positions], regions),
        "distance_km": people.distance_km[positions],
        "household_size": people.household[positions],
        "acquisition_source": coded(source[positions], pa.array(plan.choices["channel"])),
        "is_staff": is_staff[positions],
        "email": pa.array([f"customer{n}@simulated.invalid" for n in number]),
        "phone": pa.array([f"+000{n:010d}" for n in number]),
        "device_token": pa.array([f"simulated-device-{n}" for n in number]),
    }
    for column, name in enumerate(CONSENTS):
        weeks = _consent_weeks(people, column)[positions]
        change_week = np.where(weeks < plan.weeks, weeks, -1).max(axis=1)
        columns[f"consent_{name}"] = people.consents(name, last_week, positions)
        columns[f"consent_{name}_at"] = dates(
            _change_moment(plan, change_week, known_at[positions])
        )
    return pa.table(columns)


def _consent_weeks(people: SimulatedPeople, column: int) -> Array:
    """Weeks in which a consent is granted, withdrawn and granted again: customer x 3."""
    week_arrays = (people.granted, people.withdrawn, people.again)
    return np.stack([w[:, column] for w in week_arrays], axis=1)


def _change_moment(plan: SimulationPlan, week: Array, known_at: Array) -> Array:
    """Moment of a consent change: start of its week, or when the customer became known."""
    return np.maximum(plan.origin + np.maximum(week, 0).astype(np.int64) * WEEK_SECONDS, known_at)


def consents(
    plan: SimulationPlan, people: SimulatedPeople, ids: pa.Array, known_at: Array
) -> pa.Table:
    """Consent history: customer_id, channel, granted, changed_at (date); one row a change.

    A customer who never consented has one row with `granted` false, on the day they joined.
    """
    channel_tables = []
    for column, name in enumerate(CONSENTS):
        weeks = _consent_weeks(people, column)
        refused = np.where(weeks[:, 0] >= NO_WEEK, people.join_week, NO_WEEK)
        for granted, week in (
            (True, weeks[:, 0]),
            (False, weeks[:, 1]),
            (True, weeks[:, 2]),
            (False, refused),
        ):
            positions = np.flatnonzero((week < plan.weeks) & (known_at >= 0))
            channel_tables.append(
                pa.table(
                    {
                        "customer_id": ids.take(pa.array(positions)),
                        "channel": pa.repeat(name, len(positions)),
                        "granted": np.full(len(positions), granted),
                        "changed_at": dates(
                            _change_moment(plan, week[positions], known_at[positions])
                        ),
                    }
                )
            )
    return pa.concat_tables(channel_tables)


def experiments(
    plan: SimulationPlan,
    people: SimulatedPeople,
    paths: StatePaths,
    orders: Orders,
    rows: dict[str, Array],
    ids: pa.Array,
) -> pa.Table:
    """Randomised campaigns as single-send experiments: one row a customer on a campaign's list.

    Columns: customer_id, campaign_id, channel, sent_at, treatment (0/1), propensity (share
    treated), responded (0/1: an order within 7 local days), spend (money in those days), and
    covariates as of the send: age, urban, distance_km, household_size, orders_before,
    weeks_since_order (null: none yet), clicks_before.
    """
    is_click = rows["kind"] == EVENT_CODES["message_click"]
    human_clicks = np.flatnonzero(is_click & ~rows["is_machine"])
    campaign_tables = []
    for number, campaign in enumerate(plan.scenario.campaigns):
        positions = np.flatnonzero(paths.arm[:, number] >= 0)
        earlier_orders = paths.ordered[positions, : campaign.week]
        orders_before = earlier_orders.sum(axis=1)
        weeks_since = np.where(
            orders_before > 0, 1 + np.argmax(earlier_orders[:, ::-1], axis=1), -1
        )
        sent_at = plan.origin + campaign.week * WEEK_SECONDS + SENT_AT
        clickers = rows["customer"][human_clicks[rows["at"][human_clicks] < sent_at]]
        spent = np.zeros(BLOCK_SIZE)
        in_week = orders.week == campaign.week
        spent[orders.customer[in_week]] = orders.total[in_week]
        campaign_tables.append(
            pa.table(
                {
                    "customer_id": ids.take(pa.array(positions)),
                    "campaign_id": pa.repeat(campaign.id, len(positions)),
                    "channel": pa.repeat(campaign.channel, len(positions)),
                    "sent_at": moments(np.full(len(positions), sent_at)),
                    "treatment": paths.arm[positions, number],
                    "propensity": np.full(len(positions), campaign.treated),
                    "responded": paths.ordered[positions, campaign.week].astype(np.int8),
                    "spend": np.round(spent[positions], 2),
                    "age": people.age[positions],
                    "urban": (people.region[positions] <= 1).astype(np.int8),
                    "distance_km": people.distance_km[positions],
                    "household_size": people.household[positions],
                    "orders_before": orders_before,
                    "weeks_since_order": pa.array(weeks_since, mask=weeks_since < 0),
                    "clicks_before": np.bincount(clickers, minlength=BLOCK_SIZE)[positions],
                }
            )
        )
    return (
        pa.concat_tables(campaign_tables)
        if campaign_tables
        else pa.table({"customer_id": pa.array([], pa.string())})
    )


def state_changes(plan: SimulationPlan, paths: StatePaths) -> tuple[Array, Array, Array]:
    """Customer, week and new state (code) of every change, the first state included."""
    state = paths.state[:, : plan.weeks]
    previous = np.concatenate([np.full((BLOCK_SIZE, 1), -1, dtype=np.int8), state[:, :-1]], axis=1)
    customer, week = np.nonzero(state != previous)
    return customer, week, state[customer, week]


def stage_history(
    plan: SimulationPlan,
    paths: StatePaths,
    ids: pa.Array,
    known_at: Array,
    rng: np.random.Generator,
) -> tuple[pa.Table, pa.Table]:
    """CRM stage records with planted errors, and the list of those errors.

    Returns
    -------
    Table
        customer_id, occurred_at, known_at, stage; one row a record.
    Table
        customer_id, occurred_at, recorded, correct; one row a planted error.
    """
    settings = plan.scenario.stage_history
    customer, week, state = state_changes(plan, paths)
    recorded_at = (
        plan.origin
        + week.astype(np.int64) * WEEK_SECONDS
        + rng.integers(0, 3 * DAY_SECONDS, len(week))
    )
    lag = rng.exponential(_NOTICED_WEEKS * WEEK_SECONDS, len(week)).astype(np.int64)
    recorded_at += np.where((state == GONE) | (state == SLEEPING), lag, 0)
    recorded_at = np.maximum(recorded_at, known_at[customer])
    is_superseded = np.append(
        (customer[1:] == customer[:-1]) & (recorded_at[1:] <= recorded_at[:-1]), False
    )
    is_staged = rng.random(BLOCK_SIZE) >= settings.unstaged_share
    # A state that changes again before the CRM notices it is not recorded.
    is_recorded = (
        ~is_superseded & is_staged[customer] & (recorded_at < plan.end) & (known_at[customer] >= 0)
    )
    stage_codes = np.array([_CRM_STAGES.index(_CRM_STAGE_OF[name]) for name in STATES])
    stage = stage_codes[state]
    first_order = np.where(paths.ordered.any(axis=1), np.argmax(paths.ordered, axis=1), NO_WEEK)
    has_lapsed = (state == GONE) & (first_order[customer] < week)
    stage = np.where(has_lapsed, _CRM_STAGES.index("lapsed"), stage)
    is_wrong = rng.random(len(stage)) < settings.mis_staged
    wrong_stage = (stage + rng.integers(1, len(_CRM_STAGES), len(stage))) % len(_CRM_STAGES)
    recorded, stage_names = np.where(is_wrong, wrong_stage, stage), pa.array(_CRM_STAGES)
    planted_rows = np.flatnonzero(is_recorded & is_wrong)
    recorded_rows = np.flatnonzero(is_recorded)
    history = pa.table(
        {
            "customer_id": ids.take(pa.array(customer[recorded_rows])),
            "occurred_at": moments(recorded_at[recorded_rows]),
            "known_at": moments(recorded_at[recorded_rows]),
            "stage": coded(recorded[recorded_rows], stage_names),
        }
    )
    errors = pa.table(
        {
            "customer_id": ids.take(pa.array(customer[planted_rows])),
            "occurred_at": moments(recorded_at[planted_rows]),
            "recorded": coded(recorded[planted_rows], stage_names),
            "correct": coded(stage[planted_rows], stage_names),
        }
    )
    return history, errors
