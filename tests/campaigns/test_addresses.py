"""One address, several ids: what holds for one of them holds for the address."""

from __future__ import annotations

import csv
import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campaigns.addresses import ADDRESS_KINDS, Addresses, address_kinds
from campaigns.audience_files import ExportRun
from campaigns.customer_context import CustomerContext
from campaigns.export_schema import load_targets
from campaigns.planning import CampaignPlan
from campaigns.target_exports import Delivery, write_exports
from features.config.customers import ContactPolicy, GlobalHoldout, PersonColumns
from features.sources.people_by_address import people_and_addresses
from tests.campaigns.campaign_examples import plan, playbook

MAPS = sorted((Path(__file__).parents[2] / "configs" / "exports").glob("*.yaml"))


def people(*customers: str, **columns: Any) -> pd.DataFrame:
    given = {"stage": "lapsed", "p_reactivate": 0.5, "clv": 10.0} | columns
    return pd.DataFrame({"customer_id": list(customers), **given})


def keys(**columns: list[str | None]) -> pd.DataFrame:
    """Contact keys of the customers a, b, c, ..."""
    n = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=pd.Index(list("abcdefgh"[:n]), dtype=object))


def said_no(**columns: list[bool]) -> pd.DataFrame:
    return keys(**columns)  # type: ignore[arg-type]


def why(planned: CampaignPlan, campaign: str = "back") -> dict[str, str]:
    return dict(zip(planned.customers, planned.why[campaign], strict=True))


def written(
    folder: Path, planned: CampaignPlan, context: CustomerContext, contacts: pd.DataFrame
) -> Any:
    """Rows of the plain CSV, and its manifest."""
    delivery = Delivery(
        scores=people(*planned.customers).set_index("customer_id"),
        contacts=contacts,
        addresses=context.addresses,
        withheld={kind: frozenset(context.withheld_from_exports(kind)) for kind in ADDRESS_KINDS},
    )
    targets = [target for target in load_targets(MAPS) if target.target == "csv"]
    write_exports(planned, targets, folder, run=ExportRun("r", "1"), delivery=delivery)
    manifest = json.loads((folder / "csv" / "manifest.json").read_text(encoding="utf-8"))
    with (folder / "csv" / "back.csv").open(encoding="utf-8", newline="") as file:
        return {row["customer_id"]: row for row in csv.DictReader(file)}, manifest


@pytest.mark.parametrize(
    ("kind", "one", "other", "same"),
    [
        ("email", "Anna@Example.com ", "anna@example.COM", True),
        ("email", "anna@bücher.de", "anna@xn--bcher-kva.de", True),
        ("email", "an\u200bna@example.com", "anna@example.com", True),
        ("email", "Anna <anna@example.com>", "anna@example.com", True),
        ("email", "'anna@example.com'", "<anna@example.com>", True),
        ("email", "anna+shop@example.com", "anna@example.com", False),
        ("email", "an.na@example.com", "anna@example.com", False),
        ("phone", "+49 (0)30 1234567", "0049301234567", True),
        ("phone", "030/1234567", "+49 30 1234567", True),
        ("phone", "tel:+49-30-1234567", "+49 30 1234567 ext. 5", True),
        ("phone", "+\u0664\u0669 \u0663\u0660 \u06611234567", "+49 30 11234567", True),
        ("phone", "\u0660\u0663\u0660 \u06611234567", "+49 30 11234567", True),
        ("phone", "+49 30 1234567", "+43 30 1234567", False),
        ("mobile_ad_id", "AECE-52", "aece-52", True),
        ("device_token", "Ab", "aB", False),
    ],
)
def test_spellings_of_an_address(kind: str, one: str, other: str, same: bool) -> None:
    texts: list[str | None] = [one, other, "x"]
    found = Addresses.of(keys(**{kind: texts}))
    assert list(found.shared_with(["a"], [kind])) == (["b"] if same else [])


def test_a_number_without_its_country_is_that_of_the_customers_country() -> None:
    found = Addresses.of(keys(phone=["030 1234567", "+49301234567"], country=["DE", None]))
    assert list(found.shared_with(["b"], ["phone"])) == ["a"]


