"""What customers do beside buying: visits, carts, forms, support, reviews; and messages to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.customers import NEVER, People, taken
from simulator.latent_state_path import Path
from simulator.orders import SENT_AT, Orders, first_id
from simulator.rows import Rows
from simulator.scenario import BUYERS, COLD, GONE, INTERESTED, SEND_CHANNELS, STATES, ByState
from simulator.shared_settings import BLOCK, DAY, WEEK, Array, Plan

# Weekday and hour at which ordinary messages of each channel go out.
USUAL = {"email": (1, 9), "sms": (4, 16), "push": (3, 18)}
# A visit has at most so many pages.
MOST_PAGES = 20
# Share of e-mails whose links a security scanner follows.
SCANNED = 0.004


@dataclass(frozen=True)
class Weeks:
    """Customer-weeks in which somebody is there and not gone.

    Attributes
    ----------
    customer, week, state
        Position in the block, week, latent state at its start.
    pace
        Activity of the customer times the season.
    """

    customer: Array
    week: Array
    state: Array
    pace: Array

    def draw(self, rng: np.random.Generator, rates: ByState) -> tuple[Array, Array]:
        """Customer and week of each event of a Poisson process with rates by state."""
        rate = by_state(rates).astype(np.float32)[self.state] * self.pace
        there = np.flatnonzero(rate > 0)
        count = rng.poisson(rate[there])
        which = np.repeat(there, count)
        return self.customer[which], self.week[which]


def by_state(rates: ByState) -> Array:
    """Rates of a mapping by state code; zero where a state is not named."""
    return np.array([rates.get(name, 0.0) for name in STATES])


def present(plan: Plan, person: People, path: Path) -> Weeks:
    """All customer-weeks between joining and leaving."""
    state = path.state[:, : plan.weeks]
    customer, week = np.nonzero((state >= 0) & (state != GONE))
    pace = (person.activity[customer] * plan.season[week]).astype(np.float32)
    return Weeks(customer, week, state[customer, week], pace)


def sign_ups(plan: Plan, person: People, path: Path) -> tuple[Array, Array]:
    """Customer and week of each first sign-up: on joining, or in the week that leads to it."""
    interested = path.state[:, : plan.weeks + 1] == INTERESTED
    customer = np.flatnonzero(interested.any(axis=1))
    entered = np.argmax(interested[customer], axis=1)
    return customer, np.maximum(entered - 1, person.join_week[customer])


def engage(
    plan: Plan, person: People, path: Path, made: Orders, rng: np.random.Generator, rows: Rows
) -> None:
    """Add visits, carts, forms, support and reviews of a block to the rows."""
    weeks, spec = present(plan, person, path), plan.scenario.engagement
    who, when = sign_ups(plan, person, path)
    signed = plan.moments(rng, when)
    rows.add("sign_up", who, signed)
    back, back_week = np.nonzero((path.state[:, :-1] == COLD) & (path.state[:, 1:] == INTERESTED))
    visitor, week = weeks.draw(rng, spec.sessions)
    joined = np.flatnonzero(person.join_week < plan.weeks)
    browsing = np.concatenate([visitor, joined, back])
    start = plan.moments(rng, np.concatenate([week, person.join_week[joined], back_week]))
    carts = _carts(plan, person, weeks, made, rng, rows)
    # A cart or a sign-up happens in a visit that began a few minutes before.
    browsing = np.concatenate([browsing, who, carts[0]])
    lead_in = rng.integers(60, 1200, len(who) + len(carts[0]))
    start = np.concatenate([start, np.concatenate([signed, carts[1]]) - lead_in])
    sessions(plan, person, rng, rows, browsing, start)
    for kind, rates in (("form", spec.lead), ("redemption", spec.claim)):
        who, when = weeks.draw(rng, rates)
        rows.add(kind, who, plan.moments(rng, when))
    _support(plan, person, weeks, rng, rows)
    who, when = weeks.draw(rng, spec.advocacy)
    at, refers = plan.moments(rng, when), rng.random(len(who)) < 0.3
    rows.add("referral", who[refers], at[refers])
    rows.add("review", who[~refers], at[~refers])


def _carts(
    plan: Plan,
    person: People,
    weeks: Weeks,
    made: Orders,
    rng: np.random.Generator,
    rows: Rows,
) -> tuple[Array, Array]:
    """Carts, abandoned ones and those of online orders; returns who and when."""
    who, when = weeks.draw(rng, plan.scenario.engagement.intent)
    left_at = plan.moments(rng, when)
    online = np.flatnonzero(made.online)
    lead = rng.integers(240, 1800, len(online))
    customer = np.concatenate([who, made.customer[online]])
    at = np.maximum(np.concatenate([left_at, made.at[online] - lead]), plan.origin)
    n = len(who)
    kind, brand = (taken(plan, rng, person, a, customer) for a in ("product_type", "brand"))
    kind[n:], brand[n:] = made.product_type[online], made.brand[online]
    size, colour = (taken(plan, rng, person, a, customer) for a in ("size", "colour"))
    rows.add("cart", customer, at, product_type=kind, brand=brand, size=size, colour=colour)
    started = np.concatenate([rng.random(n) < 0.35, np.ones(len(online), dtype=bool)])
    rows.add(
        "checkout",
        customer[started],
        at[started] + 120,
        product_type=kind[started],
        brand=brand[started],
    )
    return customer, at


def sessions(
    plan: Plan,
    person: People,
    rng: np.random.Generator,
    rows: Rows,
    customer: Array,
    start: Array,
) -> None:
    """Visits of one or more pages, each about one product type and brand."""
    single = plan.scenario.engagement.single_page_share
    pages = np.minimum(rng.geometric(single, len(customer)), MOST_PAGES)
    of = np.repeat(np.arange(len(customer)), pages)
    page = np.arange(len(of)) - np.repeat(np.cumsum(pages) - pages, pages)
    rows.add(
        "page_view",
        customer[of],
        np.maximum(start, plan.origin)[of] + page * 50 + rng.integers(0, 50, len(of)),
        session_id=first_id(person) + of,
        channel=taken(plan, rng, person, "channel", customer)[of],
        product_type=taken(plan, rng, person, "product_type", customer)[of],
        brand=taken(plan, rng, person, "brand", customer)[of],
    )


def _support(
    plan: Plan, person: People, weeks: Weeks, rng: np.random.Generator, rows: Rows
) -> None:
    """Support contacts, of which some are complaints, and how satisfied people were with them."""
    spec = plan.scenario.engagement
    who, when = weeks.draw(rng, spec.support)
    at = plan.moments(rng, when)
    unhappy = np.exp(-0.6 * person.satisfaction[who] - 0.18)
    bought = np.zeros(BLOCK, dtype=bool)
    bought[weeks.customer[np.isin(weeks.state, BUYERS)]] = True
    complains = bought[who] & (rng.random(len(who)) < spec.complaint_share * unhappy)
    rows.add("complaint", who[complains], at[complains])
    rows.add("support_contact", who[~complains], at[~complains])
    asked = rng.random(len(who)) < spec.csat_share
    mood = 3.9 + 0.8 * person.satisfaction[who] - 1.3 * complains + rng.standard_normal(len(who))
    score = np.clip(np.round(mood), 1, 5)[asked]
    later = at[asked] + rng.integers(3600, 2 * DAY, int(asked.sum()))
    rows.add("csat", who[asked], later, value=score)


def message(
    plan: Plan,
    person: People,
    path: Path,
    rng: np.random.Generator,
    rows: Rows,
) -> None:
    """Add sends, opens and clicks of a block to the rows: ordinary messages and campaigns."""
    spec = plan.scenario.messages
    reached = _contactable_from(plan, person, path)
    joined = np.flatnonzero(reached < plan.weeks)
    left = plan.weeks - reached[joined]
    customer = np.repeat(joined, left)
    # The k-th week after somebody could first be written to.
    running = np.arange(len(customer)) - np.repeat(np.cumsum(left) - left, left)
    week = reached[customer] + running
    ordinary = len(plan.scenario.campaigns)
    for channel in SEND_CHANNELS:
        day, hour = USUAL[channel]
        drawn = rng.random(len(customer), dtype=np.float32) < spec.sends.get(channel, 0.0)
        who, when = customer[drawn], week[drawn]
        may = person.consents(channel, when, who)
        who, when = who[may], when[may]
        at = plan.origin + when.astype(np.int64) * WEEK + day * DAY + hour * 3600
        at += rng.integers(0, 5400, len(who))
        _sent(plan, person, path, rng, rows, channel, (who, when, at, ordinary + when))
    for number, campaign in enumerate(plan.scenario.campaigns):
        who = np.flatnonzero(path.arm[:, number] == 1)
        when = np.full(len(who), campaign.week)
        at = np.full(len(who), plan.origin + campaign.week * WEEK + SENT_AT)
        names = np.full(len(who), number)
        _sent(plan, person, path, rng, rows, campaign.channel, (who, when, at, names))


def _contactable_from(plan: Plan, person: People, path: Path) -> Array:
    """First week in which a customer's address is known: after their sign-up or first order."""
    first = np.full(BLOCK, NEVER)
    who, when = sign_ups(plan, person, path)
    np.minimum.at(first, who, when + 1)
    bought = path.ordered.any(axis=1)
    order = np.where(bought, np.argmax(path.ordered, axis=1) + 1, NEVER)
    return np.minimum(first, order)


