"""Every preset reads a made-up sample of its tool's export to the same orders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from typer.testing import CliRunner

from features.errors import UserError
from flows.commands.cli import app
from flows.setup.presets import all_presets
from tests.flows.setup.test_init_meaning import init
from tests.flows.shop import stagecast

SAMPLES = Path(__file__).with_name("preset_samples")
# Each sample holds these orders, in the form of its tool, and rows that are none: one order every
# 17 days from 2023-01-05 on, by six customers in turn, of 20.00, 23.50, 27.00, ..., 100.50. By
# hand: 24 x 20 + 3.5 x (0 + 1 + ... + 23) = 480 + 3.5 x 276 = 1446. In samples with clocks in UTC
# the first and the last order lie on the next day in UTC.
ORDERS, CUSTOMERS, REVENUE = 24, 6, 1446.0
FIRST_DAY, LAST_DAY = "2023-01-05", "2024-01-31"
# Exports without purchases, and how many of their rows are events.
NO_PURCHASES = {"hubspot_contacts": 6, "mailchimp_activity": 48}


def sample_of(preset: str) -> Path:
    (path,) = SAMPLES.glob(f"{preset}.*")
    return path


def plain_orders(folder: Path) -> Path:
    """Orders beside an export that holds none."""
    days = pd.date_range("2023-01-05", periods=24, freq="17D")
    rows = {"order_id": range(24), "customer_id": [f"c{n % 6}" for n in range(24)], "date": days}
    amounts = [20 + 3.5 * n for n in range(24)]
    pd.DataFrame({**rows, "amount": amounts}).to_csv(folder / "orders.csv", index=False)
    return folder / "orders.csv"


@pytest.mark.parametrize("preset", all_presets())
def test_a_sample_is_recognised_and_read_to_the_orders_in_it(tmp_path: Path, preset: str) -> None:
    beside = [str(plain_orders(tmp_path))] if preset in NO_PURCHASES else []
    content = init(tmp_path, *beside, str(sample_of(preset)), "--timezone", "America/New_York")
    assert content["presets"] == {sample_of(preset).name: preset}
    (bought,) = (source for source in content["sources"] if source["orders"])
    assert (bought["orders"], bought["customers"]) == (ORDERS, CUSTOMERS)
    assert bought["revenue"] == pytest.approx(REVENUE, abs=1e-6)
    assert (bought["first_day"], bought["last_day"]) == (FIRST_DAY, LAST_DAY)
    if beside:
        (other,) = (source for source in content["sources"] if not source["orders"])
        assert other["events"] == NO_PURCHASES[preset]


def test_presets_are_listed() -> None:
    listed = CliRunner().invoke(app, ["presets", "--json", "-"])
    assert [entry["name"] for entry in json.loads(listed.stdout)] == list(all_presets())


def test_a_preset_is_forced_or_refused(tmp_path: Path) -> None:
    rows = pd.read_csv(sample_of("stripe_payments")).drop(columns="Amount Refunded")
    rows.to_csv(tmp_path / "mine.csv", index=False)
    content = init(tmp_path, str(tmp_path / "mine.csv"), "--preset", "stripe_payments")
    assert content["presets"] == {"mine.csv": "stripe_payments"}
    with pytest.raises(UserError, match=r"missing: mine\.csv: Name; mine\.csv: Financial Status"):
        init(tmp_path, str(tmp_path / "mine.csv"), "--preset", "shopify_orders")
    with pytest.raises(UserError, match="no preset of that name"):
        init(tmp_path, str(tmp_path / "mine.csv"), "--preset", "shopfy")


# Other headers of the same export: an older one, another language, another form of the file.
PAYPAL = {
    "Date": "Datum",
    "Time": "Uhrzeit",
    "TimeZone": "Zeitzone",
    "Type": "Typ",
    "Gross": "Brutto",
    "Net": "Netto",
    "From Email Address": "Absender E-Mail-Adresse",
    "Transaction ID": "Transaktionscode",
    "Balance Impact": "Auswirkung auf Guthaben",
}
VARIANTS: dict[str, tuple[str, dict[str, str]]] = {
    "paypal, German": ("paypal_activity", PAYPAL),
    "paypal, statement": ("paypal_activity", {"Type": "Description"}),
    "stripe, older": ("stripe_payments", {"Created date (UTC)": "Created (UTC)"}),
    "stripe, start date": ("stripe_subscriptions", {"Start (UTC)": "Start Date (UTC)"}),
    "woocommerce, older report": ("woocommerce_analytics", {"Net Sales": "N. Revenue"}),
    "woocommerce, another plug-in": ("woocommerce_orders", {"status": "order_status"}),
    "hubspot, older": ("hubspot_deals", {"Record ID": "Deal ID"}),
    "salesforce, data loader": (
        "salesforce_opportunities",
        {name: name.upper() for name in ("Id", "AccountId", "StageName", "CloseDate", "IsWon")}
        | {"IsDeleted": "ISDELETED", "Amount": "AMOUNT"},
    ),
    "square, older": ("square_transactions", {"Tender Note": "Other Tender Note"}),
}
GERMAN = {
    "Website Payment": "Website-Zahlung",
    "Express Checkout Payment": "PayPal Express-Zahlung",
    "Payment Refund": "Rückzahlung",
    "General Withdrawal": "Allgemeine Abbuchung",
    "Completed": "Abgeschlossen",
    "Pending": "Ausstehend",
    "Credit": "Haben",
    "Debit": "Soll",
}


@pytest.mark.parametrize(("preset", "renamed"), VARIANTS.values(), ids=VARIANTS)
def test_another_header_of_an_export_is_read_to_the_same_orders(
    tmp_path: Path, preset: str, renamed: dict[str, str]
) -> None:
    rows = pd.read_csv(sample_of(preset), dtype=str).rename(columns=renamed)
    if "Datum" in renamed.values():
        rows = rows.replace(GERMAN)
        rows["Datum"] = pd.to_datetime(rows["Datum"]).dt.strftime("%d.%m.%Y")
        for amount in ("Brutto", "Netto", "Fee", "Balance"):
            plain = rows[amount].str.replace(",", "", regex=False)
            rows[amount] = plain.str.replace(".", ",", regex=False)
    rows.to_csv(tmp_path / "mine.csv", index=False)
    content = init(tmp_path, str(tmp_path / "mine.csv"), "--timezone", "America/New_York")
    assert content["presets"] == {"mine.csv": preset}
    (source,) = content["sources"]
    assert (source["orders"], source["customers"]) == (ORDERS, CUSTOMERS)
    assert source["revenue"] == pytest.approx(REVENUE, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("preset", all_presets())
def test_a_sample_becomes_scores(tmp_path: Path, preset: str) -> None:
    beside = [str(plain_orders(tmp_path))] if preset in NO_PURCHASES else []
    init(tmp_path, *beside, str(sample_of(preset)))
    ran = stagecast("run", "--config", tmp_path / "made.yaml", "--output", tmp_path / "out")
    assert ran.returncode == 0, ran.stderr
    with duckdb.connect(str(tmp_path / "out" / "stagecast.duckdb"), read_only=True) as store:
        (scored,) = store.execute("select count(*) from customer_scores").fetchone() or (0,)
    assert scored >= CUSTOMERS  # exports of visitors have more


def objects_of(preset: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in sample_of(preset).read_text("utf-8").splitlines()]


def read_objects(folder: Path, content: object) -> dict[str, Any]:
    (folder / "mine.json").write_text(json.dumps(content), encoding="utf-8")
    return init(folder, str(folder / "mine.json"), "--timezone", "America/New_York")


ANSWERS: dict[str, Callable[[Any], Any]] = {
    "stripe_charges_api": lambda rows: {"object": "list", "has_more": False, "data": rows},
    "woocommerce_api": lambda rows: rows,
    "activecampaign_orders": lambda rows: {"ecomOrders": rows, "meta": {"total": str(len(rows))}},
    "omnisend_orders": lambda rows: {"orders": rows, "paging": {"next": None}},
}


@pytest.mark.parametrize("preset", ANSWERS)
def test_a_saved_answer_of_an_api_is_read_to_the_same_orders(tmp_path: Path, preset: str) -> None:
    content = read_objects(tmp_path, ANSWERS[preset](objects_of(preset)))
    assert content["presets"] == {"mine.json": preset}
    (source,) = content["sources"]
    assert (source["orders"], source["customers"]) == (ORDERS, CUSTOMERS)
    assert source["revenue"] == pytest.approx(REVENUE, abs=1e-6)


def test_braze_events_that_partners_receive(tmp_path: Path) -> None:
    person, thing = ("user_id", "external_user_id", "timezone"), ("product_id", "price", "currency")
    rows = [
        {
            **{key: row[key] for key in ("id", "time")},
            "user": {key: row[key] for key in person},
            "properties": {key: row[key] for key in (*thing, "purchase_properties")},
        }
        for row in objects_of("braze_purchases")
    ]
    (source,) = read_objects(tmp_path, rows)["sources"]
    assert (source["orders"], source["customers"]) == (ORDERS, CUSTOMERS)
    assert source["revenue"] == pytest.approx(REVENUE, abs=1e-6)


@pytest.mark.parametrize(("currency", "factor"), [("jpy", 100), ("krw", 100), ("kwd", 0.1)])
def test_amounts_of_currencies_without_cents(tmp_path: Path, currency: str, factor: float) -> None:
    """Stripe writes whole yen and won, and thousandths of a dinar."""
    rows = [{**row, "currency": currency} for row in objects_of("stripe_charges_api")]
    (source,) = read_objects(tmp_path, rows)["sources"]
    assert source["revenue"] == pytest.approx(REVENUE * factor, abs=1e-6)


def test_amounts_in_another_unit_are_left_out_and_counted(tmp_path: Path) -> None:
    """Two of the 24 orders are in yen: those of 20.00 and 23.50."""
    rows = objects_of("stripe_charges_api")
    rows = [{**row, "currency": "jpy" if n < 2 else "usd"} for n, row in enumerate(rows)]
    content = read_objects(tmp_path, rows)
    (source,) = content["sources"]
    assert source["orders"] == ORDERS - 2
    assert source["revenue"] == pytest.approx(REVENUE - 43.5, abs=1e-6)
    (note,) = (check for check in content["checks"] if "another unit" in str(check))
    assert "amounts in jpy" in str(note)
    assert "2 of the sampled rows" in str(note)


def test_an_export_of_test_mode_is_refused(tmp_path: Path) -> None:
    rows = [{**row, "livemode": False} for row in objects_of("stripe_charges_api")]
    with pytest.raises(
        UserError, match="no row that counts by the preset stripe_charges_api"
    ) as refused:
        read_objects(tmp_path, rows)
    assert "export live and completed orders" in str(refused.value.hint)
