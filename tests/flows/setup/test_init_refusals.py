"""`stagecast init` on odd input: one message that says what was found and how to fix it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from features.errors import UserError
from tests.flows.setup.test_init import ORDERS, init, same, spend, truth

GOOD = "customer,day,amount\n"


def refused(folder: Path, text: str | bytes, *more: str, name: str = "orders.csv") -> str:
    content = text if isinstance(text, bytes) else text.encode()
    (folder / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        init(folder, str(folder / name), *more)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "an empty file"),
        (GOOD, "no rows"),
        ("customer\na\nb\n", "one column only: 'customer'"),
        ("day,amount\n2020-01-01,5\n", "no column that names the customer (columns: day, amount)"),
        ("customer,amount\na,5\n", "no column that says when"),
        ("customer,day,amount\na,soon,5\n", "'day' reads as no date or time"),
        ("customer,day,day\na,2020-01-01,5\n", "column 'day' twice"),
        ("a,2020-01-01,5\nb,2020-01-02,5\n", "a first line that looks like data"),
        ("customer,day,amount\na,2020-01-01,5\na,2020-01-05,5\n", "days of purchases"),
        ("customer,day,amount\na,2095-01-01,5\na,2095-01-05,5\n", "occurred_at after"),
        ("customer,day,amount\na,2020-01-01,\na,2020-03-01,5\n", "purchase without an amount"),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path: Path, text: str, words: str) -> None:
    said = refused(tmp_path, text)
    assert words in said
    assert "expected: " in said


def test_a_file_that_is_missing_or_holds_nothing_of_use(tmp_path: Path) -> None:
    for name, words in (("gone.csv", "no such file"), (".", "found a folder")):
        with pytest.raises(UserError, match=words):
            init(tmp_path, str(tmp_path / name))
    visits = "customer,day,page\na,2020-01-01,x\nb,2020-02-01,y\n"
    assert "no purchases" in refused(tmp_path, visits, name="visits.csv")
    assert "xlsx" in refused(tmp_path, b"PK", name="orders.xlsx")


def test_order_totals_on_every_line_are_not_added_up(tmp_path: Path) -> None:
    twice = pd.concat([ORDERS.assign(sku="a"), ORDERS.assign(sku="b")]).to_csv(index=False)
    said = refused(tmp_path, twice)
    assert "the same amount on every line" in said
    assert "--column value=" in said


def test_options_that_say_nothing(tmp_path: Path) -> None:
    text = ORDERS.to_csv(index=False)
    assert "no column 'nobody'" in refused(tmp_path, text, "--column", "customer_id=nobody")
    assert "FIELD=COLUMN" in refused(tmp_path, text, "--column", "who=customer")
    assert "Mars/Olympus" in refused(tmp_path, text, "--timezone", "Mars/Olympus")
    with pytest.raises(UserError, match=r"ending in \.yaml"):
        init(tmp_path, str(tmp_path / "orders.csv"), to="x.txt")


def test_a_password_never_reaches_the_config(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        init(tmp_path, "postgres://me:hunter2@localhost/shop#orders")
    assert "hunter2" not in str(error.value)
    assert not (tmp_path / "made.yaml").exists()


def test_a_yaml_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "made.yaml").write_text("mine", encoding="utf-8")
    assert "--force" in refused(tmp_path, ORDERS.to_csv(index=False))
    assert (tmp_path / "made.yaml").read_text(encoding="utf-8") == "mine"
    init(tmp_path, str(tmp_path / "orders.csv"), "--force")


def test_too_short_a_history_still_leaves_the_config(tmp_path: Path) -> None:
    short = ORDERS[ORDERS["at"] < "2020-02-01"]
    told = tmp_path / "told.json"
    said = refused(tmp_path, short.to_csv(index=False), "--json", str(told))
    assert "days of purchases" in said
    needs = {(n["prediction"], n["what"]): n for n in json.loads(told.read_text())["needs"]}
    assert needs["churn risk", "days of history"]["verdict"] == "missing"
    assert "customer_id: customer" in (tmp_path / "made.yaml").read_text(encoding="utf-8")


def test_a_byte_order_mark_and_seconds_since_1970(tmp_path: Path) -> None:
    rows = ORDERS.assign(at=ORDERS["at"].map(lambda at: int(at.timestamp())))
    rows.to_csv(tmp_path / "orders.csv", index=False, encoding="utf-8-sig")
    config = init(tmp_path, str(tmp_path / "orders.csv"))
    assert config.sources[0].columns.occurred_at.format == "seconds"
    same(spend(config, tmp_path), truth())


def test_utf_16_and_a_column_named_by_the_user(tmp_path: Path) -> None:
    rows = ORDERS.rename(columns={"customer": "who"})
    rows.to_csv(tmp_path / "orders.csv", index=False, encoding="utf-16")
    config = init(tmp_path, str(tmp_path / "orders.csv"), "--column", "customer_id=who")
    same(spend(config, tmp_path), truth())


def test_dates_that_read_both_ways_are_flagged(tmp_path: Path) -> None:
    days = [f"{1 + n % 12:02d}/{1 + n // 12 % 12:02d}/2020" for n in range(144)]
    rows = pd.DataFrame({"customer": [f"c{n % 9}" for n in range(144)], "day": days, "amount": 5})
    assert "who stayed away by the test: found 0" in refused(tmp_path, rows.to_csv(index=False))
    text = (tmp_path / "made.yaml").read_text(encoding="utf-8")
    assert "CHECK: every date also reads month first; taken day first" in text
