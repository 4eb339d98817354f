"""Assignment of customers to campaigns: exact, greedy and bound on one case, and a large plan.

    uv run python -m benchmarks.assignment --json result.json
    uv run python -m benchmarks.assignment --plan 1000000 --campaigns 20
    uv run python -m benchmarks.assignment --plan 1000000 --campaigns 20 --offers 3

The first is a synthetic problem in which places, contacts and money are all scarce. The second is
`campaigns.planning.plan_campaigns` from scored rows to members with arms, with consents, rules on
the past, caps and previous members, by value (the greedy way with its bound, at that size). With
`--offers`, each campaign has several offers, some scarce, and draws one in ten of them; every
fourth campaign has learned effects.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from campaigns.customer_context import CustomerContext
from campaigns.expected_value import offer_uplift_name
from campaigns.optimiser.exact import solve_exactly
from campaigns.optimiser.greedy import solve_greedily
from campaigns.optimiser.problem import Problem, Solution
from campaigns.planning import CampaignPlan, plan_campaigns
from campaigns.playbook import Playbook
from campaigns.stage_set import StageSet
from features.config.customers import ContactPolicy

AT = dt.date(2024, 6, 3)
STAGES = ("acquisition", "conversion", "retention", "loyalty", "lapsed")
CHANNELS = ("email", "text", "mobile_push", "letter")


def problem(customers: int, campaigns: int, seed: int) -> Problem:
    """Values of a customer go together; places, contacts and money are scarce."""
    rng = np.random.default_rng(seed)
    shape = (customers, campaigns)
    worth = rng.gamma(2.0, 10.0, (customers, 1)) * rng.uniform(0.1, 0.5, (1, campaigns))
    value = worth * rng.lognormal(0.0, 0.4, shape) - 1.0
    value[rng.random(shape) < 0.4] = np.nan
    channel = np.broadcast_to(rng.integers(0, 3, campaigns), shape).astype(np.int64)
    return Problem(
        value=value,
        cost=np.broadcast_to(rng.choice([0.1, 0.5, 2.0], campaigns), shape).copy(),
        channel=channel,
        at_most=rng.integers(0, 3, customers),
        channel_left=rng.integers(0, 3, (customers, 3)),
        capacity=np.floor(customers * rng.uniform(0.02, 0.15, campaigns)),
        campaign_budget=np.where(rng.random(campaigns) < 0.3, customers * 0.02, np.inf),
        budget=customers * 0.15,
    )


def kept(case: Problem, found: Solution) -> bool:
    """Whether no cap, capacity or budget is exceeded."""
    chosen = found.chosen
    spent = (chosen * case.cost).sum(axis=0)
    by_channel = [
        ((chosen & (case.channel == channel)).sum(axis=1) <= case.channel_left[:, channel]).all()
        for channel in range(case.channel_left.shape[1])
    ]
    return bool(
        all(by_channel)
        and not (chosen & ~(case.value > 0)).any()
        and (chosen.sum(axis=1) <= case.at_most).all()
        and (chosen.sum(axis=0) <= case.capacity).all()
        and (spent <= case.campaign_budget + 1e-6).all()
        and spent.sum() <= case.budget + 1e-6
    )


def compared(customers: int, campaigns: int, seed: int, seconds: float) -> list[dict[str, Any]]:
    case = problem(customers, campaigns, seed)
    lines = []
    for name in ("greedy", "exact"):
        start, wall = time.process_time(), time.perf_counter()
        found = (
            solve_greedily(case, seed=seed)
            if name == "greedy"
            else solve_exactly(case, seed=seed, seconds=seconds)
        )
        lines.append(
            {
                "case": f"{customers:,} x {campaigns}",
                "asked": name,
                "method": found.method,
                "value": found.value,
                "bound": found.bound,
                "gap": found.gap,
                "limits_kept": kept(case, found),
                "processor_seconds": time.process_time() - start,
                "seconds": time.perf_counter() - wall,
                "peak_mb": peak(),
            }
        )
    return lines


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def several(count: int, customers: int) -> dict[str, Any]:
    """Keys of a playbook with several offers; the last offer is a letter with few places."""
    offers: list[dict[str, Any]] = [
        {
            "name": f"offer_{number}",
            "text": "offer",
            "discount": 0.05 * number,
            "incremental_share": 0.1 + 0.08 * number,
        }
        for number in range(count)
    ]
    letter = {"channel": "letter", "contact_cost": 1.0, "capacity": customers // 60}
    offers[-1] = {**offers[-1], **letter}
    return {"offers": offers, "offer": None, "exploration_share": 0.1}


def learned_effects(customers: int, campaigns: int, offers: int, seed: int) -> pd.Series:
    """Column `uplift` of the scores: effects of the offers of every fourth campaign."""
    rng = np.random.default_rng([seed, 3])
    names = [
        offer_uplift_name(f"campaign_{campaign:02d}", f"offer_{offer}")
        for campaign in range(0, campaigns, 4)
        for offer in range(offers)
    ]
    effects = rng.normal(0.03, 0.03, (customers, len(names))).round(6)
    return pd.Series(
        [json.dumps(dict(zip(names, row, strict=True))) for row in effects.tolist()], dtype=object
    )


def playbooks(count: int, customers: int, offers: int = 1) -> list[Playbook]:
    found = []
    for number in range(count):
        stages = [STAGES[number % 5], STAGES[(number + 1) % 5]]
        rules: list[dict[str, Any]] = [
            {"column": "p_any_order", ">": 0.02 * (number % 4)},
            {"not": {"column": "flags", "has": "unresponsive"}},
            {"column": "value_tier", "in": ["top", "mid", "low"][: 1 + number % 3]},
        ]
        found.append(
            Playbook.model_validate(
                {
                    "campaign": f"campaign_{number:02d}",
                    "title": f"Campaign {number}",
                    "description": "Of the benchmark.",
                    "stages": {"other": stages},
                    "trigger": [{"when": "schedule", "every": "day"}],
                    "audience": {"all": rules},
                    "exit_on": {"column": "flags", "has": "unresponsive"},
                    "expires_days": 30,
                    "re_entry_days": 30,
                    "rank_by": ["p_any_order", "clv"],
                    "value": {"product": ["p_any_order", "clv"], "means": "spend"},
                    "channel": [CHANNELS[number % 4], "email"],
                    "offer": {"text": "offer", "discount": 0.1 * (number % 3)},
                    "contact_cost": 0.05,
                    "control_share": 0.1,
                    "success": {"metric": "orders", "within_days": 30, "base_rate": "p_any_order"},
                    "priority": number + 1,
                    "capacity": None if number % 3 else customers // 30,
                    "budget": None if number % 4 else customers * 0.01,
                    **(several(offers, customers) if offers > 1 else {}),
                }
            )
        )
    return found


def scored(customers: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    flags = np.array(["[]", '["unresponsive"]', '["deal_seeker"]'], dtype=object)
    stage = np.array(STAGES, dtype=object)[rng.integers(0, 5, customers)]
    return pd.DataFrame(
        {
            "customer_id": pd.Series([f"c{number:08d}" for number in range(customers)]),
            "stage": pd.Series(stage),
            "stage_since": pd.Timestamp("2024-03-01"),
            "stage_change_cause": "behaviour",
            "flags": pd.Series(flags[rng.choice(3, customers, p=[0.8, 0.1, 0.1])]),
            "p_any_order": rng.uniform(0, 1, customers),
            "p_churn": rng.uniform(0, 1, customers),
            "clv": rng.gamma(2.0, 30.0, customers),
            "clv_horizon_days": 60.0,
            "value_tier": pd.Series(np.array(["top", "mid", "low"])[rng.integers(0, 3, customers)]),
            "average_order_value": rng.gamma(2.0, 30.0, customers),
        }
    )


def around(customers: pd.Series, seed: int, objective: str) -> CustomerContext:
    rng, n = np.random.default_rng(seed), len(customers)
    ids = pd.Index(customers)
    purposes = ("email", "sms", "push", "direct_mail", "profiling")
    policy = ContactPolicy(
        objective="value" if objective == "value" else "priority", budget=n * 0.05, margin=0.4
    )
    asked = [f"suppress {reason}" for reason in policy.suppress]
    asked += [f"no_discount {reason}" for reason in policy.no_discount]
    return CustomerContext(
        policy=policy,
        consent=pd.DataFrame({name: rng.random(n) < 0.8 for name in purposes}, index=ids),
        suppressed=pd.DataFrame({"customer_id": ids[::200], "channel": None, "reason": "staff"}),
        past=pd.DataFrame({name: rng.random(n) < 0.03 for name in asked}, index=ids),
        contacts=pd.DataFrame(
            {number: rng.integers(0, 3, n) for number in range(len(policy.caps))}, index=ids
        ),
        sunset=pd.Series(rng.random(n) < 0.02, index=ids),
    )


def planned(
    customers: int, campaigns: int, seed: int, objective: str, *, offers: int = 1
) -> list[dict[str, Any]]:
    """Two days: nobody in the campaigns yet, then most members kept."""
    books = playbooks(campaigns, customers, offers)
    taxonomy = StageSet("made_up", STAGES)
    frame = scored(customers, seed)
    if offers > 1:
        frame["uplift"] = learned_effects(customers, campaigns, offers, seed)
    case = f"{customers:,} customers x {campaigns} campaigns"
    if offers > 1:
        case += f" x {offers} offers"
    facts = around(frame["customer_id"], seed, objective)
    previous: pd.DataFrame | None = None
    lines = []
    for day in range(2):
        start, wall = time.process_time(), time.perf_counter()
        made: CampaignPlan = plan_campaigns(
            frame,
            books,
            snapshot_at=AT + dt.timedelta(days=day),
            taxonomy=taxonomy,
            previous=previous,
            consent="recorded",
            salt="benchmark",
            context=facts,
            seed=seed,
        )
        previous = made.audience
        lines.append(
            {
                "case": f"{case}, {objective}",
                "day": "first" if day == 0 else "next",
                "members": int(made.table["members"].sum()),
                "gap": None if made.solution is None else made.solution.gap,
                "processor_seconds": time.process_time() - start,
                "seconds": time.perf_counter() - wall,
                "peak_mb": peak(),
            }
        )
        print(json.dumps(lines[-1]), flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--campaigns", type=int, default=12)
    parser.add_argument("--plan", type=int, help="customers of a whole plan")
    parser.add_argument("--offers", type=int, default=1, help="offers of each campaign of a plan")
    parser.add_argument("--objective", choices=["value", "priority"], default="value")
    parser.add_argument("--seconds", type=float, default=120.0, help="most of the exact solver")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.plan is not None:
        found = planned(
            asked.plan, asked.campaigns, asked.seed, asked.objective, offers=asked.offers
        )
    else:
        found = compared(asked.customers, asked.campaigns, asked.seed, asked.seconds)
        for line in found:
            print(json.dumps(line))
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
