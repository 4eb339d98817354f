"""Stages, clocks, labels and families against plain loops over each customer's events."""

from __future__ import annotations

import math
import statistics
import tempfile
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from features.config.yaml_with_lines import Spot
from features.contracts import ROLES
from features.errors import UserError
from features.lifecycle.stage_engine import stage_at, timers
from features.lifecycle.stage_spells import present_stay
from features.lifecycle.taxonomy_parser import parse
from features.table.snapshot_builder import Builder
from tests.oracles import loops
from tests.oracles.histories import TAXONOMY, Event, builder, shops
from tests.oracles.loops import as_of, inside, stage_of
from tests.tries import tries

QUICK = (Phase.explicit, Phase.generate)
LAPSED = 0
LIFE = TAXONOMY["life_roles"]


def shop_of(events: Sequence[Event], **changes: Any) -> Builder:
    with tempfile.TemporaryDirectory() as folder:
        return builder(events, Path(folder) / "e.parquet", **changes)


@st.composite
def comparisons(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(
        st.sampled_from(
            ("days_since_last", "days_since_first", "count", "count_distinct_days", "sum", "mean")
        )
    )
    role = draw(st.sampled_from(("purchase", "touch", "refund", "sent", "advocacy")))
    rule: dict[str, Any] = {kind: role}
    if not kind.startswith("days_since"):
        window = draw(st.sampled_from((None, 1, 3, 10)))
        rule |= {} if window is None else {"window": window}
    amounts = kind in ("sum", "mean")
    constants = st.sampled_from((0, 10, 19.99, 25.5, -5)) if amounts else st.integers(0, 6)
    for sign in draw(st.lists(st.sampled_from(tuple(loops.SIGNS)), min_size=1, max_size=2)):
        rule[sign] = draw(constants)
    return rule


def rules(depth: int = 2) -> st.SearchStrategy[dict[str, Any]]:
    if depth == 0:
        return comparisons()
    below = rules(depth - 1)
    several = st.lists(below, min_size=1, max_size=3)
    return st.one_of(
        comparisons(),
        several.map(lambda parts: {"all": parts}),
        several.map(lambda parts: {"any": parts}),
        below.map(lambda part: {"not": part}),
    )


@st.composite
def taxonomies(draw: st.DrawFn) -> dict[str, Any]:
    n = draw(st.integers(1, 4))
    stages: list[dict[str, Any]] = [
        {"name": f"s{i}", "rank": draw(st.integers(0, 3)), "when": draw(rules())} for i in range(n)
    ]
    stages.append({"name": "rest", "default": True})
    pick = draw(st.sampled_from(("first", "furthest")))
    return {"name": "random", "buying_stage": "rest", "pick": pick, "stages": stages}


@settings(max_examples=tries(6), phases=QUICK)
@given(events=shops(), drawn=st.lists(taxonomies(), min_size=8, max_size=8))
def test_any_taxonomy_gives_the_stage_that_loops_give(
    events: list[Event], drawn: list[dict[str, Any]]
) -> None:
    shop = shop_of(events)
    first = min(e.day for e in events)
    for content in [*drawn, TAXONOMY]:
        try:
            taxonomy = parse(Spot(content, "drawn"), {})
        except UserError:  # what is refused never happens: see the plain rules oracle
            continue
        for at in range(first, first + 50, 7):
            expected = [stage_of(content, events, c, at) for c in shop.history.customers]
            assert stage_at(taxonomy, shop.history, at).tolist() == expected, (content, at)


@settings(max_examples=tries(5), phases=QUICK)
@given(events=shops(), offset=st.integers(5, 40))
def test_clocks(events: list[Event], offset: int) -> None:
    shop = shop_of(events)
    at = min(e.day for e in events) + offset
    periods, step = 4, 3
    clocks = timers(shop.taxonomy, shop.history, at, periods=periods, period_days=step)
    stay = present_stay(shop.taxonomy, shop.history, at)
    for i, customer in enumerate(shop.history.customers):
        past = as_of(events, customer, at)
        now = loops.stage(TAXONOMY, past, at)
        silence = [loops.stage(TAXONOMY, past, at + k * step) for k in range(1, periods + 1)]
        moves = [(code, k) for k, code in enumerate(silence, start=1) if code != now]
        assert clocks.code[i] == now
        assert (clocks.silent_code[i], clocks.silent_period[i]) == (moves or [(now, periods + 1)])[
            0
        ]
        lapses = [d for d in range(60) if loops.stage(TAXONOMY, past, at + d) == LAPSED]
        np.testing.assert_equal(clocks.days_to_lapse[i], lapses[0] if lapses else math.nan)
        one_more = {**past, "purchase": [*past.get("purchase", []), (at, 0)]}
        assert clocks.after_purchase_code[i] == loops.stage(TAXONOMY, one_more, at + 1)
        if not loops.exists(events, customer, at):
            continue
        since = at
        while loops.exists(events, customer, since - 1):
            if stage_of(TAXONOMY, events, customer, since - 1) != now:
                break
            since -= 1
        assert stay.since[i] == since
        before = loops.exists(events, customer, since - 1)
        assert stay.previous[i] == (
            stage_of(TAXONOMY, events, customer, since - 1) if before else -1
        )
        assert (stay.cause[i] == "first_load") == (not before)
        held = 0
        while held < 2 * periods and loops.exists(events, customer, at - (held + 1) * step):
            if stage_of(TAXONOMY, events, customer, at - (held + 1) * step) != now:
                break
            held += 1
        assert clocks.periods_in_stage[i] == held


def centred_measure(
    past: loops.Past, kind: str, role: str, window: int | None, at: int
) -> float | None:
    """A windowed measure on the window around the date; lifetime ones before it."""
    if window is None:
        return loops.measure(past, kind, role, None, at)
    # A window of w days ending at t + ceil(w/2) is [t - floor(w/2), t + ceil(w/2)).
    return loops.measure(past, kind, role, window, at + (window + 1) // 2)


def centred_truth(past: loops.Past, at: int, confirm: int) -> int:
    """The small taxonomy on windows around a date; recency limits are windows too."""
    if inside(past, "purchase", -math.inf, at) and not any(
        inside(past, role, at, at + confirm) for role in LIFE
    ):
        return LAPSED
    for number, entry in enumerate(TAXONOMY["stages"]):
        if entry.get("silent"):
            continue
        if entry["name"] == "warm":
            counted = len(inside(past, "touch", at - 1, at + 2)) >= 2
            if counted or inside(past, "touch", at - 1, at + 1):
                return number
        elif entry.get("default") or loops.holds(
            entry["when"], TAXONOMY["params"], past, at, centred_measure
        ):
            return number
    raise AssertionError("a taxonomy has a default")


@settings(max_examples=tries(6), phases=QUICK)
@given(events=shops(size=60, days=25), offset=st.integers(5, 20), settle=st.sampled_from((0, 3)))
def test_labels(events: list[Event], offset: int, settle: int) -> None:
    at = min(e.day for e in events) + offset
    shop = shop_of(events, settle_days=settle)
    naive = Builder(
        shop.config.model_copy(
            update={"stage": shop.config.stage.model_copy(update={"truth": "naive"})}
        ),
        shop.taxonomy,
        shop.history,
    )
    alive = [c for c in loops.customers(events) if loops.exists(events, c, at)]
    expected: dict[str, dict[str, Any]] = {}
    for c in alive:
        now = stage_of(TAXONOMY, events, c, at)
        week = as_of(events, c, at + 7 + settle)
        spent = sum(x for role in ("purchase", "refund") for _, x in inside(week, role, at, at + 7))
        days = {day for day, _ in inside(week, "purchase", at, at + 7)}
        # Confirmation takes 5 days, windows of 7 days reach 4 days ahead.
        truth = as_of(events, c, at + 5 + settle)
        silent = inside(truth, "purchase", -math.inf, at) and not any(
            inside(truth, role, at, at + 5) for role in LIFE
        )
        path = [stage_of(TAXONOMY, events, c, at + 3 * k) for k in range(1, 5)]
        moves = [(code, k) for k, code in enumerate(path, start=1) if code != now]
        code, period = (moves or [(-1, 0)])[0]
        expected[c] = {
            "eligible": bool(inside(as_of(events, c, at), "purchase", at - 14, at)),
            "no_purchase": float(not days),
            "spend": max(spent, 0) / 100,
            "orders": float(len(days)),
            "naive": float(LAPSED if silent else now),
            "centred": float(centred_truth(truth, at, 5)),
            "next_code": float(code),
            "period": float(period),
        }
    facts = pd.DataFrame.from_dict(expected, orient="index")

    def check(frame: pd.DataFrame, columns: dict[str, str], who: pd.DataFrame) -> None:
        assert frame["customer_id"].tolist() == who.index.tolist()
        for name, fact in columns.items():
            assert frame[name].tolist() == who[fact].tolist(), name

    if not alive:
        assert all(len(shop.labels(task, at)) == 0 for task in ("churn", "clv", "stage"))
        return
    check(shop.labels("churn", at), {"no_purchase": "no_purchase"}, facts[facts["eligible"]])
    check(shop.labels("clv", at), {"spend": "spend", "orders": "orders"}, facts)
    check(naive.labels("stage", at), {"truth_code": "naive"}, facts)
    check(shop.labels("stage", at), {"truth_code": "centred"}, facts)
    check(shop.labels("transition", at), {"next_code": "next_code", "period": "period"}, facts)


def nan_if(values: Sequence[float], least: int, of: Any) -> float:
    return float(of(values)) if len(values) >= least else math.nan


def ratio(above: float, below: float) -> float:
    if math.isnan(below):
        return math.nan
    return above / below


def rhythm(past: loops.Past, at: int) -> dict[str, float]:
    """Cadence, purchase-day amounts, tenure and BTYD inputs of one customer, in plain Python."""
    amounts: dict[int, float] = {}
    for day, cents in past.get("purchase", []):
        amounts[day] = amounts.get(day, 0) + cents
    spent = [amounts[day] / 100 for day in sorted(amounts)]
    days = sorted(amounts)
    gaps = [float(b - a) for a, b in pairwise(days)]
    silence = float(at - days[-1]) if days else math.nan
    paid = [x for x in spent[1:] if x > 0]
    life = [f[0] for role in past if role not in ("sent", "refund", "cancel") for f in past[role]]
    tenure = float(at - min(life)) if life else math.nan
    mean, sd = nan_if(gaps, 1, statistics.fmean), nan_if(gaps, 2, statistics.stdev)
    last = nan_if(gaps, 1, lambda g: g[-1])
    median, largest = nan_if(gaps, 1, statistics.median), nan_if(gaps, 1, max)
    last3 = nan_if(gaps, 3, lambda g: sum(g[-3:]) / 3)
    return {
        "cadence__gap_mean": mean,
        "cadence__gap_sd": sd,
        "cadence__gap_cv": ratio(sd, mean),
        "cadence__gap_last": last,
        "cadence__gap_previous": nan_if(gaps, 2, lambda g: g[-2]),
        "cadence__gap_max": largest,
        "cadence__gap_median": median,
        "cadence__gap_last3": last3,
        "cadence__recency_over_gap_mean": ratio(silence, mean),
        "cadence__recency_over_gap_median": ratio(silence, median),
        "cadence__recency_over_gap_max": ratio(silence, largest),
        "cadence__recency_over_gap_last": ratio(silence, last),
        "cadence__recency_over_gap_last3": ratio(silence, last3),
        "cadence__span_days": float(days[-1] - days[0]) if days else math.nan,
        "cadence__days": float(len(days)),
        "purchase__amount_mean": nan_if(spent, 1, statistics.fmean),
        "purchase__amount_sd": nan_if(spent, 2, statistics.stdev),
        "purchase__amount_last": nan_if(spent, 1, lambda x: x[-1]),
        "purchase__amount_first": nan_if(spent, 1, lambda x: x[0]),
        "purchase__amount_max": nan_if(spent, 1, max),
        "tenure__days": tenure,
        "tenure__purchase_rate": len(days) / tenure if life else math.nan,
        "btyd__x": len(days) - 1.0 if days else math.nan,
        "btyd__t_x": float(days[-1] - days[0]) if days else math.nan,
        "btyd__T": float(at - days[0]) if days else math.nan,
        "btyd__mean_value": nan_if(paid, 1, statistics.fmean),
        "btyd__value_n": float(len(paid)),
    }


def brands(events: Sequence[Event], at: int) -> dict[str, Counter[str]]:
    """Purchase lines by customer and brand, past and known."""
    seen: dict[str, Counter[str]] = {}
    for e in events:
        if e.type == "purchase" and e.brand and max(e.day, e.known_day) < at:
            seen.setdefault(e.customer, Counter())[e.brand] += 1
    return seen


def taste(seen: Counter[str]) -> dict[str, float]:
    """Brand features of one customer's purchase lines."""
    n = sum(seen.values())
    return {
        "preference__brand_share": max(seen.values()) / n if n else math.nan,
        "preference__brand_n": float(n),
        "preference__brand_distinct": float(len(seen)),
    }


def smoothed(seen: dict[str, Counter[str]], customer: str) -> tuple[str | None, float]:
    """Likeliest brand and its share, drawn toward everybody's, customer by customer."""
    mine = seen.get(customer)
    if not mine:
        return None, math.nan
    everybody = sum(seen.values(), Counter())
    lines = sum(everybody.values())
    agreed = repeats = 0.0
    for one in seen.values():
        n = sum(one.values())
        agreed += sum(k * (k - 1) for k in one.values()) / n
        repeats += n - 1
    weight = 4.0
    if repeats >= 30:
        own, strangers = agreed / repeats, sum((k / lines) ** 2 for k in everybody.values())
        weight = min(max((1 - own) / max(own - strangers, 1e-9), 0.5), 1000.0)
    score = {b: mine[b] + weight * k / lines for b, k in everybody.items()}
    # The largest; of equals one's own first, then the first by name.
    best = min(score, key=lambda b: (-round(score[b], 9), mine[b] == 0, b))
    return best, score[best] / (sum(mine.values()) + weight)


def answers(past: loops.Past, at: int) -> dict[str, float]:
    """Responses per send and since the last send."""
    facts = {}
    for name, lo in (("30d", at - 30), ("all", -math.inf)):
        sent = len(inside(past, "sent", lo, at))
        for role in ("touch", "redemption", "purchase"):
            n = len(inside(past, role, lo, at))
            facts[f"response__{role}_per_send_{name}"] = n / sent if sent else math.nan
    last = max((day for day, _ in past.get("sent", [])), default=None)
    for role in ("touch", "redemption", "purchase"):
        since = math.nan if last is None else float(len(inside(past, role, last, at)))
        facts[f"response__{role}_since_send"] = since
    return facts


@settings(max_examples=tries(6), phases=QUICK)
@given(events=shops(), which=st.integers(0, 10**6))
def test_families(events: list[Event], which: int) -> None:
    shop = shop_of(events)
    bought = [e for e in events if e.type == "purchase"]
    at = bought[which % len(bought)].known_day + which % 2  # a day that matters, or the next
    frame, profile = shop.features(at), shop.profile(at)
    assert frame["customer_id"].tolist() == [
        c for c in loops.customers(events) if loops.exists(events, c, at)
    ]
    seen = brands(events, at)
    for row, facts in zip(frame.to_dict("records"), profile.to_dict("records"), strict=True):
        past = as_of(events, row["customer_id"], at)
        expected = {**rhythm(past, at), **taste(seen.get(row["customer_id"], Counter()))}
        if "sent" in shop.spec.roles:
            possible = answers(past, at)
            expected |= {
                k: v
                for k, v in possible.items()
                if k.split("__")[1].split("_")[0] in shop.spec.roles
            }
        for name, value in expected.items():
            np.testing.assert_allclose(row[name], value, rtol=1e-9, atol=1e-9, err_msg=name)
        own = [
            c
            for c in row
            if c.split("__")[0] in ("cadence", "btyd", "tenure", "preference", "response")
        ]
        assert set(own) <= set(expected)
        favourite, share = smoothed(seen, row["customer_id"])
        brand = facts["preferred_brand"]
        assert (None if pd.isna(brand) else brand) == favourite
        np.testing.assert_allclose(facts["preferred_brand_share"], share, rtol=1e-9)
        spent = sum(x for role in ("purchase", "refund") for _, x in past.get(role, []))
        assert facts["historic_clv"] == spent / 100 or math.isclose(
            facts["historic_clv"], spent / 100
        )


def test_the_roles_of_the_loops_are_the_contracts() -> None:
    assert set(loops.ROLE_TYPES) <= set(ROLES)
