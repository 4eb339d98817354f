"""Ids that are most often one customer: counted, and a refusal under one counts for the other."""

from __future__ import annotations

import uuid

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from features.sources.customer_attributes import CustomerFacts
from features.sources.keys import fold_key
from features.sources.near_twins import (
    contacts_with_twins,
    near_twins_among,
    with_refusals_of_twins,
)
from tests.tries import tries

LISTED = ["customer_id", "channel", "reason"]


def facts(customers: list[str], *, suppressed: list[str], refused: list[str]) -> CustomerFacts:
    return CustomerFacts(
        contacts=pd.DataFrame(index=pd.Index(customers, dtype=object)),
        consent=pd.DataFrame({"email": True}, index=pd.Index(customers, dtype=object)),
        suppressed=pd.DataFrame([(key, None, "asked") for key in suppressed], columns=LISTED),
        refused=pd.DataFrame({"email": True}, index=pd.Index(refused, dtype=object)),
    )


def spelled_otherwise(key: str, *, upper: bool, dashes: bool) -> str:
    text = key if dashes else key.replace("-", "")
    return text.upper() if upper else text


@settings(max_examples=tries(200), deadline=None)
@given(key=st.uuids().map(str), upper=st.booleans(), dashes=st.booleans(), listed=st.booleans())
def test_a_refusal_under_another_spelling_counts(
    key: str, upper: bool, dashes: bool, listed: bool
) -> None:
    other = spelled_otherwise(key, upper=upper, dashes=dashes)
    assume(other != key)
    customers = [key, "c2"]
    known = facts(
        customers, suppressed=[other] if listed else [], refused=[] if listed else [other]
    )
    found, twins = with_refusals_of_twins(known, pd.Index(customers, dtype=object))
    assert fold_key(other) == fold_key(key)
    assert twins == 1
    if listed:
        assert key in set(found.suppressed["customer_id"])
        assert "c2" not in set(found.suppressed["customer_id"])
    else:
        assert bool(found.refused.loc[key, "email"])
        assert found.consent is not None
        assert not bool(found.consent.loc[key, "email"])
        assert bool(found.consent.loc["c2", "email"])


@pytest.mark.parametrize(
    ("customer", "listed"),
    [
        ("c1", "c\u200b1"),
        ("jos\u00e9", "jose\u0301"),
        ("12", "\uff11\uff12"),
        ("c12", "C\u0661\u0662"),  # Arabic
        ("12", "\u0967\u0968.0"),  # Devanagari
        ("12", "12,0"),
        ("12", "+12"),
        ("12", "'12"),
        ("1234", "1,234"),
        ("0012", "12"),
    ],
)
def test_a_refusal_reaches_an_id_that_was_typed_otherwise(customer: str, listed: str) -> None:
    known = facts([customer, "c2"], suppressed=[listed], refused=[])
    found, twins = with_refusals_of_twins(known, pd.Index([customer, "c2"], dtype=object))
    assert twins == 1
    assert set(found.suppressed["customer_id"]) == {customer, listed}


def test_two_customers_who_are_near_twins_keep_their_own_refusals() -> None:
    known = facts(["ab12", "AB12"], suppressed=["AB12"], refused=[])
    found, twins = with_refusals_of_twins(known, pd.Index(["ab12", "AB12"], dtype=object))
    assert twins == 0
    assert set(found.suppressed["customer_id"]) == {"AB12"}


@pytest.mark.parametrize(
    ("ids", "count"),
    [
        (["a1", "b1"], 0),
        (["a1", "A1", "b1"], 2),
        (["d41d8cd98f00b204e9800998ecf8427e", "d41d8cd9-8f00-b204-e980-0998ecf8427e"], 2),
        ([str(uuid.UUID(int=1)), str(uuid.UUID(int=2))], 0),
    ],
)
def test_near_twins_are_counted(ids: list[str], count: int) -> None:
    assert near_twins_among(ids) == count


def test_an_address_under_a_near_twin_is_the_customers_too() -> None:
    digits, dashed = "d41d8cd98f00b204e9800998ecf8427e", "d41d8cd9-8f00-b204-e980-0998ecf8427e"
    contacts = pd.DataFrame(
        {"email": ["a@x.org", "b@x.org", "c@x.org"]},
        index=pd.Index([digits, "Ab", "ab"], name="customer_id"),
    )
    known = contacts_with_twins(contacts, pd.Index([dashed, "Ab", "ab"]))
    assert sorted(zip(known.index, known["email"], strict=True)) == sorted(
        [(digits, "a@x.org"), (dashed, "a@x.org"), ("Ab", "b@x.org"), ("ab", "c@x.org")]
    )
    assert contacts_with_twins(contacts, pd.Index(["ab", "Ab"])) is contacts
