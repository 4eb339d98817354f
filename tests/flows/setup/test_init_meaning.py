"""`stagecast init` decides what rows mean before it counts them, and says so."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from features.errors import UserError
from flows.commands.cli import app
from flows.setup.order_states import order_state
from tests.flows.setup.test_init import ORDERS

TOTAL = round(float(ORDERS["total"].clip(lower=0).sum()), 2)
SALES = ORDERS[ORDERS["total"] > 0].reset_index(drop=True)


def init(folder: Path, *arguments: str) -> dict[str, Any]:
    """What the command says as JSON, whatever it thinks of the amount of data."""
    told = folder / "told.json"
    told.unlink(missing_ok=True)
    command = ["init", *arguments, "--output", str(folder / "made.yaml"), "--force"]
    done = CliRunner().invoke(app, [*command, "--json", str(told)])
    if not told.exists():
        raise done.exception or AssertionError(done.output)
    content: dict[str, Any] = json.loads(told.read_text(encoding="utf-8"))
    return content


def file(folder: Path, name: str, rows: pd.DataFrame) -> str:
    rows.to_csv(folder / name, index=False)
    return str(folder / name)


def totals(content: dict[str, Any]) -> tuple[int, int, float]:
    """Orders, the most customers of a source, and revenue."""
    sources = content["sources"]
    return (
        sum(source["orders"] for source in sources),
        max(source["customers"] for source in sources),
        round(sum(source["revenue"] for source in sources), 2),
    )


EXPECTED = (len(SALES), SALES["customer"].nunique(), TOTAL)


@pytest.mark.parametrize(
    "name", ["support_tickets", "tickets", "cases", "complaints", "churn_events"]
)
def test_cases_and_cancellations_are_no_purchases(tmp_path: Path, name: str) -> None:
    cases = SALES.head(50)[["customer", "at"]].assign(
        ticket_id=range(50), status="closed", refund_amount=9.0
    )
    content = init(
        tmp_path, file(tmp_path, "orders.csv", SALES), file(tmp_path, f"{name}.csv", cases)
    )
    assert totals(content) == EXPECTED
    assert any(f"{name}.csv" in check for check in content["checks"])


WORDS = {
    "Deal Stage": ("Closed Won", "Closed Lost", "Qualified"),
    "status": ("wc-completed", "wc-cancelled", "wc-pending"),
    "Statut": ("Livrée", "Annulée", "En attente"),
    "estado": ("entregado", "cancelado", "pendiente"),
    "注文状態": ("完了", "キャンセル", "保留"),
    "Статус": ("выполнен", "отменён", "ожидает"),
}


@pytest.mark.parametrize("name", WORDS)
def test_only_orders_that_came_about_count(tmp_path: Path, name: str) -> None:
    won, *others = WORDS[name]
    rows = [SALES.assign(**{name: won})]
    for place, word in enumerate(others):
        rows.append(
            SALES.iloc[place::7].assign(**{name: word, "order": lambda r: "x" + r["order"]})
        )
    content = init(tmp_path, file(tmp_path, "orders.csv", pd.concat(rows)))
    assert totals(content) == EXPECTED
    (check,) = content["checks"][-1:]
    assert f"as proposed: {len(SALES):,} orders, {TOTAL:,.2f}" in check


def test_lines_and_payments_of_the_same_orders_count_once(tmp_path: Path) -> None:
    orders = SALES.rename(columns={"order": "order_id"})
    half = (orders["total"] / 2).round(2)
    lines = [orders.assign(price=half), orders.assign(price=(orders["total"] - half).round(2))]
    tables = {
        "orders": orders[["order_id", "customer", "at"]],
        "items": pd.concat(lines).assign(item=lambda rows: range(len(rows)))[
            ["order_id", "item", "price"]
        ],
        "payments": orders.rename(columns={"total": "amount"})[["order_id", "amount"]],
    }
    for names in itertools.permutations(tables):
        content = init(tmp_path, *(file(tmp_path, f"{n}.csv", tables[n]) for n in names))
        assert totals(content) == EXPECTED
        assert "payments.csv is left out" in " ".join(content["checks"])
        assert len(content["relations"]) == 2


def test_purchases_of_a_log_beside_orders_are_left_out(tmp_path: Path) -> None:
    log = pd.concat([SALES.assign(event_name=name) for name in ("page_view", "purchase")])
    content = init(
        tmp_path,
        file(tmp_path, "orders.csv", SALES),
        file(tmp_path, "ga4.csv", log[["customer", "at", "event_name"]]),
    )
    assert totals(content) == EXPECTED
    assert content["sources"][1]["events"] == len(SALES)


@pytest.mark.parametrize("named", [(), ("--column", "customer_id=customer_unique_id")])
def test_an_id_new_with_every_order_is_looked_up(tmp_path: Path, named: tuple[str, ...]) -> None:
    orders = SALES.assign(customer_id="k" + SALES["order"]).drop(columns="customer")
    people = pd.DataFrame(
        {"customer_id": orders["customer_id"], "customer_unique_id": SALES["customer"]}
    )
    tables = [file(tmp_path, "orders.csv", orders), file(tmp_path, "shop_people.csv", people)]
    assert totals(init(tmp_path, *tables, *named)) == EXPECTED


def test_a_column_that_no_source_uses_is_refused(tmp_path: Path) -> None:
    orders = file(tmp_path, "orders.csv", SALES)
    people = pd.DataFrame({"customer": SALES["customer"].unique(), "mail_key": "x"})
    with pytest.raises(UserError, match="used by no source"):
        init(
            tmp_path, orders, file(tmp_path, "customers.csv", people), "--column", "value=mail_key"
        )


def test_copied_rows_count_once(tmp_path: Path) -> None:
    rows = pd.concat([SALES, SALES.iloc[::8]])
    content = init(tmp_path, file(tmp_path, "orders.csv", rows))
    assert totals(content) == EXPECTED
    assert "are copies of others" in " ".join(content["checks"])


def test_orders_without_amounts_count_as_one_each(tmp_path: Path) -> None:
    rows = SALES.drop(columns=["total", "brand"])
    content = init(tmp_path, file(tmp_path, "bookings.csv", rows))
    assert content["problem"] is None
    assert totals(content) == (*EXPECTED[:2], float(len(SALES)))


def test_an_outcome_is_no_attribute_and_the_yaml_says_so(tmp_path: Path) -> None:
    rows = SALES.assign(churn_flag=np.arange(len(SALES)) % 2 == 0, region="north")
    rows.loc[::3, "region"] = "south"
    content = init(tmp_path, file(tmp_path, "orders.csv", rows))
    columns = content["config"]["sources"][0]["columns"]
    assert "region" in columns
    assert "churn_flag" not in columns
    assert "known only later: churn_flag" in (tmp_path / "made.yaml").read_text(encoding="utf-8")


def test_one_row_a_customer_is_a_snapshot(tmp_path: Path) -> None:
    rows = pd.DataFrame({"customerID": range(60), "tenure": range(60), "TotalCharges": 5.0})
    with pytest.raises(UserError, match="one row a customer"):
        init(tmp_path, file(tmp_path, "people.csv", rows))


def test_all_missing_columns_are_in_one_message(tmp_path: Path) -> None:
    rows = pd.DataFrame({"a": ["x", "y"], "b": [1, 2]})
    with pytest.raises(UserError) as error:
        init(tmp_path, file(tmp_path, "rows.csv", rows))
    assert "--column customer_id=COLUMN --column occurred_at=COLUMN" in str(error.value)


LANGUAGES = [
    ("订单编号", "用户ID", "下单时间", "实付金额"),
    ("注文番号", "顧客ID", "購入日", "金額"),
    ("주문번호", "고객ID", "주문일시", "결제금액"),
    ("Номер заказа", "Клиент", "Дата", "Сумма"),
    ("no_commande", "id_client", "date_commande", "montant"),
    ("pedido", "id_cliente", "fecha_pedido", "importe"),
    ("id_pedido", "id_cliente", "data_compra", "valor_pago"),
    ("Numero ordine", "ID cliente", "Data ordine", "Importo totale"),
    ("Bestellnummer", "Kundennummer", "Bestelldatum", "Gesamtbetrag"),
    ("Bestelnummer", "Klantnummer", "Datum", "Bedrag"),
    ("Nr zamówienia", "Klient", "Data zamówienia", "Kwota"),
    ("Ordernummer", "Kundnummer", "Datum", "Belopp"),
    ("Sipariş No", "Müşteri No", "Sipariş Tarihi", "Tutar"),
    ("Číslo objednávky", "Zákazník", "Datum", "Částka"),
]


@pytest.mark.parametrize("names", LANGUAGES, ids=lambda names: names[3])
def test_columns_in_other_languages_are_known(tmp_path: Path, names: tuple[str, ...]) -> None:
    rows = SALES[["order", "customer", "at", "total"]].set_axis(list(names), axis=1)
    assert totals(init(tmp_path, file(tmp_path, "export.csv", rows))) == EXPECTED


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("closedwon", "counts"),
        ("Closed Lost", "lost"),
        ("partially_refunded", "counts"),
        ("Refunded", "back"),
        ("unpaid", "open"),
        ("wc-on-hold", "open"),
        ("Payment failed", "lost"),
        ("storniert", "lost"),
        ("Доставлен", "counts"),
        ("已取消", "lost"),
        ("frobnicated", None),
    ],
)
def test_words_of_states(word: str, state: str | None) -> None:
    assert order_state(word) == state


@pytest.mark.parametrize(
    "column",
    [
        "Refunded Amount",
        "refund_amount",
        "Amount Refunded",
        "total_refunded",
        "Refunds",
        "Returned",
    ],
)
@pytest.mark.parametrize("status", [None, "Financial Status"])
def test_what_was_paid_back_reduces_the_amount_of_its_row(
    tmp_path: Path, column: str, status: str | None
) -> None:
    part = np.where(np.arange(len(SALES)) % 9 == 0, SALES["total"] / 4, 0.0).round(2)
    rows = SALES.assign(**{column: part}).rename(columns={"order": "Name"})
    rows["Name"] = [f"#{1000 + n}" for n in range(len(rows))]
    if status:
        rows[status] = np.where(part > 0, "partially_refunded", "paid")
    content = init(tmp_path, file(tmp_path, "orders_export.csv", rows))
    assert totals(content) == (*EXPECTED[:2], round(TOTAL - float(part.sum()), 2))


@pytest.mark.parametrize("part", [-1.0, 2.0])
def test_a_column_that_is_no_part_of_the_amount_is_not_subtracted(
    tmp_path: Path, part: float
) -> None:
    rows = SALES.assign(refund_amount=SALES["total"] * part)
    content = init(tmp_path, file(tmp_path, "orders.csv", rows))
    assert totals(content) == EXPECTED


def two_files(folder: Path, key: str, reference: str) -> tuple[str, str]:
    """Orders and their lines; the lines know the order by a column of another name."""
    orders = SALES[["customer", "at"]].assign(**{key: [f"A{n:05}" for n in range(len(SALES))]})
    lines = pd.DataFrame(
        {
            reference: np.repeat(orders[key].to_numpy(), 2),
            "line": np.arange(2 * len(orders)) + 1,
            "amount": np.repeat(SALES["total"].to_numpy(), 2) * np.tile([0.25, 0.75], len(orders)),
        }
    )
    lines["amount"] = lines["amount"].round(4)
    return file(folder, "orders.csv", orders), file(folder, "lines.csv", lines)


@pytest.mark.parametrize(
    ("key", "reference"), [("id", "order_id"), ("number", "order_no"), ("nr", "bestellung")]
)
@pytest.mark.parametrize("reverse", [False, True])
def test_tables_are_joined_by_what_their_columns_hold(
    tmp_path: Path, key: str, reference: str, reverse: bool
) -> None:
    files = two_files(tmp_path, key, reference)
    content = init(tmp_path, *(files[::-1] if reverse else files))
    assert totals(content) == EXPECTED


@pytest.mark.parametrize("join", ["lines.what=orders.that", "orders.csv.that = lines.csv.what"])
def test_the_user_says_how_tables_hang_together(tmp_path: Path, join: str) -> None:
    files = two_files(tmp_path, "that", "what")
    with pytest.raises(UserError, match="--join"):
        init(tmp_path, *files)
    assert totals(init(tmp_path, *files, "--join", join)) == EXPECTED


@pytest.mark.parametrize(
    ("join", "said"),
    [
        ("lines.what", "TABLE.COLUMN=TABLE.COLUMN"),
        ("lines.what=lines.line", "lines.csv twice"),
        ("lines.nothing=orders.that", "lines.nothing"),
        ("lines.amount=orders.customer", "repeat in both"),
    ],
)
def test_a_join_that_is_none_says_what_there_is(tmp_path: Path, join: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        init(tmp_path, *two_files(tmp_path, "that", "what"), "--join", join)


def test_numbers_that_happen_to_be_in_another_table_join_nothing(tmp_path: Path) -> None:
    rows = SALES.assign(reference=np.arange(len(SALES)) % 40 + 1)
    shops = pd.DataFrame({"id": range(1, 401), "city": [f"town {n}" for n in range(400)]})
    with pytest.raises(UserError, match="nor a key of another table"):
        init(tmp_path, file(tmp_path, "orders.csv", rows), file(tmp_path, "shops.csv", shops))


@pytest.mark.parametrize(
    ("customer", "moment", "amount", "order"),
    [
        ("Kundennr.", "Datum", "Summe", "Beleg-Nr."),
        ("Bill To", "Inv Date", "Invoice Total", "Invoice"),
        ("payer", "booked", "paid", "reference"),
        ("customer card", "printed on", "sum", "receipt"),
        ("client code", "sold at", "spent", "sale"),
    ],
)
def test_columns_under_other_names(
    tmp_path: Path, customer: str, moment: str, amount: str, order: str
) -> None:
    numbers = [f"S{50_000 + n}" for n in range(len(SALES))]
    rows = pd.DataFrame(
        {order: numbers, moment: SALES["at"], customer: SALES["customer"], amount: SALES["total"]}
    )
    assert totals(init(tmp_path, file(tmp_path, "export.csv", rows))) == EXPECTED


@pytest.mark.parametrize("form", ["%d-%b-%Y", "%b %d, %Y", "%d %B %Y"])
def test_dates_with_the_name_of_the_month(tmp_path: Path, form: str) -> None:
    days = pd.to_datetime(SALES["at"]).dt.strftime(form)
    content = init(tmp_path, file(tmp_path, "orders.csv", SALES.assign(at=days)))
    assert totals(content) == EXPECTED


def test_a_price_each_is_multiplied(tmp_path: Path) -> None:
    rows = SALES.rename(columns={"order": "sale no"}).assign(qty=2)
    rows["price each"] = rows.pop("total") / 2
    assert totals(init(tmp_path, file(tmp_path, "lines.csv", rows))) == EXPECTED


def test_what_was_paid_counts_and_not_what_was_due(tmp_path: Path) -> None:
    rows = SALES.rename(columns={"total": "amount_paid"})
    rows.insert(0, "amount_due", rows["amount_paid"] * 1.1)
    assert totals(init(tmp_path, file(tmp_path, "invoices.csv", rows))) == EXPECTED


@pytest.mark.parametrize(
    ("words", "share"),
    [
        (["settled", "awaiting payment", "called off", "money back"], 0.25),
        (["paid", "uncollectible", "withdrawn"], 1 / 3),
    ],
)
def test_states_in_the_words_of_a_shop(tmp_path: Path, words: list[str], share: float) -> None:
    rows = SALES.assign(State=[words[n % len(words)] for n in range(len(SALES))])
    orders, _, revenue = totals(init(tmp_path, file(tmp_path, "orders.csv", rows)))
    assert orders == len(SALES.iloc[:: len(words)])
    assert revenue == round(float(SALES["total"].iloc[:: len(words)].sum()), 2)


def test_states_in_words_of_no_known_meaning_are_told(tmp_path: Path) -> None:
    rows = SALES.assign(Status=["blue", "green", "red"] * (len(SALES) // 3) + ["red"])
    content = init(tmp_path, file(tmp_path, "orders.csv", rows.head(len(SALES))))
    assert totals(content) == EXPECTED
    assert "event_type=Status" in json.dumps(content)
