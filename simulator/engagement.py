"""Events other than orders: visits, carts, forms, support, reviews, messages and answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from features.arrays import Array
from simulator.customers import NO_WEEK, SimulatedPeople, choose_attribute
from simulator.latent_state_path import StatePaths
from simulator.message_fatigue import Sends, with_fatigue
from simulator.orders import SENT_AT, Orders, first_block_id
from simulator.rows import EventRows
from simulator.scenario import BUYERS, COLD, GONE, INTERESTED, SEND_CHANNELS, STATES, ByState
from simulator.shared_settings import BLOCK_SIZE, DAY_SECONDS, WEEK_SECONDS, SimulationPlan

# Weekday (Monday is 0) and hour at which ordinary messages of each channel are sent.
_SEND_TIMES = {"email": (1, 9), "sms": (4, 16), "push": (3, 18)}
# Most pages of a visit.
_MOST_PAGES = 20
# Share of e-mails with links that a security scanner follows.
_SCANNED_SHARE = 0.004


@dataclass(frozen=True)
class _CustomerWeeks:
    """Pairs of customer and week in which the customer has joined and not dropped out.

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
        """Draw customer and week of each event of a Poisson process with weekly rates by state."""
        rate = _rates_by_state(rates).astype(np.float32)[self.state] * self.pace
        active_rows = np.flatnonzero(rate > 0)
        event_counts = rng.poisson(rate[active_rows])
        event_rows = np.repeat(active_rows, event_counts)
        return self.customer[event_rows], self.week[event_rows]


def _rates_by_state(rates: ByState) -> Array:
    """Rates by state code; 0 for states that the mapping lacks."""
    return np.array([rates.get(name, 0.0) for name in STATES])


def _active_weeks(
    plan: SimulationPlan, people: SimulatedPeople, paths: StatePaths
) -> _CustomerWeeks:
    """All pairs of customer and week between joining and drop-out."""
    state = paths.state[:, : plan.weeks]
    customer, week = np.nonzero((state >= 0) & (state != GONE))
    pace = (people.activity[customer] * plan.season[week]).astype(np.float32)
    return _CustomerWeeks(customer, week, state[customer, week], pace)


def _sign_ups(
    plan: SimulationPlan, people: SimulatedPeople, paths: StatePaths
) -> tuple[Array, Array]:
    """Customer and week of each sign-up: the week before the first state `interested`."""
    interested = paths.state[:, : plan.weeks + 1] == INTERESTED
    customer = np.flatnonzero(interested.any(axis=1))
    entered = np.argmax(interested[customer], axis=1)
    return customer, np.maximum(entered - 1, people.join_week[customer])


def add_engagement(
    plan: SimulationPlan,
    people: SimulatedPeople,
    paths: StatePaths,
    orders: Orders,
    rng: np.random.Generator,
    rows: EventRows,
) -> None:
    """Add visits, carts, forms, support and reviews of a block to the rows."""
    customer_weeks, engagement = _active_weeks(plan, people, paths), plan.scenario.engagement
    sign_up_customer, when = _sign_ups(plan, people, paths)
    signed_up_at = plan.moments(rng, when)
    rows.add("sign_up", sign_up_customer, signed_up_at)
    returning, returning_week = np.nonzero(
        (paths.state[:, :-1] == COLD) & (paths.state[:, 1:] == INTERESTED)
    )
    visitor, visit_week = customer_weeks.draw(rng, engagement.sessions)
    joined = np.flatnonzero(people.join_week < plan.weeks)
    browsing = np.concatenate([visitor, joined, returning])
    starts_at = people.at_own_hours(
        plan.moments(rng, np.concatenate([visit_week, people.join_week[joined], returning_week])),
        browsing,
    )
    carts = _add_carts(plan, people, customer_weeks, orders, rng, rows)
    # Each cart and sign-up gets a visit that begins 1 to 20 minutes before it.
    browsing = np.concatenate([browsing, sign_up_customer, carts[0]])
    lead_in = rng.integers(60, 1200, len(sign_up_customer) + len(carts[0]))
    starts_at = np.concatenate([starts_at, np.concatenate([signed_up_at, carts[1]]) - lead_in])
    add_sessions(plan, people, rng, rows, browsing, starts_at)
    for event_type, rates in (("form", engagement.lead), ("redemption", engagement.claim)):
        sign_up_customer, when = customer_weeks.draw(rng, rates)
        rows.add(event_type, sign_up_customer, plan.moments(rng, when))
    _add_support(plan, people, customer_weeks, rng, rows)
    sign_up_customer, when = customer_weeks.draw(rng, engagement.advocacy)
    moment, refers = plan.moments(rng, when), rng.random(len(sign_up_customer)) < 0.3
    rows.add("referral", sign_up_customer[refers], moment[refers])
    rows.add("review", sign_up_customer[~refers], moment[~refers])


