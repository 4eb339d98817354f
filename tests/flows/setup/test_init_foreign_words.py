"""Words and shapes of foreign files: states, flags, amounts and people in many languages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.errors import UserError
from tests.flows.setup.test_init_meaning import EXPECTED, SALES, TOTAL, file, init, totals

PLAIN = SALES.rename(columns={"customer": "customer_id", "total": "amount"})
DAYS = pd.to_datetime(PLAIN["at"], utc=True).dt.strftime("%Y-%m-%d")
LOST = pd.Series(np.arange(len(PLAIN)) % 11 == 3)


def kept(rows: pd.Series = ~LOST) -> tuple[int, float]:
    """Orders and revenue of some rows."""
    return int(rows.sum()), round(float(PLAIN["amount"][rows].sum()), 2)


def orders_and_revenue(content: dict[str, object]) -> tuple[int, float]:
    orders, _, revenue = totals(content)
    return orders, revenue


@pytest.mark.parametrize(
    ("column", "good", "lost"),
    [
        ("発送状況", "発送済み", "キャンセル"),
        ("Livré ?", "oui", "annulé"),
        ("Makulerad", "Nej", "Ja"),
        ("Státusz", "Teljesítve", "Törölve"),
        ("주문상태", "구매확정", "취소"),
        ("Estado", "Pagado", "Anulado"),
        ("Status do Pagamento", "Confirmado", "Recusado"),
        ("الحالة", "مدفوعة", "ملغاة"),
        ("Κατάσταση", "Ολοκληρώθηκε", "Ακυρώθηκε"),
        ("Storniert", "Nein", "Ja"),
        ("valid", "1", "0"),
        ("Sipariş Statüsü", "Teslim Edildi", "İptal Edildi"),
    ],
)
@pytest.mark.parametrize("named", [False, True], ids=["found", "named"])
def test_lost_orders_are_left_out_in_any_language(
    tmp_path: Path, column: str, good: str, lost: str, named: bool
) -> None:
    rows = PLAIN.assign(**{column: np.where(LOST, lost, good)})
    options = ["--column", f"event_type={column}"] if named else []
    content = init(tmp_path, file(tmp_path, "orders.csv", rows), *options)
    assert orders_and_revenue(content) == kept()


def test_the_most_frequent_of_unknown_words_is_the_purchase(tmp_path: Path) -> None:
    # The first in the order of the alphabet is the rare one.
    words = np.where(LOST, "Aardvark", "Zebra")
    content = init(
        tmp_path,
        file(tmp_path, "orders.csv", PLAIN.assign(kind=words)),
        "--column",
        "event_type=kind",
    )
    assert orders_and_revenue(content) == kept()


def test_deposit_and_balance_of_an_order_both_count_and_are_one_order(tmp_path: Path) -> None:
    parts = [
        PLAIN.assign(kind=kind, amount=PLAIN["amount"] * share)
        for kind, share in (("deposit", 0.25), ("balance", 0.75))
    ]
    content = init(tmp_path, file(tmp_path, "payments.csv", pd.concat(parts)))
    orders, _, revenue = totals(content)
    assert (orders, revenue) == (EXPECTED[0], pytest.approx(TOTAL, abs=0.5))


def test_the_answer_to_a_role_is_said_with_its_own_figures(tmp_path: Path) -> None:
    rows = PLAIN.assign(kind=np.where(LOST, "deposit", "balance"), order=range(len(PLAIN)))
    names = ["--role", "deposit=purchase", "--role", "balance=purchase"]
    content = init(
        tmp_path, file(tmp_path, "payments.csv", rows), "--column", "event_type=kind", *names
    )
    assert orders_and_revenue(content) == kept(LOST | True)
    assert "is taken as the purchase" not in str(content)


@pytest.mark.parametrize("below_a_thousand", [False, True])
def test_points_before_three_digits_part_thousands(tmp_path: Path, below_a_thousand: bool) -> None:
    whole = (PLAIN["amount"].round().astype(int) + 1) * 110
    if not below_a_thousand:
        whole += 1000
    written = whole.map(lambda number: f"{number:,}".replace(",", "."))
    content = init(tmp_path, file(tmp_path, "orders.csv", PLAIN.assign(amount=written)))
    assert totals(content)[2] == whole.sum()
    assert "part thousands" in str(content)


def test_points_before_three_digits_are_decimals_beside_other_decimals(tmp_path: Path) -> None:
    rows = PLAIN.assign(rate="1.234", amount=PLAIN["amount"].map("{:.2f}".format))
    assert totals(init(tmp_path, file(tmp_path, "orders.csv", rows))) == EXPECTED


def test_amounts_are_grouped_as_in_india(tmp_path: Path) -> None:
    def grouped(number: int) -> str:
        head, tail = str(number)[:-3], str(number)[-3:]
        parts = [head[max(end - 2, 0) : end] for end in range(len(head), 0, -2)]
        return ",".join([*reversed(parts), tail]) + ".00"

    whole = PLAIN["amount"].round().astype(int) * 1000 + 100_000
    rows = PLAIN.assign(amount=whole.map(grouped))
    assert totals(init(tmp_path, file(tmp_path, "orders.csv", rows)))[2] == whole.sum()


@pytest.mark.parametrize("extra", ["Gift Aid amount", "Moms", "Despacho", "GST amount", "Tip"])
def test_a_tax_a_fee_or_a_tip_is_no_amount_of_an_order(tmp_path: Path, extra: str) -> None:
    rows = PLAIN.rename(columns={"amount": "Gross donation"})
    rows.insert(0, extra, PLAIN["amount"] * 0.25)
    assert totals(init(tmp_path, file(tmp_path, "gifts.csv", rows))) == EXPECTED


def test_further_lines_of_an_order_with_its_total_on_the_first_are_no_mistake(
    tmp_path: Path,
) -> None:
    further = PLAIN[["order", "customer_id"]].assign(product="second")
    rows = pd.concat([PLAIN.assign(product="first"), further]).sort_values("order", kind="stable")
    content = init(tmp_path, file(tmp_path, "orders.csv", rows))
    assert totals(content) == EXPECTED
    assert content.get("problem") is None


def test_rows_without_an_amount_are_left_out_and_said(tmp_path: Path) -> None:
    rows = PLAIN.assign(amount=PLAIN["amount"].mask(LOST))
    content = init(tmp_path, file(tmp_path, "orders.csv", rows))
    assert orders_and_revenue(content) == kept()
    assert f"{LOST.sum():,} of {len(PLAIN):,} rows have no 'amount'" in str(content)


def test_suppliers_are_no_customers_who_return_things(tmp_path: Path) -> None:
    rent = pd.DataFrame({"customer_id": "landlord", "at": PLAIN["at"].iloc[::12], "amount": -9.0})
    rows = pd.concat([PLAIN[["customer_id", "at", "amount"]], rent])
    content = init(tmp_path, file(tmp_path, "statement.csv", rows))
    assert totals(content)[2] == TOTAL
    assert "suppliers" in str(content)


def test_equal_instalments_on_several_days_all_count(tmp_path: Path) -> None:
    later = pd.to_datetime(PLAIN["at"], utc=True) + pd.Timedelta(days=30)
    second = PLAIN.assign(at=later.dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    first = PLAIN.assign(at=pd.to_datetime(PLAIN["at"], utc=True).dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    content = init(tmp_path, file(tmp_path, "payments.csv", pd.concat([first, second])))
    assert totals(content)[2] == pytest.approx(2 * TOTAL, abs=0.02)


def test_surnames_beside_first_names_are_said_to_merge_people(tmp_path: Path) -> None:
    rows = PLAIN.rename(columns={"customer_id": "NOM"}).assign(
        Prénom="Anna " + PLAIN["order"].str[-1]
    )
    rows["NOM"] = "Family " + rows["NOM"].str[-1]
    content = init(tmp_path, file(tmp_path, "orders.csv", rows), "--column", "customer_id=NOM")
    assert "surnames, with 'Prénom'" in str(content)


def test_prices_of_equal_tickets_all_count(tmp_path: Path) -> None:
    # Two tickets of one price in every third order: no total that stands on both lines.
    rows = PLAIN.assign(amount=25.0, seat="a")
    content = init(
        tmp_path, file(tmp_path, "seats.csv", pd.concat([rows, rows[::3].assign(seat="b")]))
    )
    assert totals(content)[2] == 25.0 * (len(rows) + len(rows[::3]))


def test_of_a_business_own_statement_what_came_in_is_bought(tmp_path: Path) -> None:
    paid = PLAIN[["customer_id", "at"]].assign(paid_in=PLAIN["amount"], withdrawn=None)
    fees = paid.assign(customer_id=None, paid_in=None, withdrawn=1.0)
    content = init(tmp_path, file(tmp_path, "statement.csv", pd.concat([paid, fees])))
    assert totals(content)[2] == TOTAL


def test_two_people_in_all_rows_are_no_customers(tmp_path: Path) -> None:
    rows = PLAIN.assign(user=np.where(LOST, "staff1", "staff2")).drop(columns="customer_id")
    with pytest.raises(UserError, match="no column that names the customer"):
        init(tmp_path, file(tmp_path, "till.csv", pd.concat([rows] * 4)))


def test_types_with_negative_amounts_only_are_refunds(tmp_path: Path) -> None:
    words = pd.Series(np.where(LOST, "Zzz", "Aaa"))
    rows = PLAIN.assign(kind=words, amount=PLAIN["amount"].where(~LOST, -PLAIN["amount"]))
    content = init(tmp_path, file(tmp_path, "x.csv", rows), "--column", "event_type=kind")
    orders, _, revenue = totals(content)
    assert (orders, revenue) == (kept()[0], pytest.approx(2 * kept()[1] - TOTAL, abs=0.02))


def test_whole_amounts_of_saved_answers_may_be_cents(tmp_path: Path) -> None:
    cents = (PLAIN["amount"] * 100).round().astype(int) + 100
    path = tmp_path / "invoices.jsonl"
    PLAIN.assign(amount=cents, currency="USD").to_json(path, orient="records", lines=True)
    assert "value_scale: 0.01" in str(init(tmp_path, str(path)))


def test_customers_above_their_rows_are_refused(tmp_path: Path) -> None:
    groups = [
        pd.concat([pd.DataFrame({"": [name]}), own.drop(columns="customer_id")])
        for name, own in PLAIN.groupby("customer_id")
    ]
    with pytest.raises(UserError, match="a heading in 'column0' and nothing else"):
        init(tmp_path, file(tmp_path, "report.csv", pd.concat(groups)))


def test_a_column_a_year_is_refused(tmp_path: Path) -> None:
    years = {
        f"{word} {year}": value
        for year in (2022, 2023)
        for word, value in (("paid on", DAYS), ("fee", PLAIN["amount"]))
    }
    rows = pd.DataFrame({"member_id": PLAIN["customer_id"], **years})
    with pytest.raises(UserError, match="columns that differ by their year: paid on 2022"):
        init(tmp_path, file(tmp_path, "members.csv", rows))
    months = {f"{word}-23": PLAIN["amount"] for word in ("jan", "feb", "mrt", "apr", "mei", "jun")}
    matrix = pd.DataFrame({"Naam": PLAIN["customer_id"], **months})
    with pytest.raises(UserError, match="a column for each month: jan-23"):
        init(tmp_path, file(tmp_path, "matrix.csv", matrix))


@pytest.mark.parametrize(
    ("lines", "hint"),
    [
        (["Total,1"], "the last lines are no rows"),
        (["a,b,c"] * 20, "a second table begins in line"),
    ],
    ids=["footer", "second table"],
)
def test_uneven_lines_are_named(tmp_path: Path, lines: list[str], hint: str) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(PLAIN.to_csv(index=False) + "\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=hint) as caught:
        init(tmp_path, str(path))
    assert f"the first is line {len(PLAIN) + 2:,}" in str(caught.value)
