"""Preferences of hand-made histories, and of simulated customers whose taste is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.aggregates.tallies import Tallies
from features.config.config import Config
from features.history.history import Choices, History
from features.history.preference_smoothing import (
    LEAST_WEIGHT,
    MOST_WEIGHT,
    USUAL_WEIGHT,
    choosing,
    likely,
    population,
)
from features.table.families.feature import FeatureSpec, View
from features.table.preferred_values import liking
from features.table.snapshot_builder import Builder
from tests.simulator.simulated_tables import frame as table_of

AT = 100


def choices(rows: list[tuple[int, str, str, int]], day: int = 10) -> Choices:
    """Lines (customer, attribute, value, count), all known on a day."""
    attributes = sorted({a for _, a, _, _ in rows})
    values = sorted({v for _, _, v, _ in rows})
    coded = sorted((c, attributes.index(a), values.index(v), n) for c, a, v, n in rows)
    position, attribute, choice, count = np.array(coded).T
    group = np.arange(len(coded))
    known = np.full(len(coded), day + 1)
    names = np.array(attributes), np.array(values)
    return Choices(position, attribute, choice, group, known, count, *names)


def likings(customers: int, **kinds: Choices) -> pd.DataFrame:
    ids = np.array([f"c{number:03d}" for number in range(customers)])
    view = View(History(ids, {}, kinds), AT, 2)
    spec = FeatureSpec(windows=(30,), roles=("touch", "purchase"), attributes=("brand",))
    return pd.DataFrame(liking(view, spec), index=range(customers))


def test_a_customers_own_choice_is_drawn_toward_everybodys() -> None:
    # Too few repeats to learn the weight: 4 lines of everybody's shares, 3/4 north and 1/4 south.
    frame = likings(5, bought=choices([(0, "brand", "north", 6), (1, "brand", "south", 2)]))
    south = frame.loc[1]
    assert south["preferred_brand"] == "south"  # 2 + 4 x .25 against 0 + 4 x .75: one's own
    assert south["preferred_brand_share"] == pytest.approx(3 / 6)
    assert frame.loc[0, "preferred_brand_share"] == pytest.approx((6 + 3) / 10)
    assert frame["preferred_brand_n"].tolist() == [6, 2, 0, 0, 0]


def test_of_who_never_chose_nothing_is_said() -> None:
    frame = likings(2, bought=choices([(0, "brand", "north", 1)]))
    assert pd.isna(frame.loc[1, "preferred_brand"])
    assert np.isnan(frame.loc[1, "preferred_brand_share"])
    assert frame["interest_brand"].isna().all()


def test_ties_go_to_ones_own_and_then_by_name() -> None:
    made = choosing(choices([(0, "brand", "b", 1), (0, "brand", "c", 1), (1, "brand", "a", 2)]), AT)
    everybody = population(made)
    assert everybody.weight.tolist() == [USUAL_WEIGHT]
    # b and c: 1 + 4/4 each; a: 4 x 2/4 = 2, as much: one's own is kept, the first by name.
    assert made.names[likely(made, everybody).choice].tolist() == ["b", "a"]


def test_what_becomes_known_later_is_not_told() -> None:
    frame = likings(1, bought=choices([(0, "brand", "north", 1)], day=AT))
    assert pd.isna(frame.loc[0, "preferred_brand"])


def test_the_weight_is_small_where_customers_are_loyal_and_large_where_all_choose_alike() -> None:
    rng = np.random.default_rng(3)
    loyal = [(c, "brand", "nsew"[c % 4], 5) for c in range(60)]
    same = [
        (c, "colour", v, n)
        for c in range(200)
        for v, n in zip("kwrg", rng.multinomial(20, [0.4, 0.3, 0.2, 0.1]), strict=True)
        if n
    ]
    weight = population(choosing(choices([*loyal, *same]), AT)).weight
    assert weight[0] == LEAST_WEIGHT
    assert 50 < weight[1] <= MOST_WEIGHT


def test_the_learned_weight_is_that_of_the_dirichlet_the_choices_come_from() -> None:
    rng = np.random.default_rng(5)
    shares = np.array([0.4, 0.3, 0.2, 0.1])
    rows = [
        (c, "brand", v, n)
        for c, own in enumerate(rng.dirichlet(6.0 * shares, 4000))
        for v, n in zip("nsew", rng.multinomial(1 + c % 7, own), strict=True)
        if n
    ]
    assert population(choosing(choices(rows), AT)).weight[0] == pytest.approx(6.0, rel=0.1)


def test_the_channel_is_where_messages_are_answered_and_not_where_most_are_sent() -> None:
    sent = choices([(c, "channel", k, n) for c in range(9) for k, n in (("email", 40), ("sms", 8))])
    touched = choices(
        [
            (0, "channel", "sms", 5),
            (0, "channel", "email", 6),
            (1, "channel", "email", 9),
            (2, "channel", "web", 3),
            (3, "channel", "web", 9),
            (3, "channel", "sms", 1),
        ]
    )
    bought = choices([(4, "channel", "store", 2), (2, "channel", "store", 2)])
    found = likings(6, sent=sent, viewed=touched, bought=bought)["preferred_channel"]
    assert found.fillna("-").tolist() == ["sms", "email", "web", "sms", "store", "-"]


def test_one_answer_to_one_message_says_less_than_many_to_many() -> None:
    others = [(c, "channel", "email", 10) for c in range(3, 60)]
    sent = choices(
        [
            (0, "channel", "sms", 1),
            (0, "channel", "email", 40),
            *((c, "channel", k, 20) for c in range(3, 60) for k in ("email", "sms")),
        ]
    )
    touched = choices([(0, "channel", "sms", 1), (0, "channel", "email", 30), *others])
    assert likings(60, sent=sent, viewed=touched).loc[0, "preferred_channel"] == "email"


def test_simulated_tastes_are_recovered(small: Path, tallied: tuple[Config, Tallies]) -> None:
    builder = Builder.from_tallies(*tallied)
    facts = builder.profile(builder.last_snapshot).set_index("customer_id")
    truth = table_of(small, "truth/customers").set_index("customer_id")
    for name in builder.config.attributes():
        known = facts[facts[f"preferred_{name}_n"] > 0]
        favourite = truth[f"favourite_{name}"].astype(str).reindex(known.index)
        ours = (known[f"preferred_{name}"] == favourite).mean()
        everybodys = (favourite == favourite.mode()[0]).mean()
        # Nearly everybody buys one of a kind, whatever their taste.
        assert ours > everybodys + (0.0 if name == "quantity" else 0.08), name
