"""`stagecast init`: differently shaped files, each with the same orders, give the same spend."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from features.aggregates.daily_aggregates import tally
from features.config import config as configs
from features.config.config import Config
from features.errors import UserError
from flows.commands.cli import app
from tests.flows.shop import orders, stagecast

LINES = orders(60, 3).assign(
    at=lambda rows: pd.to_datetime(rows["at"]).dt.floor("min"),
    quantity=lambda rows: 1 + np.arange(len(rows)) % 3,
    price=lambda rows: (rows["amount"] / 4).round(2),
)
# A few orders are taken back.
BACK = LINES.index % 29 == 0
LINES.loc[BACK, "quantity"] *= -1
LINES["amount"] = (LINES["price"] * LINES["quantity"]).round(2)
ORDERS = (
    LINES.groupby(["order", "customer", "at"], as_index=False)
    .agg(total=("amount", "sum"), brand=("brand", "first"))
    .assign(total=lambda rows: rows["total"].round(2))
)


def init(folder: Path, *arguments: str, to: str = "made.yaml") -> Config:
    """Run the command as it stands in a shell, and read back what it wrote."""
    path = folder / to
    done = CliRunner().invoke(app, ["init", *arguments, "--output", str(path)])
    if isinstance(done.exception, UserError):
        raise done.exception
    assert done.exit_code == 0, done.exception
    return configs.load(path)


def spend(config: Config, folder: Path) -> pd.Series:
    """Net spend of each customer, minor units, as a run will tally it."""
    tallies, _ = tally(config, latest=30000, quarantine=folder / "quarantine")
    daily = tallies.daily.to_pandas()
    bought = daily["event_type"].isin(
        [*config.role_types()["purchase"], *config.role_types()["refund"], "negative_amount"]
    )
    totals = daily[bought].groupby("customer_id")["value"].sum()
    return totals[totals != 0]


def truth(rows: pd.DataFrame = ORDERS, amount: str = "total") -> pd.Series:
    totals = (rows[amount] * 100).round().astype(int).groupby(rows["customer"]).sum()
    return totals[totals != 0]


def same(found: pd.Series, expected: pd.Series) -> None:
    assert found.to_dict() == expected.to_dict()


def order_rows(folder: Path) -> list[str]:
    """One order a row."""
    ORDERS.rename(
        columns={
            "order": "Order ID",
            "customer": "Customer ID",
            "at": "Order Date",
            "total": "Total",
        }
    ).assign(Currency="EUR", Email="x@example.org").to_csv(folder / "sales.csv", index=False)
    return [str(folder / "sales.csv")]


def invoice_lines(folder: Path) -> list[str]:
    """One line item a row: a price a piece, dates that begin with the month, guests, refunds."""
    rows = pd.DataFrame(
        {
            "InvoiceNo": LINES["order"],
            "StockCode": LINES["brand"].str.upper(),
            "Quantity": LINES["quantity"],
            "InvoiceDate": LINES["at"].dt.strftime("%m/%d/%Y %H:%M"),
            "UnitPrice": LINES["price"],
            "CustomerID": LINES["customer"],
        }
    )
    guests = rows.sample(frac=0.2, random_state=1).assign(CustomerID=None, InvoiceNo="g1")
    pd.concat([rows, guests]).to_csv(folder / "lines.csv", index=False)
    return [str(folder / "lines.csv")]


def repeated_totals(folder: Path) -> list[str]:
    """Line items that also repeat their order's total."""
    rows = LINES.merge(ORDERS[["order", "total"]], on="order")
    rows.rename(columns={"amount": "line_amount", "total": "order_total"}).drop(
        columns=["price", "quantity"]
    ).to_csv(folder / "lines.tsv", index=False, sep="\t")
    return [str(folder / "lines.tsv")]