def _sent(
    plan: Plan,
    person: People,
    path: Path,
    rng: np.random.Generator,
    rows: Rows,
    channel: str,
    sends: tuple[Array, Array, Array, Array],
) -> None:
    """One channel's sends (customer, week, moment, message) and the answers to them."""
    spec, code = plan.scenario.messages, plan.choices["channel"].index(channel)
    who, week, at, name = sends

    def add(kind: str, some: Array, delay: Array, *, machine: int = 0) -> None:
        rows.add(
            kind,
            who[some],
            at[some] + delay,
            channel=code,
            campaign_id=name[some],
            is_machine=machine,
        )

    add("message_sent", np.arange(len(who)), np.zeros(len(who), dtype=np.int64))
    awake = by_state(spec.awake)[path.state[who, week]] * person.opening[who]
    if channel == "email":
        fetched = np.flatnonzero(person.prefetching[who])
        add("email_open", fetched, rng.integers(5, 90, len(fetched)), machine=1)
        scanned = np.flatnonzero(rng.random(len(who), dtype=np.float32) < SCANNED)
        add("message_click", scanned, rng.integers(2, 30, len(scanned)), machine=1)
        opened = np.flatnonzero(rng.random(len(who), dtype=np.float32) < spec.open * awake)
        add("email_open", opened, _delay(rng, len(opened)))
    share = spec.click.get(channel, 0.0) * awake
    clicked = np.flatnonzero(rng.random(len(who), dtype=np.float32) < share)
    add("message_click", clicked, _delay(rng, len(clicked)))


def _delay(rng: np.random.Generator, n: int) -> Array:
    """Seconds until an answer: a few hours, at most six days."""
    return np.minimum(rng.exponential(5 * 3600, n), 6 * DAY).astype(np.int64) + 60
