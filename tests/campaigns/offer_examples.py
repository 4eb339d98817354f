"""A playbook with several offers, customers and their facts, for the tests of offers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from campaigns.customer_context import CustomerContext
from campaigns.playbook import Playbook
from features.config.customers import Cap, ContactPolicy
from tests.campaigns.campaign_examples import playbook

OFFERS = (
    {"name": "note", "text": "A note", "incremental_share": 0.05},
    {"name": "code", "text": "10 % off", "discount": 0.1, "incremental_share": 0.3},
    {"name": "gift", "text": "A gift by letter", "channel": "letter", "contact_cost": 4.0,
     "incremental_share": 0.4},
)  # fmt: skip


def offers_playbook(**changes: Any) -> Playbook:
    """A campaign for lapsed customers with a note, a code and a gift by letter."""
    several: dict[str, Any] = {
        "offer": None,
        "offers": OFFERS,
        "exploration_share": 0.3,
        "audience": {"column": "p_reactivate", ">=": 0.0},
        "trigger": [{"when": "schedule", "every": "day"}],
    }
    return playbook(**{**several, **changes})


def with_places(**places: int | None) -> list[dict[str, Any]]:
    """The offers with a capacity each."""
    return [{**offer, "capacity": places.get(str(offer["name"]))} for offer in OFFERS]


def facts(customers: list[str], seed: int, **policy: Any) -> CustomerContext:
    """Consents, recent full-price orders and contacts made, at random."""
    rng = np.random.default_rng(seed)
    index = pd.Index(customers)
    count = len(customers)
    consent = pd.DataFrame(
        {"email": rng.random(count) < 0.8, "direct_mail": rng.random(count) < 0.6}, index=index
    )
    caps = (Cap(contacts=2, days=7), Cap(contacts=1, days=7, channel="letter"))
    return CustomerContext(
        policy=ContactPolicy.model_validate({"caps": caps, "suppress": {}, **policy}),
        consent=consent,
        contacts=pd.DataFrame(
            {0: rng.integers(0, 3, count), 1: rng.integers(0, 2, count)}, index=index
        ),
        past=pd.DataFrame(
            {"no_discount full-price order in the last 14 days": rng.random(count) < 0.2},
            index=index,
        ),
    )


def assert_within_limits(
    members: pd.DataFrame, context: CustomerContext, *, gifts: int
) -> pd.DataFrame:
    """Assert that consent, caps, rules and places hold for the offers; return those treated."""
    assert context.consent is not None
    assert context.contacts is not None
    assert context.past is not None
    control = members["arm"] == "control"
    assert (members.loc[control, "offer_name"] == "nothing").all()
    treated = members[~control]
    by_letter = treated["offer_name"] == "gift"
    consent, contacts, past = (
        table.loc[treated.index] for table in (context.consent, context.contacts, context.past)
    )
    assert consent["direct_mail"][by_letter].all()
    assert consent["email"][~by_letter].all()
    assert (contacts[0] < 2).all()
    assert (contacts[1][by_letter] < 1).all()
    assert not (past.iloc[:, 0] & (treated["offer_name"] == "code")).any()
    assert by_letter.sum() <= gifts
    return treated
