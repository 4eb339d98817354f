"""Prices of an assignment in the plan: what more places and money would bring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from campaigns.optimiser.problem import Solution

LEAST_PRICE = 0.005  # smaller prices print as 0.00
_WORDS = {"place_price": "place", "budget_price": "unit of budget"}


def with_prices(
    table: pd.DataFrame, *, assigned: Sequence[bool], solution: Solution | None
) -> pd.DataFrame:
    """Plan table with ``place_price`` and ``budget_price``; null without an assignment by value.

    Parameters
    ----------
    table
        One row per campaign.
    assigned
        True for the campaigns that the assignment covers, in its order.
    solution
        The assignment by value; None: campaigns were served by priority.
    """
    priced = table.assign(place_price=np.nan, budget_price=np.nan)
    if solution is not None:
        priced.loc[list(assigned), "place_price"] = solution.prices.place
        priced.loc[list(assigned), "budget_price"] = solution.prices.money + solution.prices.common
    return priced


def price_sentences(table: pd.DataFrame) -> list[str]:
    """Say what a further place and a further unit of budget would bring; none without a limit.

    Parameters
    ----------
    table
        The plan's table; one of an earlier version has no prices.
    """
    sentences = []
    for column, words in _WORDS.items():
        if column not in table:
            continue
        scarce = table[table[column] >= LEAST_PRICE].sort_values(column, ascending=False)
        if len(scarce):
            prices = ", ".join(
                f"{title} {price:,.2f}"
                for title, price in zip(scarce["title"], scarce[column], strict=True)
            )
            sentences.append(f"A further {words} would bring at most: {prices}.")
    return sentences


def offer_price_sentences(offers: pd.DataFrame) -> list[str]:
    """Say what a further place of each scarce offer would bring; none without one.

    Parameters
    ----------
    offers
        The plan's table of offers.
    """
    scarce = offers[pd.to_numeric(offers["place_price"]) >= LEAST_PRICE]
    scarce = scarce.sort_values("place_price", ascending=False)
    prices = ", ".join(
        f"{row.offer_name} of {row.campaign_id} {row.place_price:,.2f}"
        for row in scarce.itertuples()
    )
    return [f"A further place of an offer would bring at most: {prices}."] if prices else []