def test_an_id_that_is_an_address_counts_as_one() -> None:
    contacts = pd.DataFrame(
        {"email": ["ANNA@example.com"]}, index=pd.Index(["anna@example.com"], dtype=object)
    )
    contacts = pd.concat([contacts, keys(email=["anna@example.com"])])
    assert list(Addresses.of(contacts).shared_with(["anna@example.com"], ["email"])) == ["a"]


@pytest.mark.parametrize("channel", ["email", "all"])
def test_an_address_that_refused_under_any_id_is_addressed_under_none(channel: str) -> None:
    context = CustomerContext(
        refused=said_no(**{channel: [True, False, False]}),
        addresses=Addresses.of(keys(email=["x@y.de", "X@Y.de", "z@y.de"])),
    )
    # The one who refused is not even a customer of the shop.
    planned = plan(people("b", "c"), playbook(), context=context)
    assert why(planned) == {"b": "same address as a customer who refused email", "c": ""}
    assert planned.table["barred"].iloc[0] == 1
    text = playbook(channel="text")
    assert why(plan(people("b"), text, context=context))["b"] == ""


def test_a_list_that_names_one_id_holds_for_the_address() -> None:
    listed = pd.DataFrame({"customer_id": ["a"], "channel": [None], "reason": ["hard bounce"]})
    context = CustomerContext(
        suppressed=listed, addresses=Addresses.of(keys(email=["x@y.de", "x@y.de"]))
    )
    planned = plan(people("a", "b"), playbook(), context=context)
    assert why(planned) == {
        "a": "suppressed: hard bounce",
        "b": "same address as a suppressed customer: hard bounce",
    }
    several = plan(people("b"), playbook(channel=["email", "letter"]), context=context)
    assert why(several)["b"] == "same address as a suppressed customer: hard bounce"


@pytest.mark.parametrize(("channel", "reached"), [(None, False), ("sms", False), ("email", True)])
def test_an_address_that_a_list_names_is_the_person_in_every_channel(
    channel: str | None, reached: bool
) -> None:
    named, contacts = people_and_addresses(
        pd.DataFrame({"mail": ["X@y.de"]}), PersonColumns(email="mail")
    )
    listed = named.assign(channel=channel, reason="asked us to stop")
    context = CustomerContext(
        suppressed=listed,
        addresses=Addresses.of(pd.concat([keys(email=["x@y.de"], phone=["+49301"]), contacts])),
    )
    reason = why(plan(people("a"), playbook(channel="text"), context=context))["a"]
    assert reason == ("" if reached else "same address as a suppressed customer: asked us to stop")
    assert ("a" in context.withheld_from_exports("phone")) != reached


def test_complaints_and_the_global_hold_out_hold_for_the_address() -> None:
    alike = Addresses.of(keys(email=["x@y.de", "x@y.de"]))
    past = pd.DataFrame({"suppress open complaint": [True]}, index=pd.Index(["a"], dtype=object))
    planned = plan(
        people("a", "b"), playbook(), context=CustomerContext(past=past, addresses=alike)
    )
    assert why(planned)["b"] == "open complaint (customer with the same address)"
    ids = [f"c{n:03d}" for n in range(60)]
    contacts = pd.DataFrame({"email": [f"p{n // 2}@y.de" for n in range(60)]}, index=ids)
    held = GlobalHoldout(share=0.5, until=dt.date(2018, 2, 1))
    context = CustomerContext(
        policy=ContactPolicy(global_holdout=held), addresses=Addresses.of(contacts)
    )
    told = why(plan(people(*ids), playbook(control_share=0), context=context))
    outside = {ids[n] for n in range(60) if told[ids[n]].startswith("global hold-out")}
    for n, customer in enumerate(ids):
        if customer not in outside and ids[n ^ 1] in outside:
            assert told[customer] == "same address as a customer in the global hold-out"


