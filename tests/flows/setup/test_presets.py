"""Every preset reads a made-up sample of its tool's export to the same orders."""

from __future__ import annotations

import json
from pathlib import Path

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
# Each sample holds these orders, in the form of its tool, and rows that are none.
ORDERS, CUSTOMERS, REVENUE, LAST_DAY = 24, 6, 1446.0, "2024-01-31"
NO_PURCHASES = ("hubspot_contacts", "mailchimp_activity")


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
    assert bought["last_day"] == LAST_DAY
    if beside:
        (other,) = (source for source in content["sources"] if not source["orders"])
        assert other["events"] > 0


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
