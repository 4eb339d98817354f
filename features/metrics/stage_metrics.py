"""Metrics of the life cycle in a period: each function is one definition (`metric_catalog`).

Each takes the inputs, a period, and whom to look at (one bool a customer), and returns its figure;
lead quality returns one more for every channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.arrays import Array
from features.calendar import day_date
from features.history.day_rows import FAR_PAST
from features.metrics.metric_inputs import Inputs, Period

FEWEST = 30  # a figure of fewer is hidden: it says more of chance, or of persons, than of a stage
SOON = 30  # days within which somebody moves on
AGAIN = 60  # days within which a buyer buys again


@dataclass(frozen=True)
class Figure:
    """One number, or why there is none.

    Attributes
    ----------
    value
        Null where hidden or missing.
    n
        What it was counted over: customers, answers, sessions (each definition says which).
    reason
        Empty where there is a value.
    source
        Of lead quality: the channel; else empty.
    """

    value: float | None
    n: int
    reason: str = ""
    source: str = ""


def shown(value: float, n: int, *, source: str = "") -> Figure:
    """A figure, hidden where it stands on fewer than `FEWEST`."""
    if n < FEWEST:
        return Figure(None, n, f"hidden: n under {FEWEST}", source)
    return Figure(float(value), n, "", source)


def missing(needs: str) -> Figure:
    """The figure of a metric whose data are not there."""
    return Figure(None, 0, f"missing: needs {needs}")


def later(day: int) -> Figure:
    """The figure of a cohort whose outcome is not known yet; `day` is what it waits for."""
    return Figure(None, 0, f"not matured: known from {day_date(day)} on")


def _share(numerator: Array, denominator: Array) -> Figure:
    base = int(denominator.sum())
    return shown(float((numerator & denominator).sum()) / max(base, 1), base)


def site_traffic(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Sessions that began in the period, also of visitors without a name; n: sessions."""
    visits = _visits(inputs, period)
    return [missing(SESSIONS)] if visits is None else [shown(visits[0], visits[0])]


