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


def _share(hits: Array, among: Array) -> Figure:
    n = int(among.sum())
    return shown(float((hits & among).sum()) / max(n, 1), n)


def site_traffic(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """Sessions that began in the period, also of visitors without a name; n: sessions."""
    found = _visits(inputs, period)
    return [missing(SESSIONS)] if found is None else [shown(found[0], found[0])]


def bounce_rate(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """Sessions of exactly one page, of all sessions (a page is a touch with a session_id); n:
    sessions.
    """
    found = _visits(inputs, period)
    return [missing(SESSIONS)] if found is None else [shown(found[1] / max(found[0], 1), found[0])]


SESSIONS = "touch events with a session_id (`columns: {session_id: ...}`)"


def _visits(inputs: Inputs, period: Period) -> tuple[int, int] | None:
    if inputs.sessions is None or not len(inputs.sessions):
        return None
    day = inputs.sessions["day"]
    inside = inputs.sessions[(day >= period.start) & (day < period.end)]
    return int(inside["sessions"].sum()), int(inside["one_page"].sum())


def cost_per_subscriber(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
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
    n = int(_new_leads(inputs, period).sum())
    return [shown(float(inside["amount"].sum()) / max(n, 1), n)]


def _new_leads(inputs: Inputs, period: Period) -> Array:
    first = inputs.first_day("lead")
    return (first >= period.start) & (first < period.end)


def engagement(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """Customers with a touch or intent in the period; n: customers known when it began."""
    if not inputs.has("touch") and not inputs.has("intent"):
        return [missing("events of the role touch")]
    touched, meant = (inputs.count(r, period.start, period.end) for r in ("touch", "intent"))
    return [_share(touched + meant > 0, who & inputs.exists(period.start))]


def lead_conversion(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
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
    lead, bought = inputs.first_day("lead"), inputs.first_day("purchase")
    cohort = _new_leads(inputs, period) & ((bought == FAR_PAST) | (bought >= lead))
    return [_share((bought >= lead) & (bought < lead + horizon), cohort)]


def lead_quality(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """Of new leads: lead band A in the first published score after their first lead event; also by
    the channel of that event; n: leads with a band.
    """
    needs = "published scores with lead bands"
    if not inputs.has("lead"):
        return [missing("events of the role lead")]
    if inputs.scores is None or not inputs.scores["lead_band"].notna().any():
        return [missing(needs)]
    scores = inputs.scores[inputs.scores["lead_band"].notna()].sort_values("day", kind="stable")
    place = np.searchsorted(inputs.history.customers, scores["customer_id"].to_numpy(dtype=str))
    place = np.minimum(place, inputs.customers - 1)
    known = inputs.history.customers[place] == scores["customer_id"].to_numpy(dtype=str)
    after = scores["day"].to_numpy() > inputs.first_day("lead")[place]
    scores, place = scores[known & after], place[known & after]
    who_first, row = np.unique(place, return_index=True)
    band = np.full(inputs.customers, None, dtype=object)
    band[who_first] = scores["lead_band"].to_numpy(dtype=object)[row]
    cohort = _new_leads(inputs, period) & (band != None)  # noqa: E711
    best = band == "A"
    found = [_share(best, cohort)]
    if inputs.sources is not None:
        names = sorted({s for s in inputs.sources[cohort] if s is not None})
        for name in names:
            mine = cohort & (inputs.sources == name)
            n = int(mine.sum())
            found.append(shown(float((best & mine).sum()) / max(n, 1), n, source=name))
    return found


def sales_conversion(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """Of those known when the period began who had never bought: bought in it; n: them."""
    if not inputs.has("purchase"):
        return [missing("events of the role purchase")]
    never = inputs.days("purchase", FAR_PAST + 1, period.start) == 0
    bought = inputs.days("purchase", period.start, period.end) > 0
    return [_share(bought, who & inputs.exists(period.start) & never)]


def nps(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """Share of answers 9-10 minus share of 0-6, times 100; the last answer of a customer and day
    counts; n: answers.
    """
    if not inputs.has("survey_nps"):
        return [missing("events of the role survey_nps, with the answer as value")]
    customer, answer = inputs.answers("survey_nps", period)
    mine = answer[who[customer]]
    points = 100.0 * ((mine >= 9).sum() - (mine <= 6).sum()) / max(len(mine), 1)
    return [shown(points, len(mine))]


def csat(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """Answers 4-5 of 5; the last answer of a customer and day counts; n: answers."""
    if not inputs.has("survey_csat"):
        return [missing("events of the role survey_csat, with the answer as value")]
    customer, answer = inputs.answers("survey_csat", period)
    mine = answer[who[customer]]
    return [shown(float((mine >= 4).sum()) / max(len(mine), 1), len(mine))]


def retention(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """Of those active when the period began (bought within activity_days; unset: ever): ordered in
    it; n: active customers.
    """
    if not inputs.has("purchase"):
        return [missing("events of the role purchase")]
    ordered = inputs.days("purchase", period.start, period.end) > 0
    return [_share(ordered, who & inputs.active(period.start) & inputs.exists(period.start))]


def churn(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """1 minus the retention rate; n: active customers."""
    return [
        f if f.value is None else Figure(1.0 - f.value, f.n) for f in retention(inputs, period, who)
    ]


def historic_clv(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """Mean net spend so far, at the end of the period; n: customers who ever bought."""
    if not inputs.has("purchase"):
        return [missing("events of the role purchase")]
    buyers = who & (inputs.days("purchase", FAR_PAST + 1, period.end) > 0)
    n = int(buyers.sum())
    return [shown(float(inputs.net_spend(period.end)[buyers].sum()) / max(n, 1), n)]


def repeat_rate(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """Of those who ordered in the period: with an order on two days or more by its end; n:
    customers who ordered.
    """
    if not inputs.has("purchase"):
        return [missing("events of the role purchase")]
    ordered = inputs.days("purchase", period.start, period.end) > 0
    return [_share(inputs.days("purchase", FAR_PAST + 1, period.end) >= 2, who & ordered)]


def reactivation(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """Of those in a silent stage when the period began who had bought before: ordered in it; n:
    them.
    """
    if not inputs.has("purchase"):
        return [missing("events of the role purchase")]
    silent = np.isin(inputs.code(period.start), inputs.builder.taxonomy.silent_codes)
    before = inputs.days("purchase", FAR_PAST + 1, period.start) > 0
    ordered = inputs.days("purchase", period.start, period.end) > 0
    return [_share(ordered, who & silent & before)]


def referrals(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """Advocacy events in the period a customer; n: customers known when it began."""
    if not inputs.has("advocacy"):
        return [missing("events of the role advocacy")]
    there = who & inputs.exists(period.start)
    n = int(there.sum())
    made = int(inputs.count("advocacy", period.start, period.end)[there].sum())
    return [shown(made / max(n, 1), n)]


def days_to_first_order(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """Mean days from the first lead event to the first order, of those whose first order falls in
    the period; n: them.
    """
    if not inputs.has("lead") or not inputs.has("purchase"):
        return [missing("events of the roles lead and purchase")]
    lead, bought = inputs.first_day("lead"), inputs.first_day("purchase")
    inside = (bought >= period.start) & (bought < period.end)
    cohort = inside & (lead > FAR_PAST) & (lead <= bought)
    n = int(cohort.sum())
    return [shown(float((bought - lead)[cohort].sum()) / max(n, 1), n)]


def repeat_orders(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """Of those who ordered in the period: again on a later day within 60 days of their first order
    in it; once those days have passed; n: customers who ordered.
    """
    if not inputs.has("purchase"):
        return [missing("events of the role purchase")]
    if period.end + AGAIN > inputs.builder.span.last_snapshot:
        return [later(period.end + AGAIN)]
    rows = inputs.rows("purchase")
    place = rows.edge(period.start)
    ordered = rows.edge(period.end) > place
    day = np.append(rows.day, FAR_PAST)
    first = day[place]
    again = np.append(rows.customer, -1)[np.minimum(place + 1, len(rows.day))]
    next_day = day[np.minimum(place + 1, len(rows.day))]
    soon = (again == np.arange(inputs.customers)) & (next_day <= first + AGAIN)
    return [_share(soon, who & ordered)]


def moves_on(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """In a stage of higher rank 30 days after the period began; n: customers known then."""
    if period.start + SOON > inputs.builder.span.last_snapshot:
        return [later(period.start + SOON)]
    ranks = np.array([stage.rank for stage in inputs.builder.taxonomy.stages])
    before, after = inputs.code(period.start), inputs.code(period.start + SOON)
    there = who & (before >= 0)
    return [_share(ranks[after] > ranks[before], there)]


def leads_move_on(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """Of leads when the period began: in a stage of higher rank 30 days later; n: leads."""
    if not inputs.has("lead"):
        return [missing("events of the role lead")]
    first = inputs.first_day("lead")
    return moves_on(inputs, period, who & (first > FAR_PAST) & (first < period.start))


def woken_up(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """Of those in a silent stage when the period began: in none at its end; n: them."""
    silent = inputs.builder.taxonomy.silent_codes
    there = who & np.isin(inputs.code(period.start), silent)
    return [_share(~np.isin(inputs.code(period.end), silent), there)]


def seen_again(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """Of those known when the period began: with a touch in it; n: them."""
    if not inputs.has("touch"):
        return [missing("events of the role touch")]
    seen = inputs.count("touch", period.start, period.end) > 0
    return [_share(seen, who & inputs.exists(period.start))]


def _latest_scores(inputs: Inputs, after: int, until: int) -> Array | None:
    """Rows of the latest published snapshot in ``(after, until]``."""
    if inputs.scores is None:
        return None
    day = inputs.scores["day"]
    inside = day[(day > after) & (day <= until)]
    return None if not len(inside) else (day == inside.max()).to_numpy()


def predicted_clv(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """Mean clv of the latest scores published for a snapshot in the period, over their horizon; n:
    scored customers.
    """
    rows = _latest_scores(inputs, period.start, period.end)
    if rows is None or inputs.scores is None:
        return [missing("scores published for a snapshot in this period")]
    scores = inputs.scores[rows]
    place = np.searchsorted(inputs.history.customers, scores["customer_id"].to_numpy(dtype=str))
    place = np.minimum(place, inputs.customers - 1)
    known = inputs.history.customers[place] == scores["customer_id"].to_numpy(dtype=str)
    mine = scores["clv"].to_numpy(dtype=float)[known & who[place]]
    mine = mine[~np.isnan(mine)]
    return [shown(float(mine.sum()) / max(len(mine), 1), len(mine))]


def call_list(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """Of lead band A in the latest scores before the period, unbought: bought in it; n: them."""
    rows = _latest_scores(inputs, FAR_PAST, period.start)
    if rows is None or inputs.scores is None or not inputs.scores["lead_band"].notna().any():
        return [missing("scores with lead bands, published for a snapshot before this period")]
    called = inputs.scores[rows & (inputs.scores["lead_band"] == "A").to_numpy()]
    listed = np.isin(inputs.history.customers, called["customer_id"].to_numpy(dtype=str))
    never = inputs.days("purchase", FAR_PAST + 1, period.start) == 0
    return [_share(inputs.days("purchase", period.start, period.end) > 0, listed & never)]


def reactivation_cost(inputs: Inputs, period: Period, who: Array) -> list[Figure]:
    """Cost of win-back campaigns a customer won back."""
    return [missing("the costs of win-back campaigns, which no table of the contract holds")]