def test_an_address_is_in_one_arm_and_once_in_an_audience() -> None:
    ids = [f"c{n:03d}" for n in range(300)]
    rng = np.random.default_rng(3)
    contacts = pd.DataFrame({"email": [f"p{n // 3}@y.de" for n in range(300)]}, index=ids)
    context = CustomerContext(
        policy=ContactPolicy(campaigns_at_once=2), addresses=Addresses.of(contacts)
    )
    frame = people(*ids, p_reactivate=rng.uniform(0.2, 1, 300))
    books = [
        playbook(campaign="one", priority=1, capacity=60, control_share=0.5),
        playbook(campaign="two", priority=2, control_share=0.5),
    ]
    first = plan(frame, *books, context=context)
    rows = first.audience.assign(email=first.audience["customer_id"].map(contacts["email"]))
    # One id of each address in all promotions, the best in the campaign that is served first.
    assert (rows.groupby("email")["customer_id"].nunique() == 1).all()
    assert rows["email"].nunique() == 100
    best = frame.assign(email=contacts["email"].to_numpy()).sort_values("p_reactivate")
    assert set(rows["customer_id"]) == set(
        best.drop_duplicates("email", keep="last")["customer_id"]
    )
    reasons = set(first.exclusions["reason"])
    assert "same address as a held-out customer" in reasons
    assert "same address as a contacted customer" in reasons
    left = first.exclusions.groupby("campaign_id")["customers"].sum()
    assert (left + first.audience.groupby("campaign_id").size() == 300).all()
    # Later, somebody in control keeps the address, even where others would now go first.
    again = frame.assign(p_reactivate=1.2 - frame["p_reactivate"])
    later = dt.date(2018, 1, 9)
    second = plan(again, *books, at=later, previous=first.audience, context=context)
    assert (second.audience["change"] == "kept").all()


def test_members_who_come_to_share_an_address_give_way_to_the_control_arm() -> None:
    frame = people(*[f"c{n:03d}" for n in range(40)])
    first = plan(frame, playbook(control_share=0.5))
    arms = first.audience.set_index("customer_id")["arm"]
    control, treated = arms.index[arms == "control"][0], arms.index[arms == "treatment"][0]
    contacts = pd.DataFrame({"email": ["x@y.de", "x@y.de"]}, index=[control, treated])
    second = plan(
        frame, playbook(control_share=0.5), at=dt.date(2018, 1, 9), previous=first.audience,
        context=CustomerContext(addresses=Addresses.of(contacts)),
    )  # fmt: skip
    rows = second.audience.set_index("customer_id")
    assert rows.loc[control, "change"] == "kept"
    assert rows.loc[treated, "change"] == "removed"
    assert rows.loc[treated, "reasons"] == "same address as a held-out customer"


def test_files_hold_an_address_once_and_none_of_another_channel_that_refused(
    tmp_path: Path,
) -> None:
    contacts = keys(
        email=["a@y.de", "b@y.de", "c@y.de", "d@y.de"],
        phone=["+49 30 1000001", "+49 30 1000001", "+49 30 1000003", "+49 30 1000004"],
    )
    # c wants no text messages; of a and b, who share a phone, the second's cell stays empty.
    context = CustomerContext(
        refused=said_no(sms=[False, False, True, False]), addresses=Addresses.of(contacts)
    )
    frame = people("a", "b", "c", "d", p_reactivate=[0.9, 0.8, 0.7, 0.6])
    planned = plan(frame, playbook(control_share=0), consent="recorded", context=context)
    rows, manifest = written(tmp_path, planned, context, contacts)
    assert {customer: row["phone"] for customer, row in rows.items()} == {
        "a": "+49301000001", "b": "", "c": "", "d": "+49301000004",
    }  # fmt: skip
    assert all(row["email"] for row in rows.values())
    (file,) = manifest["files"]
    assert (file["refused_keys"], file["repeated_keys"], file["control_keys"]) == (1, 1, 0)


@pytest.mark.parametrize("channel", ["letter", "support_task", "pigeon"])
def test_a_letter_carries_no_address_that_refused_its_own_channel(
    tmp_path: Path, channel: str
) -> None:
    contacts = keys(email=["a@y.de", "b@y.de"], phone=["+49 30 1000001", "+49 30 1000002"])
    refused = said_no(email=[True, False], sms=[False, True])
    context = CustomerContext(refused=refused, addresses=Addresses.of(contacts))
    frame = people("a", "b", p_reactivate=[0.9, 0.8])
    book = playbook(control_share=0, channel=channel)
    planned = plan(frame, book, consent="recorded", context=context)
    rows, _ = written(tmp_path, planned, context, contacts)
    assert {customer: (row["email"], row["phone"]) for customer, row in rows.items()} == {
        "a": ("", "+49301000001"), "b": ("b@y.de", ""),
    }  # fmt: skip