def _add_carts(
    plan: SimulationPlan,
    people: SimulatedPeople,
    customer_weeks: _CustomerWeeks,
    orders: Orders,
    rng: np.random.Generator,
    rows: EventRows,
) -> tuple[Array, Array]:
    """Add abandoned carts and those of online orders; return customer and moment of each."""
    intent_customer, intent_week = customer_weeks.draw(rng, plan.scenario.engagement.intent)
    left_at = plan.moments(rng, intent_week)
    online = np.flatnonzero(orders.online)
    seconds_before = rng.integers(240, 1800, len(online))
    customer = np.concatenate([intent_customer, orders.customer[online]])
    moment = np.maximum(np.concatenate([left_at, orders.at[online] - seconds_before]), plan.origin)
    abandoned = len(intent_customer)
    product_type, brand = (
        choose_attribute(plan, rng, people, a, customer) for a in ("product_type", "brand")
    )
    product_type[abandoned:], brand[abandoned:] = orders.product_type[online], orders.brand[online]
    size, colour = (choose_attribute(plan, rng, people, a, customer) for a in ("size", "colour"))
    rows.add(
        "cart", customer, moment, product_type=product_type, brand=brand, size=size, colour=colour
    )
    started = np.concatenate([rng.random(abandoned) < 0.35, np.ones(len(online), dtype=bool)])
    rows.add(
        "checkout",
        customer[started],
        moment[started] + 120,
        product_type=product_type[started],
        brand=brand[started],
    )
    return customer, moment


def add_sessions(
    plan: SimulationPlan,
    people: SimulatedPeople,
    rng: np.random.Generator,
    rows: EventRows,
    customer: Array,
    starts_at: Array,
) -> None:
    """Add visits of one or more pages; a visit has one channel, product type and brand."""
    single = plan.scenario.engagement.single_page_share
    page_count = np.minimum(rng.geometric(single, len(customer)), _MOST_PAGES)
    session = np.repeat(np.arange(len(customer)), page_count)
    page_number = np.arange(len(session)) - np.repeat(
        np.cumsum(page_count) - page_count, page_count
    )
    rows.add(
        "page_view",
        customer[session],
        np.maximum(starts_at, plan.origin)[session]
        + page_number * 50
        + rng.integers(0, 50, len(session)),
        session_id=first_block_id(people) + session,
        channel=choose_attribute(plan, rng, people, "channel", customer)[session],
        product_type=choose_attribute(plan, rng, people, "product_type", customer)[session],
        brand=choose_attribute(plan, rng, people, "brand", customer)[session],
    )


def _add_support(
    plan: SimulationPlan,
    people: SimulatedPeople,
    customer_weeks: _CustomerWeeks,
    rng: np.random.Generator,
    rows: EventRows,
) -> None:
    """Add support contacts, complaints and satisfaction scores (1 to 5)."""
    settings = plan.scenario.engagement
    customer, week = customer_weeks.draw(rng, settings.support)
    moment = plan.moments(rng, week)
    dissatisfaction = np.exp(-0.6 * people.satisfaction[customer] - 0.18)
    has_bought = np.zeros(BLOCK_SIZE, dtype=bool)
    has_bought[customer_weeks.customer[np.isin(customer_weeks.state, BUYERS)]] = True
    complains = has_bought[customer] & (
        rng.random(len(customer)) < settings.complaint_share * dissatisfaction
    )
    rows.add("complaint", customer[complains], moment[complains])
    rows.add("support_contact", customer[~complains], moment[~complains])
    is_surveyed = rng.random(len(customer)) < settings.csat_share
    satisfaction = (
        3.9
        + 0.8 * people.satisfaction[customer]
        - 1.3 * complains
        + rng.standard_normal(len(customer))
    )
    score = np.clip(np.round(satisfaction), 1, 5)[is_surveyed]
    answered_at = moment[is_surveyed] + rng.integers(3600, 2 * DAY_SECONDS, int(is_surveyed.sum()))
    rows.add("csat", customer[is_surveyed], answered_at, value=score)


def add_messages(
    plan: SimulationPlan,
    people: SimulatedPeople,
    paths: StatePaths,
    rng: np.random.Generator,
    rows: EventRows,
) -> None:
    """Add sends, opens and clicks of a block to the rows: ordinary messages and campaigns."""
    # One after the other where nothing wears off: the draws of a scenario stay as they were.
    sends: Iterable[Sends] = chain(
        _ordinary_sends(plan, people, paths, rng), _campaign_sends(plan, paths)
    )
    if plan.scenario.messages.wears_off:
        sends = with_fatigue(plan, people, rng, list(sends))
    for batch in sends:
        _add_sends(plan, people, paths, rng, rows, batch)


