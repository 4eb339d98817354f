"""`stagecast init` on ledgers: what a customer pays is a purchase, what comes in is none."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.flows.setup.test_init_meaning import EXPECTED, SALES, file, init, totals


def test_a_ledger_of_debits_is_read_as_purchases(tmp_path: Path) -> None:
    pay = SALES.head(40).assign(total=500.0, kind="Salary", order=lambda rows: "s" + rows["order"])
    rows = pd.concat([SALES.assign(total=-SALES["total"], kind="Card"), pay])
    content = init(tmp_path, file(tmp_path, "transactions.csv", rows))
    assert totals(content) == EXPECTED
    assert "amounts are negative" in " ".join(content["checks"])


def test_a_ledger_without_kinds_leaves_credits_out(tmp_path: Path) -> None:
    pay = SALES.head(40).assign(total=500.0, order=lambda rows: "s" + rows["order"])
    rows = pd.concat([SALES.assign(total=-SALES["total"]), pay])
    content = init(tmp_path, file(tmp_path, "transactions.csv", rows))
    assert totals(content) == EXPECTED
    assert "amounts are negative" in " ".join(content["checks"])


_LEDGERS = {
    "english-empty": ("Debit", "Credit", None, 1),
    "english-zeros": ("Withdrawal Amt", "Deposit Amt", 0.0, 1),
    "paid-out": ("Paid out", "Paid in", None, 1),
    "negative-debits": ("Debit Amount", "Credit Amount", None, -1),
    "german": ("Soll", "Haben", None, 1),
    "spanish": ("Cargo", "Abono", 0.0, 1),
    "italian": ("Dare", "Avere", None, 1),
    "japanese": ("出金", "入金", None, 1),
}


@pytest.mark.parametrize(("debit", "credit", "empty", "sign"), _LEDGERS.values(), ids=_LEDGERS)
def test_of_debits_and_credits_the_debits_are_purchases(
    tmp_path: Path, debit: str, credit: str, empty: float | None, sign: int
) -> None:
    bought = SALES.rename(columns={"total": debit}).assign(**{credit: empty})
    bought[debit] *= sign
    pay = SALES.head(40).assign(order=lambda rows: "s" + rows["order"], **{debit: empty})
    pay = pay.rename(columns={"total": credit})
    ledger = file(tmp_path, "account.csv", pd.concat([bought, pay]))
    content = init(tmp_path, ledger)
    assert totals(content) == EXPECTED
    assert "every row is a debit or a credit" in " ".join(content["checks"])
    other = init(tmp_path, ledger, "--column", f"value={credit}")
    assert totals(other)[0] == 40


@pytest.mark.parametrize(
    ("column", "debit", "credit"),
    [("Af Bij", "Af", "Bij"), ("Debit/credit", "Debit", "Credit"), ("S/H", "S", "H")],
)
def test_a_word_beside_unsigned_amounts_says_debit_or_credit(
    tmp_path: Path, column: str, debit: str, credit: str
) -> None:
    pay = SALES.head(40).assign(total=500.0, order=lambda rows: "s" + rows["order"])
    rows = pd.concat([SALES.assign(**{column: debit}), pay.assign(**{column: credit})])
    name = file(tmp_path, "statement.csv", rows)
    content = init(tmp_path, name)
    assert totals(content) == EXPECTED
    assert "credits: 40 orders, 20,000.00" in " ".join(content["checks"])
    other = init(tmp_path, name, "--role", f"{credit}=purchase", "--role", f"{debit}=ignore")
    assert totals(other)[2] == 20_000


def test_a_guess_gives_way_to_the_purchase_that_is_named(tmp_path: Path) -> None:
    other = SALES.head(30).assign(kind="Bogen", order=lambda rows: "b" + rows["order"])
    rows = pd.concat([SALES.assign(kind="Zug"), other])
    name = file(tmp_path, "log.csv", rows)
    content = init(tmp_path, name, "--column", "event_type=kind", "--role", "Bogen=purchase")
    assert content["config"]["roles"]["purchase"] == ["Bogen"]


def test_lost_rows_are_left_out_beside_kinds_of_documents(tmp_path: Path) -> None:
    lost = SALES[::9].assign(order=lambda rows: "x" + rows["order"], status="Cancelled")
    rows = pd.concat([SALES.assign(status="Paid"), lost]).assign(document_type="Invoice")
    back = SALES.head(25).assign(document_type="Credit note", status="Paid")
    rows = pd.concat([rows, back.assign(order=lambda rows: "c" + rows["order"])])
    content = init(tmp_path, file(tmp_path, "documents.csv", rows))
    orders, _, revenue = totals(content)
    assert orders == EXPECTED[0]
    assert revenue == pytest.approx(EXPECTED[2] - SALES.head(25)["total"].sum())
    assert "'Cancelled' in 'status' are left out" in " ".join(content["checks"])


def test_a_note_on_words_follows_what_the_user_says_of_them(tmp_path: Path) -> None:
    back = SALES[::9].assign(order=lambda rows: "b" + rows["order"], status="Krediterad")
    lost = SALES[::8].assign(order=lambda rows: "x" + rows["order"], status="Makulerad")
    rows = pd.concat([SALES.assign(status="Betald"), back, lost])
    name = file(tmp_path, "orders.csv", rows)
    content = init(tmp_path, name, "--role", "Krediterad=refund")
    note = " ".join(content["checks"])
    assert "left out: 'Makulerad'." in note
    assert f"as you say: {EXPECTED[0]:,} orders, {EXPECTED[2]:,.2f}" in note
