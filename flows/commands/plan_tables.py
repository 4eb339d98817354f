"""The plan of all campaigns as tables on the screen, or as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from campaigns.planning import CampaignPlan
    from campaigns.policy.plan_value import PlanValue


def show_plan(plan: CampaignPlan, values: Sequence[PlanValue], json_file: Path | None) -> None:
    """Show the plan as tables, or as JSON; with what past decisions say of its offers."""
    import pandas as pd

    from flows.services.console import deliver_result, json_rows

    content = {
        "snapshot_at": f"{plan.snapshot_at:%Y-%m-%d}",
        "campaigns": json_rows(plan.table),
        "offers": json_rows(plan.offers),
        "excluded": json_rows(plan.exclusions),
        "send_times": json_rows(
            pd.DataFrame([{**asdict(test), "used": test.used} for test in plan.send_time_tests])
        ),
        "contact_price": plan.contact_price,
        "fatigue": None if plan.fatigue is None else asdict(plan.fatigue),
        "offer_values": json_rows(pd.DataFrame([asdict(value) for value in values])),
    }
    deliver_result(content, json_file, lambda: _print_plan(plan, values))


def _whole(money: float | None) -> int | None:
    """An amount without fraction, to keep numbers on one line of the table."""
    return None if money is None or not math.isfinite(money) else round(money)


def _known(number: float | None) -> float | None:
    """A number, or None for none: a column without any number holds no NaN but None."""
    return None if number is None or math.isnan(number) else float(number)


def _print_plan(plan: CampaignPlan, values: Sequence[PlanValue]) -> None:
    """Print the plan: sizes, value, detectable effect; then excluded customers by reason."""
    from campaigns.plan_prices import LEAST_PRICE, price_sentences
    from flows.services.console import console, print_table

    header = [
        "campaign", "eligible", "barred", "overlap", "treatment", "control", "value", "cost",
        "detectable", "export",
    ]  # fmt: skip
    campaign_rows = [
        (
            row.campaign_id, row.eligible, row.barred, row.overlap, row.treatment, row.control,
            _whole(row.expected_value), _whole(row.cost),
            _known(row.smallest_detectable_effect),
            "plan only" if row.plan_only else f"waits: {row.held}" if row.held else "ready",
        )
        for row in plan.table.itertuples()
    ]  # fmt: skip
    # Where nobody is barred or wanted twice, the columns say nothing.
    shown_columns = [
        number
        for number, name in enumerate(header)
        if name not in ("barred", "overlap") or any(row[number] for row in campaign_rows)
    ]
    shown_rows = [[row[number] for number in shown_columns] for row in campaign_rows]
    print_table(
        f"Plan at {plan.snapshot_at:%Y-%m-%d} (nothing written)",
        [header[number] for number in shown_columns],
        shown_rows,
    )
    campaigns_by_label = plan.table.groupby("value_label", sort=False)["campaign_id"].agg(", ".join)
    for label, campaigns in campaigns_by_label.items():
        if label:
            console.print(f"value is {label}: {campaigns}")
    _print_offers(plan.offers)
    for value in values:
        console.print(_value_sentence(value))
    if plan.fatigue is not None:
        known = plan.contact_price is not None
        mean = f" {plan.contact_price:,.2f} on average;" if known else ""
        console.print(
            f"Price of one more contact, taken off the value:{mean} {plan.fatigue.sentence}."
        )
    for test in plan.send_time_tests:
        console.print(test.sentence + ".")
    console.print("detectable: the smallest difference of two rates that the hold-out can show")
    excluded = [(r.campaign_id, r.reason, r.customers) for r in plan.exclusions.itertuples()]
    print_table("Left out, at the first reason", ["campaign", "reason", "customers"], excluded)
    if plan.solution is not None:
        solution = plan.solution
        console.print(
            f"Assignment by value ({solution.method}): {solution.value:,.2f}, no assignment can "
            f"exceed {solution.bound:,.2f} (gap at most {solution.gap:.4%})."
        )
        for sentence in price_sentences(plan.table):
            console.print(sentence)
        if solution.another_contact >= LEAST_PRICE:
            console.print(
                "One more contact for each of them would bring at most "
                f"{solution.another_contact:,.2f}."
            )


def _print_offers(offers: pd.DataFrame) -> None:
    """Print the offers of campaigns with several, and by which knowledge their value is known."""
    from campaigns.plan_prices import offer_price_sentences
    from flows.services.console import console, print_table

    if offers.empty:
        return
    header = [
        "campaign", "offer", "channel", "people", "drawn", "value", "cost", "draws cost",
    ]  # fmt: skip
    offer_rows = [
        (
            row.campaign_id, row.offer_name, row.channel, row.members, row.explored,
            _whole(row.expected_value), _whole(row.cost), _whole(row.exploration_cost),
        )
        for row in offers.itertuples()
    ]  # fmt: skip
    print_table("Offers", header, offer_rows)
    by_label = offers[offers["value_label"] != ""].groupby("value_label", sort=False)
    for label, rows in by_label:
        named = ", ".join(f"{row.campaign_id} {row.offer_name}" for row in rows.itertuples())
        console.print(f"value is {label}: {named}")
    console.print(
        "drawn: at random, to learn what the offers change; draws cost: expected value that the "
        "draws give up"
    )
    for sentence in offer_price_sentences(offers):
        console.print(sentence)


def _value_sentence(value: PlanValue) -> str:
    """Say what the planned offers would have added in past decisions, or why that is unknown."""
    opening = f"{value.campaign}, by {value.decisions:,} past decisions:"
    if reason := value.over_nothing.unknown:
        return f"{opening} what the planned offers add is not known ({reason})"
    parts = [
        f"{gain.gain:+,.2f} a person over {than} ({gain.gain_low:+,.2f} to {gain.gain_high:+,.2f})"
        for gain, than in ((value.over_nothing, "nothing"), (value.over_past, "what was done"))
    ]
    return (
        f"{opening} offers in each stage as planned would have earned {', '.join(parts)}, with "
        "95 % intervals."
    )
