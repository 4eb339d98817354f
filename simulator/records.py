"""Tables beside the events: identities, customers, consents, experiments, the CRM's stages."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from simulator.customers import NEVER, REGIONS, People
from simulator.latent_state_path import Path
from simulator.orders import SENT_AT, Orders
from simulator.rows import CODE, coded, dates, moments
from simulator.scenario import CONSENTS, GONE, SLEEPING, STATES
from simulator.shared_settings import BLOCK, DAY, WEEK, Array, Plan, choose

# Event types by which an unknown visitor gives their name.
NAMING = ("sign_up", "form", "purchase", "redemption", "message_sent")
# Where the CRM has no better word it writes what its people would.
CRM_STAGES = ("reach", "acquisition", "conversion", "retention", "loyalty", "lapsed", "dormant")
CRM_STAGE_OF = {
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
# The CRM notices silence late: mean weeks.
NOTICED_WEEKS = 8.0
ONE_TO_ONE = 2_654_435_761  # odd: multiplying by it modulo 2^32 never makes two ids one


def customer_ids(first: int) -> pa.Array:
    """Customer names of a block by position."""
    return pa.array([f"C{number:08d}" for number in range(first, first + BLOCK)])


def anonymous_ids(first: int) -> pa.Array:
    """Names under which the customers of a block first visit, by position."""
    return pa.array(
        [f"anon-{number * ONE_TO_ONE % 2**32:08x}" for number in range(first, first + BLOCK)]
    )


def known_from(
    plan: Plan, person: People, rows: dict[str, Array], rng: np.random.Generator
) -> Array:
    """Second from which the shop knows each customer by name; -1 for those with no event.

    Anonymous visitors are linked by their first lead, order or message, or on a visit in which they
    sign in. Whoever would never be linked was known from the first visit.
    """
    first = _first(rows, np.arange(len(rows["at"])))
    naming = np.isin(rows["kind"], [CODE[name] for name in NAMING])
    wait = rng.exponential(plan.scenario.arrival.known_after_days * DAY, BLOCK).astype(np.int64)
    signed_in = rows["at"] >= (first + wait)[rows["customer"]]
    linked = _first(rows, np.flatnonzero(naming | signed_in))
    return np.where(person.anonymous & (linked >= 0), linked, first)


def _first(rows: dict[str, Array], which: Array) -> Array:
    """Earliest moment of some rows by customer, -1 where there is none."""
    found = np.full(BLOCK, -1, dtype=np.int64)
    customer, position = np.unique(rows["customer"][which], return_index=True)
    found[customer] = rows["at"][which[position]]
    return found


def identities(ids: pa.Array, anonymous: pa.Array, first: Array, known: Array) -> pa.Table:
    """anonymous_id, customer_id, linked_at: visitors who gave their name later."""
    who = np.flatnonzero(known > first)
    return pa.table(
        {
            "anonymous_id": anonymous.take(pa.array(who)),
            "customer_id": ids.take(pa.array(who)),
            "linked_at": moments(known[who]),
        }
    )


def customers(
    plan: Plan, person: People, ids: pa.Array, known: Array, rng: np.random.Generator
) -> pa.Table:
    """Customers: static attributes, invalid contact keys, consent as of the last day.

    One row a customer. `consent_<channel>_at` is the day of the last change.
    """
    who = np.flatnonzero(known >= 0)
    number = person.first + who
    regions, last = pa.array(REGIONS), np.full(len(who), plan.weeks - 1)
    source = choose(rng, plan.popular["channel"], BLOCK)
    staff = rng.random(BLOCK) < 0.003
    columns = {
        "customer_id": ids.take(pa.array(who)),
        "valid_from": dates(known[who]),
        "age": person.age[who],
        "region": coded(person.region[who], regions),
        "distance_km": person.distance_km[who],
        "household_size": person.household[who],
        "acquisition_source": coded(source[who], pa.array(plan.choices["channel"])),
        "is_staff": staff[who],
        "email": pa.array([f"customer{n}@simulated.invalid" for n in number]),
        "phone": pa.array([f"+000{n:010d}" for n in number]),
        "device_token": pa.array([f"simulated-device-{n}" for n in number]),
    }
    for column, name in enumerate(CONSENTS):
        weeks = _changes(person, column)[who]
        changed = np.where(weeks < plan.weeks, weeks, -1).max(axis=1)
        columns[f"consent_{name}"] = person.consents(name, last, who)
        columns[f"consent_{name}_at"] = dates(_change_moment(plan, changed, known[who]))
    return pa.table(columns)


def _changes(person: People, column: int) -> Array:
    """Weeks in which a consent is granted, withdrawn and granted again: customer x 3."""
    weeks = (person.granted, person.withdrawn, person.again)
    return np.stack([w[:, column] for w in weeks], axis=1)


def _change_moment(plan: Plan, week: Array, known: Array) -> Array:
    """Moment of a change of consent: within its week, never before the customer was known."""
    return np.maximum(plan.origin + np.maximum(week, 0).astype(np.int64) * WEEK, known)


def consents(plan: Plan, person: People, ids: pa.Array, known: Array) -> pa.Table:
    """Consent history: customer_id, channel, granted, changed_at (date); one row a change.

    Whoever never consented has one row that says so, on the day they became known.
    """
    parts = []
    for column, name in enumerate(CONSENTS):
        weeks = _changes(person, column)
        refused = np.where(weeks[:, 0] >= NEVER, person.join_week, NEVER)
        for granted, week in (
            (True, weeks[:, 0]),
            (False, weeks[:, 1]),
            (True, weeks[:, 2]),
            (False, refused),
        ):
            who = np.flatnonzero((week < plan.weeks) & (known >= 0))
            parts.append(
                pa.table(
                    {
                        "customer_id": ids.take(pa.array(who)),
                        "channel": pa.repeat(name, len(who)),
                        "granted": np.full(len(who), granted),
                        "changed_at": dates(_change_moment(plan, week[who], known[who])),
                    }
                )
            )
    return pa.concat_tables(parts)


def experiments(
    plan: Plan, person: People, path: Path, made: Orders, rows: dict[str, Array], ids: pa.Array
) -> pa.Table:
    """Randomised campaigns as single-send experiments: one row a customer on a campaign's list.

    Columns: customer_id, campaign_id, channel, sent_at, treatment (0/1), propensity (share
    treated), responded (0/1: an order within 7 local days), spend (money in those days), and
    covariates as of the send: age, urban, distance_km, household_size, orders_before,
    weeks_since_order (null: none yet), clicks_before.
    """
    clicks = rows["kind"] == CODE["message_click"]
    human = np.flatnonzero(clicks & ~rows["is_machine"])
    parts = []
    for number, campaign in enumerate(plan.scenario.campaigns):
        who = np.flatnonzero(path.arm[:, number] >= 0)
        earlier = path.ordered[who, : campaign.week]
        count = earlier.sum(axis=1)
        since = np.where(count > 0, 1 + np.argmax(earlier[:, ::-1], axis=1), -1)
        at = plan.origin + campaign.week * WEEK + SENT_AT
        before = rows["customer"][human[rows["at"][human] < at]]
        spent = np.zeros(BLOCK)
        mine = made.week == campaign.week
        spent[made.customer[mine]] = made.total[mine]
        parts.append(
            pa.table(
                {
                    "customer_id": ids.take(pa.array(who)),
                    "campaign_id": pa.repeat(campaign.id, len(who)),
                    "channel": pa.repeat(campaign.channel, len(who)),
                    "sent_at": moments(np.full(len(who), at)),
                    "treatment": path.arm[who, number],
                    "propensity": np.full(len(who), campaign.treated),
                    "responded": path.ordered[who, campaign.week].astype(np.int8),
                    "spend": np.round(spent[who], 2),
                    "age": person.age[who],
                    "urban": (person.region[who] <= 1).astype(np.int8),
                    "distance_km": person.distance_km[who],
                    "household_size": person.household[who],
                    "orders_before": count,
                    "weeks_since_order": pa.array(since, mask=since < 0),
                    "clicks_before": np.bincount(before, minlength=BLOCK)[who],
                }
            )
        )
    return (
        pa.concat_tables(parts) if parts else pa.table({"customer_id": pa.array([], pa.string())})
    )


def state_changes(plan: Plan, path: Path) -> tuple[Array, Array, Array]:
    """Customer, week and new state (code) of every change, the first state included."""
    state = path.state[:, : plan.weeks]
    before = np.concatenate([np.full((BLOCK, 1), -1, dtype=np.int8), state[:, :-1]], axis=1)
    customer, week = np.nonzero(state != before)
    return customer, week, state[customer, week]


def stage_history(
    plan: Plan, path: Path, ids: pa.Array, known: Array, rng: np.random.Generator
) -> tuple[pa.Table, pa.Table]:
    """The CRM's stage records, some of them wrong, and which those are.

    Returns
    -------
    Table
        customer_id, occurred_at, known_at, stage; one row a record.
    Table
        customer_id, occurred_at, recorded, correct: the planted errors.
    """
    spec = plan.scenario.stage_history
    customer, week, state = state_changes(plan, path)
    at = plan.origin + week.astype(np.int64) * WEEK + rng.integers(0, 3 * DAY, len(week))
    lag = rng.exponential(NOTICED_WEEKS * WEEK, len(week)).astype(np.int64)
    at += np.where((state == GONE) | (state == SLEEPING), lag, 0)
    at = np.maximum(at, known[customer])
    follows = np.append((customer[1:] == customer[:-1]) & (at[1:] <= at[:-1]), False)
    staged = rng.random(BLOCK) >= spec.unstaged_share
    # What has changed again before anybody noticed is never recorded.
    kept = ~follows & staged[customer] & (at < plan.end) & (known[customer] >= 0)
    names = np.array([CRM_STAGES.index(CRM_STAGE_OF[name]) for name in STATES])
    stage = names[state]
    ever = np.where(path.ordered.any(axis=1), np.argmax(path.ordered, axis=1), NEVER)
    left = (state == GONE) & (ever[customer] < week)
    stage = np.where(left, CRM_STAGES.index("lapsed"), stage)
    wrong = rng.random(len(stage)) < spec.mis_staged
    other = (stage + rng.integers(1, len(CRM_STAGES), len(stage))) % len(CRM_STAGES)
    recorded, texts = np.where(wrong, other, stage), pa.array(CRM_STAGES)
    planted = np.flatnonzero(kept & wrong)
    rows = np.flatnonzero(kept)
    history = pa.table(
        {
            "customer_id": ids.take(pa.array(customer[rows])),
            "occurred_at": moments(at[rows]),
            "known_at": moments(at[rows]),
            "stage": coded(recorded[rows], texts),
        }
    )
    errors = pa.table(
        {
            "customer_id": ids.take(pa.array(customer[planted])),
            "occurred_at": moments(at[planted]),
            "recorded": coded(recorded[planted], texts),
            "correct": coded(stage[planted], texts),
        }
    )
    return history, errors
