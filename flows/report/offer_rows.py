"""Offers of the campaigns in the report: people, draws, value and what scarce places cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from campaigns.plan_prices import offer_price_sentences
from campaigns.plan_table import OFFER_COLUMNS, OFFERS_FILE
from campaigns.playbook_parts import NOTHING


def read_offers(folder: Path) -> pd.DataFrame:
    """Read the offers of a run's plan, columns `OFFER_COLUMNS`; no rows without several offers."""
    path = folder / "audiences" / OFFERS_FILE
    return pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=list(OFFER_COLUMNS))


def offer_rows(offers: pd.DataFrame, plan: pd.DataFrame) -> list[dict[str, Any]]:
    """Lines of the report's table of offers.

    Parameters
    ----------
    offers
        From `read_offers`.
    plan
        The plan's table, for the titles.

    Returns
    -------
    list of dict
        title, offer, channel, people, drawn, expected_value, cost, given_up (expected value that
        the draws give up), place_price (null: no limit binds), basis (by what the value is known).
    """
    titles = dict(zip(plan["campaign_id"], plan["title"], strict=True))
    return [
        {
            "title": titles.get(row.campaign_id, row.campaign_id),
            "offer": "nothing (held out)" if row.offer_name == NOTHING else row.offer_name,
            "channel": "" if pd.isna(row.channel) else row.channel,
            "people": int(row.members),
            "drawn": int(row.explored),
            "expected_value": float(row.expected_value),
            "cost": float(row.cost),
            "given_up": float(row.exploration_cost),
            "place_price": None if pd.isna(row.place_price) else float(row.place_price),
            "basis": "" if pd.isna(row.value_label) else row.value_label,
        }
        for row in offers.itertuples()
    ]


def offer_sentences(offers: pd.DataFrame) -> list[str]:
    """Say what a further place of each scarce offer would bring; none without offers."""
    return offer_price_sentences(offers) if len(offers) else []
