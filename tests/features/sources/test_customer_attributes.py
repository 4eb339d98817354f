"""Consent, contact keys and suppression as they stood before a date."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from features.config import config as configs
from features.config.config import Config
from features.errors import UserError
from features.sources.customer_attributes import customer_facts
from features.sources.products import read_products

AT = dt.date(2020, 6, 1)


def loaded(folder: Path, **keys: Any) -> Config:
    (folder / "orders.csv").write_text("customer,at\na,2020-01-01T00:00:00Z\n")
    content = {
        "name": "shop",
        "sources": [
            {
                "events": "orders.csv",
                "columns": {"customer_id": "customer", "occurred_at": {"column": "at"}},
                "event_type": "purchase",
            }
        ],
        "stages": {"file": "stages/recency_frequency.yaml"},
        **keys,
    }
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return configs.load(path)


def test_the_last_change_before_the_date_holds(tmp_path: Path) -> None:
    (tmp_path / "consents.csv").write_text(
        "who,channel,granted,day\n"
        "a,email,yes,2020-01-01\n"
        "a,email,no,2020-05-31\n"
        "b,email,yes,2020-05-31\n"
        "b,email,no,2020-06-01\n"
        "c,email,yes,2020-06-01\n"
        "d,sms,yes,2020-02-01\n"
        "e,email,yes,2020-03-01\n"
        "e,email,no,2020-03-01\n"
    )
    config = loaded(
        tmp_path,
        consent="recorded",
        consents={
            "table": "consents.csv",
            "columns": {
                "customer_id": "who",
                "channel": "channel",
                "granted": "granted",
                "changed_at": {"column": "day", "as": "local_date"},
            },
        },
    )
    # On one day both ways: the refusal holds. What is granted on the date itself comes too late;
    # what is withdrawn then, and until the export is written, counts.
    found = customer_facts(config, AT).consent
    assert found is not None
    assert found["email"].to_dict() == {"a": False, "b": False, "d": False, "e": False}
    assert found["sms"].to_dict() == {"a": False, "b": False, "d": True, "e": False}
    written = dt.datetime(2020, 5, 30, tzinfo=dt.UTC)
    before = customer_facts(config, AT, written_at=written).consent
    assert before is not None
    # A day ahead of the clock still counts: b's withdrawal of two days later does not.
    assert before["email"].to_dict() == {"a": False, "b": True, "d": False, "e": False}


def test_dates_of_customers_are_days_and_unknown_ones_are_null(tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_text("id,born\n7,1980-02-29\n8,\n9,2001-12-31\n")
    born = {"column": "born", "as": "local_date"}
    columns = {"customer_id": "id", "dates": {"birthday": born}}
    config = loaded(tmp_path, customers={"table": "customers.csv", "columns": columns})
    assert config.customer_dates() == ("birthday",)
    known = customer_facts(config, AT).dates["birthday"]
    assert known.isna().to_dict() == {"7": False, "8": True, "9": False}
    assert [str(day.date()) for day in known.dropna()] == ["1980-02-29", "2001-12-31"]


def test_contacts_marks_and_lists(tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_text(
        "id,mail,staff,ok,since\n7,a@b.de,0,1,2020-01-01\n8,,yes,true,2020-07-01\n9,c@d.de,,no,\n"
    )
    (tmp_path / "list.csv").write_text(
        "id,why,channel,from,until\n7,bounce,email,2020-05-01,\n9,stop,,2020-06-01,\n"
        "8,old,,2019-01-01,2020-05-31\n8,legal,,2019-01-01,2020-06-01\n"
    )
    local = {"as": "local_date"}
    config = loaded(
        tmp_path,
        customers={
            "table": "customers.csv",
            "columns": {
                "customer_id": "id",
                "contact": {"email": "mail"},
                "suppress": {"staff": "staff"},
                "consent": {"email": {"granted": "ok", "at": {"column": "since", **local}}},
            },
        },
        suppressions=[
            {
                "table": "list.csv",
                "columns": {
                    "customer_id": "id",
                    "reason": "why",
                    "channel": "channel",
                    "from": {"column": "from", **local},
                    "until": {"column": "until", **local},
                },
            }
        ],
    )
    found = customer_facts(config, AT)
    assert found.contacts["email"].dropna().to_dict() == {"7": "a@b.de", "9": "c@d.de"}
    assert found.consent is not None
    # A consent younger than the date says nothing of the date.
    assert found.consent["email"].to_dict() == {"7": True, "8": False, "9": False}
    told = found.suppressed.fillna("").sort_values(["customer_id", "reason"]).to_numpy().tolist()
    assert told == [
        ["7", "email", "bounce"], ["8", "", "legal"], ["8", "", "staff"], ["9", "", "stop"],
    ]  # fmt: skip
    assert {name: list(found.refused.index[found.refused[name]]) for name in found.refused} == {
        "email": ["9"]
    }


def test_products_know_no_later_restock(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text(
        "sku,type,margin,back\n1,shoes,0.3,2020-05-30\n2,coat,,2020-06-01\n"
    )
    config = loaded(
        tmp_path,
        products={
            "table": "products.csv",
            "columns": {
                "product_id": "sku",
                "margin": "margin",
                "restocked_at": {"column": "back", "as": "local_date"},
                "attributes": {"product_type": "type"},
            },
        },
    )
    found = read_products(config, AT)
    assert found is not None
    assert found["product_type"].tolist() == ["shoes", "coat"]
    assert found["restocked_at"].notna().tolist() == [True, False]
    assert found["margin"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        ("id,ok\n1,maybe\n", ["neither yes nor no"]),
        ("id,ok\n1,yes\n1,no\n", ["more than once"]),
        ("id,fine\n1,yes\n", ["no column 'ok'"]),
    ],
)
def test_wrong_tables_are_told(tmp_path: Path, rows: str, parts: list[str]) -> None:
    (tmp_path / "customers.csv").write_text(rows)
    config = loaded(
        tmp_path,
        customers={
            "table": "customers.csv",
            "columns": {"customer_id": "id", "consent": {"email": "ok"}},
        },
    )
    with pytest.raises(UserError) as caught:
        customer_facts(config, AT)
    for part in parts:
        assert part in str(caught.value)


def test_recorded_consent_needs_a_record(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="consents"):
        loaded(tmp_path, consent="recorded")


def with_consents(folder: Path, cells: list[str], **keys: Any) -> Config:
    rows = "".join(f"c{n},{word}\n" for n, word in enumerate(cells))
    (folder / "customers.csv").write_text("id,ok\n" + rows, encoding="utf-8")
    columns = {"customer_id": "id", "consent": {"email": "ok"}}
    return loaded(folder, customers={"table": "customers.csv", "columns": columns, **keys})


def test_declared_words_come_before_the_usual_ones(tmp_path: Path) -> None:
    words = {"Ja": True, "nein ": False, 1: False, "0": "yes", False: True}
    config = with_consents(tmp_path, ["ja", " JA", "nein", "1", "0", "off", "yes", ""], words=words)
    consent = customer_facts(config, AT).consent
    assert consent is not None
    assert consent["email"].tolist() == [True, True, False, False, True, True, True, False]


def test_the_line_in_the_message_fixes_the_config(tmp_path: Path) -> None:
    met = ["oui", "non", "on", "hm: well", "ture", "'so"]
    with pytest.raises(UserError) as caught:
        customer_facts(with_consents(tmp_path, met), AT)
    line = re.search(r"`customers: (\{words: \{.*\}\})`", caught.value.hint)
    assert line is not None
    words = yaml.safe_load(line[1])["words"]
    consent = customer_facts(with_consents(tmp_path, met, words=words), AT).consent
    assert consent is not None
    assert consent["email"].tolist() == [True, False, True, False, True, False]
    assert "'ture' is close to 'true'" in caught.value.hint


@pytest.mark.parametrize("cell", ["anna@example.com", "0171 5552671", "x" * 60])
def test_what_may_be_personal_is_not_repeated(cell: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        customer_facts(with_consents(tmp_path, [cell, "ja"]), AT)
    assert cell not in str(caught.value)


def test_all_problems_of_a_table_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_text("id,ok,since\n1,ja,soon\n1,yes,2020-01-01\n")
    columns = {
        "customer_id": "id",
        "contact": {"email": "mail"},
        "consent": {"email": {"granted": "ok", "at": {"column": "since", "as": "local_date"}}},
    }
    config = loaded(tmp_path, customers={"table": "customers.csv", "columns": columns})
    with pytest.raises(UserError) as caught:
        customer_facts(config, AT)
    assert len(caught.value.problems) == 4


def with_addresses(folder: Path, changes: str, **columns: str) -> Config:
    (folder / "customers.csv").write_text(
        "id,mail,mobile,land\n"
        "a,Anna@Example.com,030 1000001,DE\n"
        "b,anna@example.com ,+49301000002,\n"
        "c,c@example.com,030 1000003,\n"
        "d,,,\n"
    )
    (folder / "consents.csv").write_text("who,mail,phone,channel,ok,day\n" + changes)
    contact = {"email": "mail", "phone": "mobile", "country": "land"}
    return loaded(
        folder,
        consent="recorded",
        customers={
            "table": "customers.csv",
            "columns": {"customer_id": "id", "contact": contact},
        },
        consents={
            "table": "consents.csv",
            "columns": {
                **(columns or {"email": "mail"}),
                "channel": "channel",
                "granted": "ok",
                "changed_at": {"column": "day", "as": "local_date"},
            },
        },
    )


def consenting(config: Config, channel: str = "email") -> dict[str, bool]:
    """Consents of the customers a to d."""
    consent = customer_facts(config, AT).consent
    assert consent is not None
    return consent[channel].reindex(list("abcd"), fill_value=False).to_dict()


def test_a_consent_of_an_address_is_that_of_all_who_have_it(tmp_path: Path) -> None:
    config = with_addresses(tmp_path, ",ANNA@example.com,,email,yes,2020-01-01\n,,,email,yes,\n")
    assert consenting(config) == {"a": True, "b": True, "c": False, "d": False}


def test_of_two_spellings_of_an_address_the_last_change_holds(tmp_path: Path) -> None:
    back = (
        ",anna@example.com,,email,no,2020-01-01\n"
        ",Anna@example.com,,email,yes,2020-02-01\n"
        ",c@example.com,,email,yes,2020-01-01\n"
        ",C@EXAMPLE.COM,,all,no,2020-02-01\n"
    )
    config = with_addresses(tmp_path, back)
    assert consenting(config) == {"a": True, "b": True, "c": False, "d": False}
    refused = customer_facts(config, AT).refused["email"]
    assert refused.sum() == 1  # c's address alone; anna came back


def test_a_phone_number_needs_its_country_to_consent(tmp_path: Path) -> None:
    config = with_addresses(
        tmp_path,
        ",,0049 30 1000001,sms,yes,2020-01-01\n"
        ",,+49 30 1000002,sms,yes,2020-01-01\n"
        ",,030 1000003,sms,yes,2020-01-01\n"
        ",,-,sms,yes,2020-01-01\n",
        phone="phone",
    )
    assert consenting(config, "sms") == {"a": True, "b": True, "c": False, "d": False}


def test_a_row_may_name_an_id_and_an_address(tmp_path: Path) -> None:
    config = with_addresses(
        tmp_path,
        "c,anna@example.com,,email,yes,2020-01-01\nd,,,email,yes,2020-01-01\n",
        customer_id="who",
        email="mail",
    )
    assert consenting(config) == {"a": True, "b": True, "c": True, "d": True}


def test_consents_of_addresses_need_the_customers_addresses(tmp_path: Path) -> None:
    columns = {"email": "m", "channel": "c", "granted": "g", "changed_at": {"column": "d"}}
    with pytest.raises(UserError, match="nobody has it"):
        loaded(tmp_path, consents={"table": "consents.csv", "columns": columns})
    del columns["email"]
    with pytest.raises(UserError, match="the table names nobody"):
        loaded(tmp_path, consents={"table": "consents.csv", "columns": columns})


def test_an_address_on_two_lists_is_there_once(tmp_path: Path) -> None:
    (tmp_path / "bounces.csv").write_text("mail\na@example.com\na@example.com\n")
    one = {"table": "bounces.csv", "columns": {"email": "mail"}}
    facts = customer_facts(loaded(tmp_path, suppressions=[one, {**one, "reason": "legal"}]), AT)
    assert facts.contacts.index.is_unique
    assert set(facts.suppressed["reason"]) == {"suppression list", "legal"}


@pytest.mark.parametrize("day", ["0001-01-01", "1900-01-01", "1970-01-01", "9999-12-31", ""])
def test_a_refusal_of_a_year_that_means_unknown_counts(tmp_path: Path, day: str) -> None:
    rows = f",c@example.com,,email,yes,2020-01-01\n,c@example.com,,email,no,{day}\n"
    assert not consenting(with_addresses(tmp_path, rows))["c"]


@pytest.mark.parametrize(
    ("kind", "cell", "part"),
    [
        ("email", "a@example.com, c@example.com", "more than one address"),
        ("phone", "+49301000003; +49301000004", "more than one address"),
        ("phone", "4.9301000003E+10", "rounded"),
    ],
)
def test_a_cell_that_names_no_single_address_is_refused(
    tmp_path: Path, kind: str, cell: str, part: str
) -> None:
    (tmp_path / "listed.csv").write_text(f'who\n"{cell}"\n')
    listed = {"table": "listed.csv", "columns": {kind: "who"}}
    with pytest.raises(UserError, match=part):
        customer_facts(loaded(tmp_path, suppressions=[listed]), AT)