CELLS = {
    "email": ("a@y.de; X@y.de", "x@y.de", "b@y.de", " B@Y.DE"),
    "phone": (
        "+49 30 1000001; +49 30 1000002",
        "0049301000002",
        "0049 30 1000003",
        "+4930 1000003",
    ),
}


@pytest.mark.parametrize("kind", sorted(CELLS))
@pytest.mark.parametrize("refused", [True, False])
def test_plain_text_exports_hold_no_cell_of_two_addresses_and_no_address_twice(
    tmp_path: Path, kind: str, refused: bool
) -> None:
    """What a tool takes as it is written must not carry an address past its own refusal."""
    both, second, one, again = CELLS[kind]
    contacts = keys(**{kind: [both, second, one, again]})
    channel = "email" if kind == "email" else "text"
    consent = "email" if kind == "email" else "sms"
    context = CustomerContext(
        refused=said_no(**{consent: [False, refused, False, False]}),
        addresses=Addresses.of(contacts),
    )
    frame = people("a", "b", "c", "d", p_reactivate=[0.9, 0.8, 0.7, 0.6])
    book = playbook(control_share=0, channel=channel)
    planned = plan(frame, book, consent="recorded", context=context)
    assert ("a" in set(planned.audience["customer_id"])) != refused
    target = tmp_path / "plain.yaml"
    target.write_text(
        "target: plain\ntitle: A tool\ncolumns:\n  - {name: id, from: customer_id}\n"
        f"  - {{name: key, from: {kind}, as: text}}\n"
    )
    delivery = Delivery(
        scores=frame.set_index("customer_id"), contacts=contacts, addresses=context.addresses
    )
    write_exports(
        planned, load_targets([target]), tmp_path, run=ExportRun("r", "1"), delivery=delivery
    )
    with (tmp_path / "plain" / "back.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["id"]: row["key"] for row in csv.DictReader(file)}
    assert rows == ({"c": one} if refused else {"a": "", "c": one})


def test_a_refused_address_in_the_place_of_an_external_id_is_left_out() -> None:
    contacts = keys(email=["x@y.de", None], external_id=[None, "X@Y.de"])
    context = CustomerContext(
        refused=said_no(email=[True, False]), addresses=Addresses.of(contacts)
    )
    planned = plan(people("a", "b"), playbook(control_share=0), consent="recorded", context=context)
    assert planned.audience.empty


def test_a_removal_does_not_take_out_who_stays_under_another_id(tmp_path: Path) -> None:
    first = plan(people("a", "b"), playbook(control_share=0))
    contacts = keys(email=["x@y.de", "x@y.de"])
    context = CustomerContext(addresses=Addresses.of(contacts))
    later = dt.date(2018, 1, 9)
    book = playbook(control_share=0)
    planned = plan(
        people("a", "b"),
        book,
        at=later,
        previous=first.audience,
        consent="recorded",
        context=context,
    )
    assert sorted(planned.audience["change"]) == ["kept", "removed"]
    rows, _ = written(tmp_path, planned, context, contacts)
    assert len(rows) == 1
    assert not (tmp_path / "csv" / "back_remove.csv").exists()


def test_the_manifest_counts_who_is_left_out_by_address(tmp_path: Path) -> None:
    contacts = keys(email=["x@y.de", "x@y.de", "z@y.de"])
    context = CustomerContext(
        refused=said_no(email=[True, False, False]), addresses=Addresses.of(contacts)
    )
    planned = plan(
        people("a", "b", "c"), playbook(control_share=0), consent="recorded", context=context
    )
    rows, manifest = written(tmp_path, planned, context, contacts)
    assert set(rows) == {"c"}
    assert manifest["left_out_by_address"] == {
        "back": {"same address as a customer who refused email": 1}
    }


def test_channels_reach_people_by_their_own_keys_and_by_that_of_the_tool() -> None:
    assert address_kinds(["text"]) == ("phone", "external_id")
    assert address_kinds(["email", "mobile_push"]) == ("email", "device_token", "external_id")
    assert address_kinds(["paid_social"]) == address_kinds(["letter"]) == ADDRESS_KINDS
