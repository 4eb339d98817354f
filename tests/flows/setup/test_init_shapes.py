"""Shapes of files that `stagecast init` reads right, or refuses with the way out."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pandas as pd
import pytest

from features.errors import UserError
from tests.flows.setup.test_init_meaning import EXPECTED, SALES, TOTAL, file, init, totals

PLAIN = SALES.rename(columns={"customer": "customer_id", "total": "amount"})
DAYS = pd.to_datetime(PLAIN["at"], utc=True).dt.strftime("%Y-%m-%d")


def test_files_with_the_same_columns_in_any_order_are_one_table(tmp_path: Path) -> None:
    third = len(PLAIN) // 3
    parts = [PLAIN[:third], PLAIN[third : 2 * third], PLAIN[2 * third :]]
    orders = [list(PLAIN), list(PLAIN)[::-1], sorted(PLAIN)]
    names = [
        file(tmp_path, f"sales_{year}.csv", part[columns])
        for year, part, columns in zip((2020, 2021, 2022), parts, orders, strict=True)
    ]
    content = init(tmp_path, *names)
    assert totals(content) == EXPECTED
    assert len(content["sources"]) == 1


def test_parts_in_one_archive_are_one_table(tmp_path: Path) -> None:
    half = len(PLAIN) // 2
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        for name, part in (("a", PLAIN[:half]), ("b", PLAIN[half:])):
            archive.writestr(f"{name}.csv", part.to_csv(index=False))
    assert totals(init(tmp_path, str(tmp_path / "export.zip"))) == EXPECTED


def test_orders_and_refunds_with_the_same_columns_stay_two_tables(tmp_path: Path) -> None:
    back = PLAIN[::9].assign(order=lambda rows: "r" + rows["order"])
    content = init(
        tmp_path, file(tmp_path, "orders.csv", PLAIN), file(tmp_path, "refunds.csv", back)
    )
    orders, _, revenue = totals(content)
    assert (orders, revenue) == (len(PLAIN), pytest.approx(TOTAL - back["amount"].sum()))


def test_check_ins_count_where_there_are_no_orders(tmp_path: Path) -> None:
    visits = pd.DataFrame(
        {"Member No": PLAIN["customer_id"], "Check-in Date": DAYS, "Club": "north"}
    )
    content = init(tmp_path, file(tmp_path, "member_checkins.csv", visits))
    assert content["sources"][0]["orders"] == len(PLAIN)
    assert "every visit counts as a purchase" in " ".join(content["checks"])


@pytest.mark.parametrize("column", ["Pupil ID", "Kundenkarte", "uid", "cust", "debtor no"])
def test_further_words_for_customers(tmp_path: Path, column: str) -> None:
    rows = PLAIN.rename(columns={"customer_id": column})
    assert totals(init(tmp_path, file(tmp_path, "orders.csv", rows))) == EXPECTED


def test_abbreviated_columns(tmp_path: Path) -> None:
    names = {"customer_id": "cust", "at": "txn_dt", "amount": "amt", "order": "oid"}
    log = PLAIN.rename(columns=names).assign(evt="checkout_completed")
    views = log.assign(evt="view_item", amt=None, oid=None)
    content = init(tmp_path, file(tmp_path, "evts.csv", pd.concat([log, views])))
    assert totals(content) == EXPECTED
    assert content["sources"][0]["events"] == len(views)


@pytest.mark.parametrize(
    "column", ["Återbetalt belopp", "montant remboursé", "Erstattet", "возвращено", "返金額"]
)
def test_what_was_paid_back_in_other_languages(tmp_path: Path, column: str) -> None:
    part = (PLAIN["amount"] / 2).round(2).where(PLAIN.index % 10 == 0, 0.0)
    content = init(tmp_path, file(tmp_path, "orders.csv", PLAIN.assign(**{column: part})))
    assert totals(content)[2] == pytest.approx(TOTAL - part.sum(), abs=0.01)


def test_net_beside_gross_is_a_check_with_both_sums(tmp_path: Path) -> None:
    rows = PLAIN.assign(
        net_amount=(PLAIN["amount"] / 1.2).round(2), gross_amount=PLAIN["amount"]
    ).drop(columns="amount")
    content = init(tmp_path, file(tmp_path, "orders.csv", rows))
    (check,) = [check for check in content["checks"] if "gross_amount" in check]
    assert f"{TOTAL:,.2f}" in check
    assert f"{rows['net_amount'].sum():,.2f}" in check


def test_a_named_amount_that_is_no_number_is_refused(tmp_path: Path) -> None:
    rows = PLAIN.assign(amount="n/a")
    with pytest.raises(UserError, match=r"--column value=amount: found \d+ of \d+ filled cells"):
        init(tmp_path, file(tmp_path, "orders.csv", rows), "--column", "value=amount")


def test_one_column_a_month_is_refused_with_the_way_out(tmp_path: Path) -> None:
    wide = PLAIN.assign(month=DAYS.str[:7]).pivot_table(
        index="customer_id", columns="month", values="amount", aggfunc="sum"
    )
    with pytest.raises(UserError, match=r"(?s)one column for each month.*one row for each"):
        init(tmp_path, file(tmp_path, "revenue.csv", wide.reset_index()))


def test_a_customer_on_the_first_row_of_each_group_is_refused(tmp_path: Path) -> None:
    grouped = PLAIN.sort_values(["customer_id", "at"])
    grouped["customer_id"] = grouped["customer_id"].where(~grouped["customer_id"].duplicated())
    with pytest.raises(UserError, match=r"(?s)first row of each group.*repeat"):
        init(tmp_path, file(tmp_path, "pivot.csv", grouped))


@pytest.mark.parametrize("kind", ["empty ids", "copied rows"])
def test_a_table_of_customers_need_not_be_clean(tmp_path: Path, kind: str) -> None:
    number = PLAIN["customer_id"].str.extract(r"(\d+)")[0].astype(float)
    orders = PLAIN.assign(customer_id=number.astype(int))
    people = pd.DataFrame({"customer_id": sorted(number.unique())})
    people["signup date"] = "2019-05-06"
    people["city"] = "Ghent"
    more = people.head(3)
    if kind == "empty ids":
        more = more.assign(customer_id=float("nan"))
    names = [
        file(tmp_path, "orders.csv", orders),
        file(tmp_path, "customers.csv", pd.concat([people, more])),
    ]
    assert totals(init(tmp_path, *names)) == EXPECTED


def test_a_few_orders_after_a_hole_are_left_out(tmp_path: Path) -> None:
    late = PLAIN.tail(1).assign(order="late", at=PLAIN["at"].max() + pd.Timedelta(days=300))
    content = init(tmp_path, file(tmp_path, "orders.csv", pd.concat([PLAIN, late])))
    assert totals(content) == EXPECTED
    assert content["config"]["data_through"] == DAYS.max()
    assert "everybody would count as lapsed" in " ".join(content["checks"])
    assert "# CHECK: 1 of" in (tmp_path / "made.yaml").read_text(encoding="utf-8")


STARTS = pd.to_datetime(PLAIN["at"], utc=True).dt.tz_convert(None).dt.normalize()


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("start_date", "end_date"),
        ("Vertragsbeginn", "Vertragsende"),
        ("started_at", "cancelled_at"),
    ],
)
def test_contracts_say_what_counts_and_their_ends_are_cancellations(
    tmp_path: Path, start: str, end: str
) -> None:
    ended = (STARTS + pd.Timedelta(days=20)).where(PLAIN.index % 4 == 0)
    ended = ended.where(ended <= STARTS.max())
    rows = PLAIN.drop(columns="at").assign(**{start: STARTS, end: ended})
    content = init(tmp_path, file(tmp_path, "subscriptions.csv", rows))
    assert totals(content) == EXPECTED
    assert content["sources"][1]["events"] == int(ended.notna().sum())
    assert "each counts as one purchase on its start" in " ".join(content["checks"])


def test_planned_ends_of_contracts_are_no_cancellations(tmp_path: Path) -> None:
    planned = STARTS + pd.Timedelta(days=365)
    rows = PLAIN.drop(columns="at").assign(start_date=STARTS, end_date=planned)
    content = init(tmp_path, file(tmp_path, "policies.csv", rows))
    assert len(content["sources"]) == 1
    assert "are planned, or lie behind the last start" in " ".join(content["checks"])


def test_movements_of_recurring_revenue_have_roles(tmp_path: Path) -> None:
    kinds = ["new", "expansion", "contraction", "churn", "reactivation"]
    rows = PLAIN.assign(movement=[kinds[place % 5] for place in range(len(PLAIN))])
    content = init(tmp_path, file(tmp_path, "mrr_movements.csv", rows))
    roles = content["config"]["roles"]
    assert roles == {"cancel": ["churn"], "purchase": ["expansion", "new", "reactivation"]}
    assert "and not every payment" in " ".join(content["checks"])


def test_a_row_of_totals_in_a_small_table_is_left_out(tmp_path: Path) -> None:
    few = PLAIN.head(80)
    total = pd.DataFrame([{"customer_id": "Grand Total", "amount": few["amount"].sum()}])
    content = init(tmp_path, file(tmp_path, "orders.csv", pd.concat([few, total])))
    assert content["sources"][0]["orders"] == len(few)
    assert "1 row without a date is a sum of others" in " ".join(content["checks"])
    assert "bad rows" not in str(content["problem"])


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (("Kontakt-ID", "Abschlussdatum", "Betrag", "Phase"), ("Gewonnen", "Verloren")),
        (("Compte", "Date de clôture", "Montant", "Étape"), ("Gagnée", "Perdue")),
        (("Cuenta", "Fecha de cierre", "Importe", "Etapa"), ("Ganada", "Perdida")),
    ],
    ids=["German", "French", "Spanish"],
)
def test_deals_in_other_languages(
    tmp_path: Path, columns: tuple[str, ...], words: tuple[str, str]
) -> None:
    who, when, money, stage = columns
    deals = PLAIN.rename(columns={"customer_id": who, "at": when, "amount": money})
    lost = deals[::5].assign(order=lambda rows: "x" + rows["order"], **{stage: words[1]})
    rows = pd.concat([deals.assign(**{stage: words[0]}), lost])
    assert totals(init(tmp_path, file(tmp_path, "deals.csv", rows))) == EXPECTED


@pytest.mark.parametrize("name", ["Beleg Ref.", "col_7", "Vorgang", "X"])
def test_lines_hang_together_by_a_column_that_no_name_explains(tmp_path: Path, name: str) -> None:
    half = (PLAIN["amount"] / 2).round(2)
    lines = [PLAIN.assign(amount=half), PLAIN.assign(amount=(PLAIN["amount"] - half).round(2))]
    rows = (
        pd.concat(lines).assign(sku=lambda rows: range(len(rows))).rename(columns={"order": name})
    )
    content = init(tmp_path, file(tmp_path, "sales.csv", rows))
    assert totals(content) == EXPECTED
    assert content["config"]["sources"][0]["columns"]["order_id"] == name


def test_receipts_of_guests_hang_together_too(tmp_path: Path) -> None:
    half = (PLAIN["amount"] / 2).round(2)
    lines = [PLAIN.assign(amount=half), PLAIN.assign(amount=(PLAIN["amount"] - half).round(2))]
    rows = pd.concat(lines).assign(sku=lambda rows: range(len(rows))).rename(columns={"order": "x"})
    guests = rows.head(90).assign(customer_id=None, x=lambda rows: "g" + rows["x"])
    content = init(tmp_path, file(tmp_path, "sales.csv", pd.concat([rows, guests])))
    assert totals(content) == EXPECTED


def test_no_key_of_lines_where_a_value_has_several_times(tmp_path: Path) -> None:
    rows = PLAIN.drop(columns="order").assign(shelf=PLAIN["customer_id"].str[-1])
    content = init(tmp_path, file(tmp_path, "sales.csv", rows))
    assert "order_id" not in content["config"]["sources"][0]["columns"]


@pytest.mark.parametrize(
    ("delimiter", "encoding", "titles"),
    [(";", "cp1252", 0), ("\t", "utf-16", 2), ("|", "utf-8", 1)],
)
def test_a_joined_table_is_read_as_it_is_written(
    tmp_path: Path, delimiter: str, encoding: str, titles: int
) -> None:
    lines = PLAIN[["order", "amount"]].assign(article="tea")
    orders = PLAIN.rename(columns={"customer_id": "Kunde"})[["order", "Kunde"]]
    orders["Bestelldatum"] = DAYS
    orders["Gebühr"] = "1.234,5"
    text = "Export\n" * titles + orders.to_csv(index=False, sep=delimiter)
    (tmp_path / "orders.csv").write_bytes(text.encode(encoding))
    content = init(tmp_path, file(tmp_path, "lines.csv", lines), str(tmp_path / "orders.csv"))
    assert totals(content) == EXPECTED
    (lookup,) = content["config"]["sources"][0]["lookups"]
    assert lookup["csv"]["delimiter"] == delimiter


def test_contracts_without_amounts_are_purchases(tmp_path: Path) -> None:
    rows = pd.DataFrame({"cliente": PLAIN["customer_id"], "fecha inicio": STARTS})
    rows["fecha fin"] = (STARTS + pd.Timedelta(days=9)).where(PLAIN.index % 3 == 0)
    content = init(tmp_path, file(tmp_path, "altas.csv", rows))
    assert content["sources"][0]["orders"] == len(PLAIN)
    assert "contracts with a start and an end" in " ".join(content["checks"])


KEYS = {
    "code": ("UHID", "UH{}"),
    "address": ("Guest Email", "guest{}@mail.hr"),
    "number": ("Kd.-Nr.", "{}"),
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_comes_before_the_name_of_a_person(tmp_path: Path, kind: str) -> None:
    title, form = KEYS[kind]
    person = PLAIN["customer_id"].rank(method="dense").astype(int)
    rows = PLAIN.drop(columns="customer_id").assign(
        Client=[f"Ana {number % 45}" for number in person],
        **{title: [form.format(number + 7_000) for number in person]},
    )
    content = init(tmp_path, file(tmp_path, "orders.csv", rows))
    assert totals(content) == EXPECTED
    assert any("which is taken" in check for check in content["checks"])
    alone = init(tmp_path, file(tmp_path, "orders.csv", rows.drop(columns=title)))
    assert alone["sources"][0]["customers"] == 45
    assert "two people of one name count as one" in " ".join(alone["checks"])


def test_the_same_value_in_all_rows_is_no_customer(tmp_path: Path) -> None:
    rows = PLAIN.rename(columns={"customer_id": "Client"}).assign(account="NL99")
    assert totals(init(tmp_path, file(tmp_path, "orders.csv", rows))) == EXPECTED


@pytest.mark.parametrize(
    "name", ["total_cents", "amount in pence", "totalCents", "revenue_minor_units"]
)
def test_hundredths_are_read_by_the_name_of_their_column(tmp_path: Path, name: str) -> None:
    cents = (PLAIN["amount"] * 100).round().astype(int)
    rows = PLAIN.drop(columns="amount").assign(**{name: cents})
    content = init(tmp_path, file(tmp_path, "orders.csv", rows))
    assert totals(content) == EXPECTED
    assert "read as hundredths" in " ".join(content["checks"])


def test_a_named_order_total_on_every_line_counts_once_an_order(tmp_path: Path) -> None:
    lines = pd.concat([PLAIN.assign(sku="a"), PLAIN.assign(sku="b")])
    content = init(tmp_path, file(tmp_path, "orders.csv", lines), "--column", "value=amount")
    assert totals(content) == EXPECTED
    assert f"{2 * TOTAL:,.2f}; once: {len(PLAIN):,} orders, {TOTAL:,.2f}" in " ".join(
        content["checks"]
    )


def test_tables_that_number_their_own_rows_hang_together_by_named_keys(tmp_path: Path) -> None:
    number = range(1, len(PLAIN) + 1)
    orders = PLAIN[["customer_id", "at"]].assign(id=number)
    lines = pd.DataFrame(
        {"id": number, "order_id": number, "product_id": [n % 40 + 1 for n in number]}
    ).assign(amount=PLAIN["amount"])
    back = pd.DataFrame({"id": range(1, 41), "order_id": range(3, 123, 3), "amount": 1.0})
    back["created_at"] = "2023-01-05"
    names = [
        file(tmp_path, f"{name}.csv", table)
        for name, table in (("orders", orders), ("order_items", lines), ("refunds", back))
    ]
    content = init(tmp_path, *names)
    relations = " ".join(content["relations"])
    assert "order_items.csv" in relations
    assert "product_id" not in relations
    orders_read, _, revenue = totals(content)
    assert (orders_read, revenue) == (len(PLAIN), pytest.approx(TOTAL - 40))
    refunds = next(s for s in content["config"]["sources"] if "refunds" in str(s["events"]))
    assert refunds["columns"]["occurred_at"]["column"] == "created_at"  # not the order's day


@pytest.mark.parametrize("column", ["Zahlungsstatus", "Situação", "สถานะ", "Order Zustand"])
def test_states_under_further_names(tmp_path: Path, column: str) -> None:
    lost = PLAIN[::7].assign(order=lambda rows: "x" + rows["order"])
    rows = pd.concat([PLAIN.assign(**{column: "bezahlt"}), lost.assign(**{column: "storniert"})])
    assert totals(init(tmp_path, file(tmp_path, "sales.csv", rows))) == EXPECTED


def test_what_a_dump_of_a_database_writes_for_nothing_is_empty(tmp_path: Path) -> None:
    guests = PLAIN[::9].assign(customer_id="\\N", order=lambda rows: "g" + rows["order"])
    content = init(tmp_path, file(tmp_path, "orders.csv", pd.concat([PLAIN, guests])))
    assert totals(content)[1] == EXPECTED[1]


@pytest.mark.parametrize("titles", [0, 2])
def test_sheets_with_the_same_columns_are_one_table(tmp_path: Path, titles: int) -> None:
    path = tmp_path / "sales.xlsx"
    third = len(PLAIN) // 3
    with pd.ExcelWriter(path, engine="xlsxwriter") as book:
        for place, year in enumerate(("2021", "2022", "2023")):
            part = PLAIN[place * third : (place + 1) * third if place < 2 else None]
            part.to_excel(book, sheet_name=year, index=False, startrow=titles)
    content = init(tmp_path, str(path))
    assert totals(content) == EXPECTED
    assert content["config"]["sources"][0]["csv"]["sheet"] == "*"