def _ordinary_sends(
    plan: SimulationPlan, people: SimulatedPeople, paths: StatePaths, rng: np.random.Generator
) -> Iterator[Sends]:
    """Draw the newsletters of each channel."""
    settings = plan.scenario.messages
    first_week = _contactable_from(plan, people, paths)
    joined = np.flatnonzero(first_week < plan.weeks)
    weeks_left = plan.weeks - first_week[joined]
    customer = np.repeat(joined, weeks_left)
    # Weeks since the first contactable week: 0, 1, 2, ... for each customer.
    weeks_since = np.arange(len(customer)) - np.repeat(
        np.cumsum(weeks_left) - weeks_left, weeks_left
    )
    week = first_week[customer] + weeks_since
    campaign_count = len(plan.scenario.campaigns)
    for channel in SEND_CHANNELS:
        weekday, hour = _SEND_TIMES[channel]
        is_drawn = rng.random(len(customer), dtype=np.float32) < settings.sends.get(channel, 0.0)
        recipient, send_week = customer[is_drawn], week[is_drawn]
        has_consent = people.consents(channel, send_week, recipient)
        recipient, send_week = recipient[has_consent], send_week[has_consent]
        sent_at = (
            plan.origin
            + send_week.astype(np.int64) * WEEK_SECONDS
            + weekday * DAY_SECONDS
            + hour * 3600
        )
        sent_at += rng.integers(0, 5400, len(recipient))
        yield Sends(channel, recipient, send_week, sent_at, campaign_count + send_week)


def _campaign_sends(plan: SimulationPlan, paths: StatePaths) -> Iterator[Sends]:
    """Sends of the randomised campaigns to their treatment arms."""
    for number, campaign in enumerate(plan.scenario.campaigns):
        recipient = np.flatnonzero(paths.arm[:, number] == 1)
        send_week = np.full(len(recipient), campaign.week)
        sent_at = np.full(len(recipient), plan.origin + campaign.week * WEEK_SECONDS + SENT_AT)
        message_code = np.full(len(recipient), number)
        yield Sends(campaign.channel, recipient, send_week, sent_at, message_code)


def _contactable_from(plan: SimulationPlan, people: SimulatedPeople, paths: StatePaths) -> Array:
    """First week after the sign-up or first order, when the address is known; else `NO_WEEK`."""
    first_week = np.full(BLOCK_SIZE, NO_WEEK)
    customer, sign_up_week = _sign_ups(plan, people, paths)
    np.minimum.at(first_week, customer, sign_up_week + 1)
    has_bought = paths.ordered.any(axis=1)
    order_week = np.where(has_bought, np.argmax(paths.ordered, axis=1) + 1, NO_WEEK)
    return np.minimum(first_week, order_week)


def _add_sends(
    plan: SimulationPlan,
    people: SimulatedPeople,
    paths: StatePaths,
    rng: np.random.Generator,
    rows: EventRows,
    sends: Sends,
) -> None:
    """Add one channel's sends, opens and clicks."""
    settings, channel = plan.scenario.messages, sends.channel
    channel_code = plan.choices["channel"].index(channel)
    recipient, week, sent_at = sends.customer, sends.week, sends.at

    def add(event_type: str, rows_of_sends: Array, delay: Array, *, machine: int = 0) -> None:
        rows.add(
            event_type,
            recipient[rows_of_sends],
            sent_at[rows_of_sends] + delay,
            channel=channel_code,
            campaign_id=sends.message[rows_of_sends],
            is_machine=machine,
        )

    add("message_sent", np.arange(len(recipient)), np.zeros(len(recipient), dtype=np.int64))
    open_rate = (
        _rates_by_state(settings.awake)[paths.state[recipient, week]] * people.opening[recipient]
    ) * sends.response
    if channel == "email":
        fetched = np.flatnonzero(people.prefetching[recipient])
        add("email_open", fetched, rng.integers(5, 90, len(fetched)), machine=1)
        scanned = np.flatnonzero(rng.random(len(recipient), dtype=np.float32) < _SCANNED_SHARE)
        add("message_click", scanned, rng.integers(2, 30, len(scanned)), machine=1)
        opened = np.flatnonzero(
            rng.random(len(recipient), dtype=np.float32) < settings.open * open_rate
        )
        add("email_open", opened, _answer_delays(rng, len(opened)))
    click_share = settings.click.get(channel, 0.0) * open_rate
    clicked = np.flatnonzero(rng.random(len(recipient), dtype=np.float32) < click_share)
    add("message_click", clicked, _answer_delays(rng, len(clicked)))


def _answer_delays(rng: np.random.Generator, n: int) -> Array:
    """Seconds until an answer: exponential with a mean of 5 hours, at most 6 days, plus 60."""
    return np.minimum(rng.exponential(5 * 3600, n), 6 * DAY_SECONDS).astype(np.int64) + 60