def bounce_rate(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Sessions of exactly one page, of all sessions (a page is a touch with a session_id); n:
    sessions.
    """
    visits = _visits(inputs, period)
    return (
        [missing(SESSIONS)] if visits is None else [shown(visits[1] / max(visits[0], 1), visits[0])]
    )


SESSIONS = "touch events with a session_id (`columns: {session_id: ...}`)"


def _visits(inputs: Inputs, period: Period) -> tuple[int, int] | None:
    if inputs.sessions is None or not len(inputs.sessions):
        return None
    day = inputs.sessions["day"]
    inside = inputs.sessions[(day >= period.start) & (day < period.end)]
    return int(inside["sessions"].sum()), int(inside["one_page"].sum())


def cost_per_subscriber(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Acquisition spend of the period, divided by new sign-ups: customers whose first lead event
    falls in it; n: sign-ups.
    """
    if not inputs.has("lead"):
        return [missing("events of the role lead")]
    if inputs.spend is None:
        return [missing("a table of acquisition spend (`spend: {table: ..., columns: ...}`)")]
    day = inputs.spend["day"]
    inside = inputs.spend[(day >= period.start) & (day < period.end)]
    if not len(inside):
        return [missing("spend of days in this period")]
    new_leads = int(_new_leads(inputs, period).sum())
    return [shown(float(inside["amount"].sum()) / max(new_leads, 1), new_leads)]


def _new_leads(inputs: Inputs, period: Period) -> Array:
    first_lead_day = inputs.first_day("lead")
    return (first_lead_day >= period.start) & (first_lead_day < period.end)


def engagement(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Customers with a touch or intent in the period; n: customers known when it began."""
    if not inputs.has("touch") and not inputs.has("intent"):
        return [missing("events of the role touch")]
    touched, intents = (inputs.count(r, period.start, period.end) for r in ("touch", "intent"))
    return [_share(touched + intents > 0, members & inputs.exists(period.start))]


def lead_conversion(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Of customers whose first lead event falls in the period and who had not bought before that
    day: first purchase within the CLV horizon from that day; only once the horizon of all of
    them has passed; n: leads.
    """
    if not inputs.has("lead"):
        return [missing("events of the role lead")]
    horizon = inputs.builder.config.clv.horizon_days
    matured = period.end - 1 + horizon
    if matured > inputs.builder.span.last_snapshot:
        return [later(matured)]
    lead_day, first_purchase_day = inputs.first_day("lead"), inputs.first_day("purchase")
    cohort = _new_leads(inputs, period) & (
        (first_purchase_day == FAR_PAST) | (first_purchase_day >= lead_day)
    )
    return [
        _share((first_purchase_day >= lead_day) & (first_purchase_day < lead_day + horizon), cohort)
    ]


def lead_quality(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Of new leads: lead band A in the first published score after their first lead event; also by
    the channel of that event; n: leads with a band.
    """
    needs = "published scores with lead bands"
    if not inputs.has("lead"):
        return [missing("events of the role lead")]
    if inputs.scores is None or not inputs.scores["lead_band"].notna().any():
        return [missing(needs)]
    scores = inputs.scores[inputs.scores["lead_band"].notna()].sort_values("day", kind="stable")
    positions = np.searchsorted(inputs.history.customers, scores["customer_id"].to_numpy(dtype=str))
    positions = np.minimum(positions, inputs.customers - 1)
    is_customer = inputs.history.customers[positions] == scores["customer_id"].to_numpy(dtype=str)
    after_lead = scores["day"].to_numpy() > inputs.first_day("lead")[positions]
    scores, positions = scores[is_customer & after_lead], positions[is_customer & after_lead]
    who_first, row = np.unique(positions, return_index=True)
    band = np.full(inputs.customers, None, dtype=object)
    band[who_first] = scores["lead_band"].to_numpy(dtype=object)[row]
    cohort = _new_leads(inputs, period) & (band != None)  # noqa: E711
    is_band_a = band == "A"
    figures = [_share(is_band_a, cohort)]
    if inputs.sources is not None:
        source_names = sorted({s for s in inputs.sources[cohort] if s is not None})
        for name in source_names:
            from_source = cohort & (inputs.sources == name)
            source_leads = int(from_source.sum())
            figures.append(
                shown(
                    float((is_band_a & from_source).sum()) / max(source_leads, 1),
                    source_leads,
                    source=name,
                )
            )
    return figures


def sales_conversion(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Of those known when the period began who had never bought: bought in it; n: them."""
    if not inputs.has("purchase"):
        return [missing("events of the role purchase")]
    never_bought = inputs.days("purchase", FAR_PAST + 1, period.start) == 0
    bought = inputs.days("purchase", period.start, period.end) > 0
    return [_share(bought, members & inputs.exists(period.start) & never_bought)]


def nps(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Share of answers 9-10 minus share of 0-6, times 100; the last answer of a customer and day
    counts; n: answers.
    """
    if not inputs.has("survey_nps"):
        return [missing("events of the role survey_nps, with the answer as value")]
    customer, answer = inputs.answers("survey_nps", period)
    answers = answer[members[customer]]
    points = 100.0 * ((answers >= 9).sum() - (answers <= 6).sum()) / max(len(answers), 1)
    return [shown(points, len(answers))]


def csat(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Answers 4-5 of 5; the last answer of a customer and day counts; n: answers."""
    if not inputs.has("survey_csat"):
        return [missing("events of the role survey_csat, with the answer as value")]
    customer, answer = inputs.answers("survey_csat", period)
    answers = answer[members[customer]]
    return [shown(float((answers >= 4).sum()) / max(len(answers), 1), len(answers))]


def retention(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Of those active when the period began (bought within activity_days; unset: ever): ordered in
    it; n: active customers.
    """
    if not inputs.has("purchase"):
        return [missing("events of the role purchase")]
    ordered = inputs.days("purchase", period.start, period.end) > 0
    return [_share(ordered, members & inputs.active(period.start) & inputs.exists(period.start))]


def churn(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """1 minus the retention rate; n: active customers."""
    return [
        f if f.value is None else Figure(1.0 - f.value, f.n)
        for f in retention(inputs, period, members)
    ]


def historic_clv(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Mean net spend so far, at the end of the period; n: customers who ever bought."""
    if not inputs.has("purchase"):
        return [missing("events of the role purchase")]
    buyers = members & (inputs.days("purchase", FAR_PAST + 1, period.end) > 0)
    buyer_count = int(buyers.sum())
    return [
        shown(float(inputs.net_spend(period.end)[buyers].sum()) / max(buyer_count, 1), buyer_count)
    ]


def repeat_rate(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Of those who ordered in the period: with an order on two days or more by its end; n:
    customers who ordered.
    """
    if not inputs.has("purchase"):
        return [missing("events of the role purchase")]
    ordered = inputs.days("purchase", period.start, period.end) > 0
    return [_share(inputs.days("purchase", FAR_PAST + 1, period.end) >= 2, members & ordered)]


def reactivation(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Of those in a silent stage when the period began who had bought before: ordered in it; n:
    them.
    """
    if not inputs.has("purchase"):
        return [missing("events of the role purchase")]
    silent = np.isin(inputs.code(period.start), inputs.builder.taxonomy.silent_codes)
    before = inputs.days("purchase", FAR_PAST + 1, period.start) > 0
    ordered = inputs.days("purchase", period.start, period.end) > 0
    return [_share(ordered, members & silent & before)]


def referrals(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Advocacy events in the period a customer; n: customers known when it began."""
    if not inputs.has("advocacy"):
        return [missing("events of the role advocacy")]
    existing = members & inputs.exists(period.start)
    existing_count = int(existing.sum())
    referral_count = int(inputs.count("advocacy", period.start, period.end)[existing].sum())
    return [shown(referral_count / max(existing_count, 1), existing_count)]


def days_to_first_order(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Mean days from the first lead event to the first order, of those whose first order falls in
    the period; n: them.
    """
    if not inputs.has("lead") or not inputs.has("purchase"):
        return [missing("events of the roles lead and purchase")]
    lead_day, first_purchase_day = inputs.first_day("lead"), inputs.first_day("purchase")
    inside = (first_purchase_day >= period.start) & (first_purchase_day < period.end)
    cohort = inside & (lead_day > FAR_PAST) & (lead_day <= first_purchase_day)
    cohort_size = int(cohort.sum())
    return [
        shown(
            float((first_purchase_day - lead_day)[cohort].sum()) / max(cohort_size, 1), cohort_size
        )
    ]


def repeat_orders(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Of those who ordered in the period: again on a later day within 60 days of their first order
    in it; once those days have passed; n: customers who ordered.
    """
    if not inputs.has("purchase"):
        return [missing("events of the role purchase")]
    if period.end + AGAIN > inputs.builder.span.last_snapshot:
        return [later(period.end + AGAIN)]
    rows = inputs.rows("purchase")
    first_row = rows.edge(period.start).row
    ordered = rows.edge(period.end).row > first_row
    day = np.append(rows.day, FAR_PAST)
    first_order_day = day[first_row]
    next_customer = np.append(rows.customer, -1)[np.minimum(first_row + 1, len(rows.day))]
    next_day = day[np.minimum(first_row + 1, len(rows.day))]
    ordered_again = (next_customer == np.arange(inputs.customers)) & (
        next_day <= first_order_day + AGAIN
    )
    return [_share(ordered_again, members & ordered)]


def moves_on(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """In a stage of higher rank 30 days after the period began; n: customers known then."""
    if period.start + SOON > inputs.builder.span.last_snapshot:
        return [later(period.start + SOON)]
    ranks = np.array([stage.rank for stage in inputs.builder.taxonomy.stages])
    stage_before, stage_after = inputs.code(period.start), inputs.code(period.start + SOON)
    existing = members & (stage_before >= 0)
    return [_share(ranks[stage_after] > ranks[stage_before], existing)]


def leads_move_on(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Of leads when the period began: in a stage of higher rank 30 days later; n: leads."""
    if not inputs.has("lead"):
        return [missing("events of the role lead")]
    first_lead_day = inputs.first_day("lead")
    return moves_on(
        inputs, period, members & (first_lead_day > FAR_PAST) & (first_lead_day < period.start)
    )


def woken_up(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Of those in a silent stage when the period began: in none at its end; n: them."""
    silent = inputs.builder.taxonomy.silent_codes
    silent_members = members & np.isin(inputs.code(period.start), silent)
    return [_share(~np.isin(inputs.code(period.end), silent), silent_members)]


def seen_again(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Of those known when the period began: with a touch in it; n: them."""
    if not inputs.has("touch"):
        return [missing("events of the role touch")]
    was_seen = inputs.count("touch", period.start, period.end) > 0
    return [_share(was_seen, members & inputs.exists(period.start))]


def _latest_scores(inputs: Inputs, after: int, until: int) -> Array | None:
    """Rows of the latest published snapshot in ``(after, until]``."""
    if inputs.scores is None:
        return None
    day = inputs.scores["day"]
    inside = day[(day > after) & (day <= until)]
    return None if not len(inside) else (day == inside.max()).to_numpy()


def predicted_clv(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Mean clv of the latest scores published for a snapshot in the period, over their horizon; n:
    scored customers.
    """
    rows = _latest_scores(inputs, period.start, period.end)
    if rows is None or inputs.scores is None:
        return [missing("scores published for a snapshot in this period")]
    scores = inputs.scores[rows]
    positions = np.searchsorted(inputs.history.customers, scores["customer_id"].to_numpy(dtype=str))
    positions = np.minimum(positions, inputs.customers - 1)
    is_customer = inputs.history.customers[positions] == scores["customer_id"].to_numpy(dtype=str)
    member_clv = scores["clv"].to_numpy(dtype=float)[is_customer & members[positions]]
    member_clv = member_clv[~np.isnan(member_clv)]
    return [shown(float(member_clv.sum()) / max(len(member_clv), 1), len(member_clv))]


def call_list(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Of lead band A in the latest scores before the period, unbought: bought in it; n: them."""
    rows = _latest_scores(inputs, FAR_PAST, period.start)
    if rows is None or inputs.scores is None or not inputs.scores["lead_band"].notna().any():
        return [missing("scores with lead bands, published for a snapshot before this period")]
    called = inputs.scores[rows & (inputs.scores["lead_band"] == "A").to_numpy()]
    listed = np.isin(inputs.history.customers, called["customer_id"].to_numpy(dtype=str))
    never_bought = inputs.days("purchase", FAR_PAST + 1, period.start) == 0
    return [_share(inputs.days("purchase", period.start, period.end) > 0, listed & never_bought)]


def reactivation_cost(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Cost of win-back campaigns a customer won back."""
    return [missing("the costs of win-back campaigns, which no table of the contract holds")]