def event_log(folder: Path) -> list[str]:
    """A wide log of all that happened, visitors inside, as parquet."""
    bought = ORDERS.assign(event_name="order_completed", user_id=ORDERS["customer"])
    viewed = bought.assign(event_name="page_view", total=None)
    unknown = viewed.assign(user_id=None)
    odd = bought.head(3).assign(event_name="frobnicated", total=None)
    rows = pd.concat([bought, viewed, unknown, odd]).reset_index(drop=True)
    rows["timestamp"] = rows["at"].dt.tz_localize("UTC")
    rows["anonymous_id"] = "d" + rows.index.astype(str)
    rows["device"] = np.where(rows.index % 2, "phone", "desk")
    rows["revenue"] = rows["total"].astype(float)
    for number in range(15):
        rows[f"utm_{number}"] = f"u{number}"
    rows.drop(columns=["customer", "at", "total", "order"]).to_parquet(folder / "log.parquet")
    return [str(folder / "log.parquet")]


def json_lines(folder: Path) -> list[str]:
    """JSON lines, with times as milliseconds since 1970."""
    with (folder / "purchases.jsonl").open("w", encoding="utf-8") as file:
        for row in ORDERS.itertuples():
            content = {
                "clientId": row.customer,
                "ts": int(row.at.timestamp() * 1000),
                "amount": row.total,
                "basket": {"size": 1},
                "brand": row.brand,
            }
            file.write(json.dumps(content) + "\n")
    return [str(folder / "purchases.jsonl")]


def semicolons(folder: Path) -> list[str]:
    """Semicolons, decimal commas with thousands, day-first dates, latin-1, words of German."""
    rows = pd.DataFrame(
        {
            "Kundennummer": ORDERS["customer"],
            "Bestelldatum": ORDERS["at"].dt.strftime("%d.%m.%Y"),
            "Betrag": ORDERS["total"].map(
                lambda v: f"{v:,.2f}".translate(str.maketrans(",.", ".,"))
            ),
            "Größe": np.where(ORDERS.index % 3, "groß", "klein"),
        }
    )
    rows.to_csv(folder / "bestellungen.csv", sep=";", index=False, encoding="latin-1")
    return [str(folder / "bestellungen.csv"), "--timezone", "Europe/Berlin"]


def several_tables(folder: Path) -> list[str]:
    """Lines, orders, products and customers, as a shop's database has them."""
    named = {"order": "order_id", "customer": "customer_id", "at": "created_at"}
    products = {"north": 1, "south": 2, "east": 3}
    lines = LINES.assign(product_id=LINES["brand"].map(products), order_id=LINES["order"])
    lines[["order_id", "product_id", "quantity", "price"]].to_csv(folder / "items.csv", index=False)
    ORDERS.rename(columns=named)[["order_id", "customer_id", "created_at", "total"]].to_csv(
        folder / "orders.csv", index=False
    )
    pd.DataFrame({"product_id": products.values(), "brand": products.keys()}).to_csv(
        folder / "products.csv", index=False
    )
    people = sorted(set(ORDERS["customer"]))
    pd.DataFrame({"customer_id": people, "created_at": "2020-01-01"}).to_csv(
        folder / "customers.csv", index=False
    )
    return [str(folder / f"{name}.csv") for name in ("items", "orders", "products", "customers")]


def order_states(folder: Path) -> list[str]:
    """One order a row with its state; what was called off brought nothing."""
    off = ORDERS.sample(frac=0.1, random_state=2).assign(order_status="cancelled", total=99.0)
    off["order"] = "x" + off["order"]
    rows = pd.concat([ORDERS.assign(order_status="completed"), off])
    rows.to_csv(folder / "orders.csv", index=False)
    return [str(folder / "orders.csv")]


def behind_a_url(folder: Path) -> list[str]:
    """A table in a database."""
    with duckdb.connect(str(folder / "shop.db")) as connection:
        connection.register("rows", ORDERS)
        connection.execute("create table orders as select * from rows")
    return [f"duckdb://{folder}/shop.db#orders"]


