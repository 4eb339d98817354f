"""Customers, amounts and times that no name tells: by what columns hold, with a CHECK."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from flows.setup.amount_by_content import likely_amounts
from flows.setup.datetime_formats import TimeForm
from flows.setup.table_profiling import ColumnProfile
from flows.setup.time_by_content import time_by_content
from tests.flows.setup.test_init_foreign_words import PLAIN, kept, orders_and_revenue
from tests.flows.setup.test_init_meaning import file, init


def test_customer_and_amount_without_a_known_name_are_taken_with_a_check(tmp_path: Path) -> None:
    rows = PLAIN.rename(columns={"customer_id": "Qwx", "amount": "Zyx (EUR)"})
    content = init(tmp_path, file(tmp_path, "orders.csv", rows))
    assert orders_and_revenue(content) == kept(pd.Series(True, index=PLAIN.index))
    notes = " ".join(str(check) for check in content["checks"])
    assert "'Qwx' is taken" in notes


@pytest.mark.parametrize("name", ["Faturalanacak Tutar", "Tutar (TRY)", "Cena", "Belopp i kr"])
def test_an_amount_is_known_by_a_word_or_by_its_numbers(tmp_path: Path, name: str) -> None:
    content = init(tmp_path, file(tmp_path, "orders.csv", PLAIN.rename(columns={"amount": name})))
    assert orders_and_revenue(content) == kept(pd.Series(True, index=PLAIN.index))


def test_quantity_times_price_is_the_amount_and_codes_are_none() -> None:
    pieces, price = pd.Series([1, 2, 3, 4, 5, 6] * 5), pd.Series([1.5, 2.25, 3.1, 4.2, 9.95] * 6)
    columns = {"a": pieces, "b": price, "c": pieces * price, "customer_nr": price * 100}
    numbers = {name: ColumnProfile(name, "number", cells) for name, cells in columns.items()}
    likely = likely_amounts(numbers)
    assert likely[0].name == "c"
    assert "customer_nr" not in {column.name for column in likely}


def test_of_two_dates_the_earlier_is_that_of_the_order() -> None:
    days = pd.Series(["2024-03-05", "2024-01-02", "2024-02-09"])
    later = pd.Series(["2024-04-05", "2024-03-02", "2024-05-09"])
    form = TimeForm({"as": "local_date"})
    columns = [ColumnProfile("x", "text", later, form), ColumnProfile("y", "text", days, form)]
    taken = time_by_content(columns)
    assert taken is not None
    assert taken.name == "y"
