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