SHAPES = [  # those with more to look at have tests of their own
    repeated_totals,
    json_lines,
    semicolons,
    several_tables,
    order_states,
    behind_a_url,
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_every_shape_gives_the_spend_that_was_put_in(
    tmp_path: Path, shape: Callable[[Path], list[str]]
) -> None:
    config = init(tmp_path, *shape(tmp_path))
    same(spend(config, tmp_path), truth())


def test_the_lines_of_an_invoice_are_priced_by_the_piece_and_guests_may_pass(
    tmp_path: Path,
) -> None:
    config = init(tmp_path, *invoice_lines(tmp_path))
    columns = config.sources[0].columns
    assert (columns.value, columns.value_times, columns.order_id) == (
        "UnitPrice",
        "Quantity",
        "InvoiceNo",
    )
    same(spend(config, tmp_path), truth())
    assert 0.17 < config.quarantine.max_share < 0.35
    text = (tmp_path / "made.yaml").read_text(encoding="utf-8")
    assert "guests" in text


def test_an_event_log_gets_roles_and_stages_of_engagement(tmp_path: Path) -> None:
    config = init(tmp_path, *event_log(tmp_path))
    same(spend(config, tmp_path), truth())
    assert config.roles == {"purchase": ("order_completed",), "touch": ("page_view",)}
    assert config.ignored_event_types == ("frobnicated",)
    assert "omnisend" in str(config.stages)
    assert config.sources[0].columns.anonymous_id == "anonymous_id"


def test_naive_times_are_flagged_and_personal_columns_left_out(tmp_path: Path) -> None:
    config = init(tmp_path, *order_rows(tmp_path), "--timezone", "America/Chicago")
    assert config.sources[0].columns.occurred_at.zone == "America/Chicago"
    same(spend(config, tmp_path), truth())
    assert "Email" not in config.attributes()
    text = (tmp_path / "made.yaml").read_text(encoding="utf-8")
    assert "CHECK: these clock times name no zone; taken as America/Chicago" in text
    assert config.currency == "EUR"


def test_readiness_and_config_as_json(tmp_path: Path) -> None:
    path = tmp_path / "made.yaml"
    arguments = ["init", *order_rows(tmp_path), "--output", str(path), "--json", "-"]
    done = CliRunner().invoke(app, arguments)
    content = json.loads(done.stdout)
    assert content["problem"] is None
    assert content["facts"]["customers"] == f"{ORDERS['customer'].nunique():,}"
    verdicts = {(n["prediction"], n["what"]): n["verdict"] for n in content["needs"]}
    assert verdicts["churn risk", "days of history"] == "ready"
    assert verdicts["all", "buyers"] == "thin"


def test_the_shape_of_a_file_changes_how_it_is_read_and_nothing_else(tmp_path: Path) -> None:
    # So one run stands for all of these shapes, and another for the log of many event types.
    asked = {}
    for shape in (order_rows, invoice_lines, json_lines, semicolons, several_tables):
        folder = tmp_path / shape.__name__
        folder.mkdir()
        asked[shape] = init(folder, *shape(folder)).model_dump(
            exclude={"sources", "name", "currency", "timezone", "quarantine"}
        )
    assert all(content == asked[several_tables] for content in asked.values())


@pytest.mark.full
@pytest.mark.parametrize(
    "shape", [invoice_lines, event_log, several_tables], ids=lambda shape: shape.__name__
)
def test_a_config_that_init_wrote_runs_unchanged(
    tmp_path: Path, shape: Callable[[Path], list[str]]
) -> None:
    made = stagecast("init", *shape(tmp_path), "--output", tmp_path / "made.yaml")
    assert made.returncode == 0, made.stderr
    ran = stagecast("run", "--config", tmp_path / "made.yaml", "--output", tmp_path / "out")
    assert ran.returncode == 0, ran.stderr
    with duckdb.connect(str(tmp_path / "out" / "stagecast.duckdb"), read_only=True) as store:
        scored = store.execute("select count(*) from customer_scores").fetchone()
    assert scored == (ORDERS["customer"].nunique(),)
