"""Tests, guests, credit notes, points and currencies among the rows of orders."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import UserError
from features.sources.duckdb_connection import connect
from flows.setup.column_synonyms import role_of
from flows.setup.period_text import first_day
from flows.setup.readings import amounts, is_purchase
from flows.setup.row_exclusions import leave_out_tests
from flows.setup.source_draft import SourceProposal
from flows.setup.source_inference import propose_source
from flows.setup.table_profiling import profile_table
from tests.flows.setup.test_init_meaning import SALES, init

ORDERS = SALES.head(60).reset_index(drop=True)
CENTS = 0.005


def proposal(folder: Path, rows: pd.DataFrame, **form: Any) -> SourceProposal:
    path = folder / "list.csv"
    rows.to_csv(path, index=False, **form)
    return propose_source(profile_table(connect(), str(path)), zone="UTC")


def bought(found: SourceProposal) -> tuple[int, float]:
    """Rows that are purchases, and their money."""
    money, rows = amounts(found), is_purchase(found)
    assert money is not None
    return int(rows.sum()), round(float(money[rows].sum()), 2)


FLAGS = ["test", "is_test", "Test order", "testMode", "sandbox", "test_payment", "Testbestellung"]
YES_NO = [("true", "false"), ("TRUE", "FALSE"), ("yes", "no"), ("1", "0"), ("Ja", "Nein")]


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from([*FLAGS, "livemode", "is_live", "Mode", "environment"]),
    words=st.sampled_from(YES_NO),
    blank=st.booleans(),
    tests=st.sets(st.integers(0, len(ORDERS) - 1), min_size=1, max_size=20),
)
def test_rows_of_tests_are_left_out(
    name: str, words: tuple[str, str], blank: bool, tests: set[int]
) -> None:
    """By a flag with any words for yes and no, or by a mode; a blank flag is no test."""
    yes, no = words
    if name in ("livemode", "is_live"):
        yes, no = no, yes
    elif name in ("Mode", "environment"):
        yes, no = "Test", "Live"
    is_test = np.isin(np.arange(len(ORDERS)), sorted(tests))
    column = pd.Series(np.where(is_test, yes, no)).astype(object)
    if blank and (~is_test).sum() > 1:
        column[int(np.flatnonzero(~is_test)[0])] = None
    with tempfile.TemporaryDirectory() as folder:
        found = proposal(Path(folder), ORDERS.assign(**{name: column}))
    real = ORDERS[~is_test]
    assert bought(found) == (len(real), pytest.approx(real["total"].sum(), abs=CENTS))
    assert "are left out" in found.notes["only"]


def test_a_column_of_other_words_marks_no_tests(tmp_path: Path) -> None:
    """A/B tests, test results, and flags that are the same in every row."""
    columns = {"test": ["A", "B"] * 30, "mode": ["card", "cash"] * 30, "is_test": "false"}
    found = proposal(tmp_path, ORDERS.assign(**columns))
    leave_out_tests(found, found.table)
    assert not found.only


@pytest.mark.parametrize(
    ("kind", "invoice", "credit_note"),
    [
        ("Belegart", "Rechnung", "Gutschrift"),
        ("Dokumenttyp", "Rechnung", "Stornorechnung"),
        ("document_type", "Invoice", "Credit Memo"),
        ("trx_type", "SALE", "RETURN"),
        ("type de document", "Facture", "Avoir"),
        ("tipo_documento", "Factura", "Nota de crédito"),
        ("Tipo documento", "Fattura", "Nota di credito"),
        ("typ_dokumentu", "Faktura", "Korekta"),
        ("documentsoort", "Factuur", "Creditnota"),
    ],
)
def test_credit_notes_are_refunds(
    tmp_path: Path, kind: str, invoice: str, credit_note: str
) -> None:
    assert (role_of(invoice)[1], role_of(credit_note)[1]) == ("purchase", "refund")
    words = [credit_note if n % 10 == 9 else invoice for n in range(len(ORDERS))]
    found = proposal(tmp_path, ORDERS.assign(**{kind: words}))
    assert found.roles == {"purchase": [invoice], "refund": [credit_note]}


@settings(max_examples=15, deadline=None)
@given(
    nobody=st.sampled_from(["0", "", None]),
    guests=st.sets(st.integers(0, len(ORDERS) - 1), min_size=1, max_size=30),
)
def test_guests_are_known_by_their_address(nobody: str | None, guests: set[int]) -> None:
    is_guest = np.isin(np.arange(len(ORDERS)), sorted(guests))
    numbers = pd.factorize(ORDERS["customer"])[0] + 1
    ids = pd.Series(numbers.astype(str)).astype(object).where(~is_guest, nobody)
    mails = [f"p{number}@example.org" for number in numbers]
    rows = ORDERS.drop(columns="customer").assign(customer_id=ids, email=mails)
    with tempfile.TemporaryDirectory() as folder:
        found = proposal(Path(folder), rows)
    assert found.fill_from == {"customer_id": ["email"]}
    assert f"({len(set(numbers[is_guest]))} of them)" in found.notes["customer_id"]


def test_guests_and_tests_in_all_rows(tmp_path: Path) -> None:
    """Ten guests with an address each, three tests, 60 orders: 57 of ids and addresses."""
    ids = [0 if n < 10 else 100 + n % 5 for n in range(60)]
    mails = [f"g{n}@example.org" if n < 10 else f"c{n % 5}@example.org" for n in range(60)]
    rows = ORDERS.drop(columns="customer").assign(customer_id=ids, email=mails)
    rows = rows.assign(test_order=["yes" if n >= 57 else "no" for n in range(60)])
    rows.to_csv(tmp_path / "sales.csv", index=False, sep=";")
    (source,) = init(tmp_path, str(tmp_path / "sales.csv"))["sources"]
    assert (source["orders"], source["customers"]) == (57, 10 + 5)
    assert source["revenue"] == pytest.approx(rows["total"].head(57).sum(), abs=CENTS)


def test_points_without_an_amount_are_no_purchases(tmp_path: Path) -> None:
    redeemed = np.arange(60) % 6 == 5
    rows = ORDERS.assign(activity=np.where(redeemed, "points", "earn"))
    rows.loc[redeemed, "total"] = None
    found = proposal(tmp_path, rows)
    assert bought(found) == (50, pytest.approx(rows["total"].sum(), abs=CENTS))
    assert "'points' in 'activity' have no amount" in found.notes["event_type"]


def test_each_currency_is_shown_with_its_money(tmp_path: Path) -> None:
    rows = ORDERS.assign(currency=["USD", "USD", "EUR"] * 20)
    rows.to_csv(tmp_path / "sales.csv", index=False)
    content = init(tmp_path, str(tmp_path / "sales.csv"))
    shown = " ".join(map(str, content["checks"]))
    assert "2 currencies are added up as if they were one (USD: 40 orders" in shown
    assert "amounts in EUR, USD" in shown  # the guard of every run


def test_the_yen_sign_of_japanese_files(tmp_path: Path) -> None:
    """In Shift-JIS it is the byte of the backslash."""
    names = {"customer": "顧客名", "at": "注文日", "total": "合計金額"}
    yen = [f"¥{n + 1},{n:03d}" for n in range(60)]
    states = ["キャンセル" if n % 12 == 0 else "発送済み" for n in range(60)]
    rows = ORDERS.assign(total=yen)[list(names)].rename(columns=names).assign(注文状況=states)
    found = proposal(tmp_path, rows, encoding="shift_jis")
    money = sum((n + 1) * 1000 + n for n in range(60) if n % 12)
    assert bought(found) == (55, money)


@pytest.mark.parametrize(
    ("text", "kind", "day"),
    [
        ("2023-W01", "week", "2023-01-02"),
        ("2020W53", "week", "2020-12-28"),
        ("KW 05/2024", "week", "2024-01-29"),
        ("2024 Q3", "quarter", "2024-07-01"),
        ("Q1 2022", "quarter", "2022-01-01"),
        ("4. Quartal 2023", "quarter", "2023-10-01"),
    ],
)
def test_weeks_and_quarters_are_refused_with_their_first_day(
    tmp_path: Path, text: str, kind: str, day: str
) -> None:
    rows = ORDERS.drop(columns="at").assign(period=text)
    with pytest.raises(UserError, match=f"a column of {kind}s instead of days: 'period'") as error:
        proposal(tmp_path, rows)
    assert day in str(error.value.hint)


@pytest.mark.parametrize("text", ["2023-W54", "2021-W53", "Q5 2023", "W1", "2023-01-02", "T-1000"])
def test_other_texts_are_no_periods(text: str) -> None:
    assert first_day(text) is None
