"""Made-up contracts: payments and cancel events, and the contract columns by a plain loop."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

NAMES = ("age", "length", "paid", "payments", "trial", "price", "previous", "pause")


@dataclass
class Member:
    """A customer: payments (day, amount) and cancel days, both rising."""

    payments: list[tuple[int, float]] = field(default_factory=list)
    cancels: list[int] = field(default_factory=list)


def members(
    number: int,
    *,
    seed: int,
    days: int,
    alpha: float = 0.8,
    beta: float = 6.0,
    period: float = 30.0,
    trials: float = 0.0,
    conversion: float = 0.6,
    returns: float = 0.0,
) -> list[Member]:
    """Customers who start on a random day and cancel a period with their own beta chance.

    A share `trials` begins with 30 days for 0, of whom a share `conversion` pays afterwards. Of
    those who cancel, a share `returns` begins anew within 100 days.
    """
    generator = np.random.default_rng(seed)
    population = []
    for _ in range(number):
        member, start = Member(), int(generator.integers(0, days))
        price = float(generator.choice([10.0, 20.0, 50.0]))
        population.append(member)
        if generator.random() < trials:
            member.payments.append((start, 0.0))
            if generator.random() > conversion:
                member.cancels.append(start + int(generator.integers(1, 30)))
                continue
            start += 30
        chance, renewal = generator.beta(alpha, beta), 0
        while (day := start + round(renewal * period)) < days:
            member.payments.append((day, price))
            renewal += 1
            if generator.random() < chance:
                end = day + int(generator.integers(1, max(int(period), 2)))
                member.cancels.append(end)
                if generator.random() >= returns:
                    break
                chance, renewal = generator.beta(alpha, beta), 0
                start = end + int(generator.integers(1, 100))
    return population


def contract_columns(population: list[Member], at: int) -> pd.DataFrame:
    """The columns ``contract__*`` of the latest contracts before a day, one customer at a time."""
    return pd.DataFrame(
        [_columns(member, at) for member in population],
        columns=[f"contract__{name}" for name in NAMES],
    )


def _columns(member: Member, at: int) -> list[float]:
    contracts: list[list[tuple[int, float]]] = []
    ends: list[float] = []
    for day, amount in sorted(payment for payment in member.payments if payment[0] < at):
        if not contracts or (not np.isnan(ends[-1]) and ends[-1] < day):
            contracts.append([])
            ends.append(np.nan)
        contracts[-1].append((day, amount))
        later = [cancel for cancel in member.cancels if day <= cancel < at]
        ends[-1] = float(min(later)) if later else np.nan
    if not contracts:
        return [np.nan] * len(NAMES)
    latest, start = contracts[-1], contracts[-1][0][0]
    paid = [payment for payment in latest if payment[1] > 0]
    has_previous = len(contracts) > 1
    return [
        at - start,
        ends[-1] - start,
        latest[-1][0] - start,
        len(latest),
        paid[0][0] - start if paid else np.nan,
        paid[-1][1] if paid else np.nan,
        ends[-2] - contracts[-2][0][0] if has_previous else np.nan,
        start - ends[-2] if has_previous else np.nan,
    ]
