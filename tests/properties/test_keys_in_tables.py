"""Whatever spelling, table and type of file an id comes in, it is the same customer."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from features.aggregates.daily_aggregates import tally
from features.config.config import Config
from features.errors import UserError
from features.sources.customer_attributes import customer_facts
from features.sources.experiments import load_experiment
from features.sources.products import read_products
from tests.oracles.orders import LATEST, shop
from tests.tries import tries

DAY = "2021-01-05"
QUICK = (Phase.explicit, Phase.generate)  # an example takes a second, and shrinking hundreds
# Written to a file as what, so that the engine finds this type; each keeps all digits it can.
WRITTEN: dict[str, Callable[[str], Any]] = {
    "text": str,
    "int64": int,
    "double": float,
    "decimal": decimal.Decimal,
}
ARROW = {"text": pa.string(), "int64": pa.int64(), "double": pa.float64(),
         "decimal": pa.decimal128(38, 2)}  # fmt: skip


@dataclass(frozen=True)
class Form:
    """How a table is written: the kind of its files, and of each the type of its ids."""

    suffix: str
    kinds: tuple[str, ...]


FORMS = st.builds(
    Form,
    st.sampled_from(["csv", "parquet", "jsonl"]),
    st.lists(st.sampled_from(sorted(WRITTEN)), min_size=1, max_size=3).map(tuple),
)
SPELL = st.sampled_from(["{}", " {}", "{}\u00a0", "\ufeff{}", "{}\u200b", "\t{}\u2009"])
# A double holds whole numbers below 2**53 exactly.
NUMBERS = st.integers(1, 2**53 - 1).map(str) | st.integers(1, 999).map(str)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], dict[str, Form], Callable[[str], str]]:
    """Ids, how each table is written, and a drawn spelling of text cells."""
    ids = draw(st.lists(NUMBERS, min_size=2, max_size=6, unique=True))
    names = ("events", "list", "history", "people", "goods", "test")
    forms = {name: draw(FORMS) for name in names}
    spellings = draw(st.lists(SPELL, min_size=7, max_size=7))
    return ids, forms, lambda text: spellings[int(text) % 7].format(text)


def write(
    folder: Path, name: str, form: Form, rows: Sequence[dict[str, Any]], spell: Callable[[str], str]
) -> str:
    """Write rows, dealt out to the files of a form; every file has one row without an id."""
    folder = folder / name
    folder.mkdir()
    for number, kind in enumerate(form.kinds):
        mine = [dict(row) for row in rows[number :: len(form.kinds)]]
        for row in mine:
            text = spell(row["id"]) if kind == "text" else row["id"]
            row["id"] = WRITTEN[kind](text)
        if not mine:
            continue
        mine.append({**mine[0], "id": None})
        file = folder / f"{name}-{number}.{form.suffix}"
        if form.suffix == "parquet":
            columns = {key: [row[key] for row in mine] for key in mine[0]}
            columns["id"] = pa.array(columns["id"], ARROW[kind])
            pq.write_table(pa.table(columns), file)
        elif form.suffix == "jsonl":
            lines = (json.dumps(row, default=float) for row in mine)
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        else:
            header = ",".join(mine[0])
            cells = (
                ",".join("" if value is None else f'"{value}"' for value in row.values())
                for row in mine
            )
            file.write_text("\n".join([header, *cells]) + "\n", encoding="utf-8")
    return str(folder / f"*.{form.suffix}")


def config_of(folder: Path, ids: Sequence[str], forms: dict[str, Form], spell: Any) -> Config:
    """A shop all of whose customers are in every table."""

    def table(name: str, **cells: Any) -> str:
        return write(folder, name, forms[name], [{"id": one, **cells} for one in ids], spell)

    day = {"column": "day", "as": "local_date"}
    return shop(
        table("events", day=DAY, paid="1.5"),
        source_columns={"customer_id": "id", "occurred_at": day, "product_id": "id"},
        quarantine={"max_share": 0.9},
        consent="recorded",
        consents={
            "table": table("history", day=DAY, channel=" E-Mail", ok="no"),
            "columns": {"customer_id": "id", "channel": "channel", "granted": "ok",
                        "changed_at": day},
        },
        suppressions=[{"table": table("list", why="bounce"),
                       "columns": {"customer_id": "id", "reason": "why"}}],
        customers={"table": table("people", mail="a@b.de"),
                   "columns": {"customer_id": "id", "contact": {"email": "mail"}}},
        products={"table": table("goods", margin="0.5"),
                  "columns": {"product_id": "id", "margin": "margin"}},
    )  # fmt: skip


@settings(max_examples=tries(20), phases=QUICK)
@given(tables())
def test_an_id_is_one_customer_in_every_table(
    drawn: tuple[list[str], dict[str, Form], Callable[[str], str]],
) -> None:
    ids, forms, spell = drawn
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        config = config_of(folder, ids, forms, spell)
        tallies, _ = tally(config, latest=LATEST, quarantine=folder / "quarantine")
        facts = customer_facts(config, dt.date(2021, 3, 1))
        goods = read_products(config, dt.date(2021, 3, 1))
        declared = folder / "test.yaml"
        sent = [{"id": one, "got": n % 2, "paid": n} for n, one in enumerate(ids)]
        table = write(folder, "test", forms["test"], sent, spell)
        declared.write_text(
            f"name: t\ntable: '{table}'\ntreatment: got\noutcome: paid\ncustomer_id: id\n",
            encoding="utf-8",
        )
        people = load_experiment(str(declared)).customers
    everyone = sorted(ids)
    daily = tallies.daily.to_pandas()
    assert daily["customer_id"].astype(str).tolist() == everyone
    assert daily["count"].tolist() == [1] * len(ids)
    assert sorted(facts.suppressed["customer_id"]) == everyone
    assert facts.refused.loc[everyone, "email"].all()
    assert set(everyone) <= set(facts.contacts.index)
    assert goods is not None
    assert sorted(goods["product_id"].dropna()) == everyone
    chosen = tallies.attributes.to_pandas()
    assert sorted(chosen["choice"].astype(str)) == everyone
    assert people is not None
    assert sorted(people[~pd.isna(people)]) == everyone


def rows_of(numbers: Sequence[int]) -> list[dict[str, Any]]:
    return [{"id": str(number), "day": DAY} for number in numbers]


LONG = st.integers(2**53 + 1, 2**63 - 1)


@settings(max_examples=tries(10), phases=QUICK)
@given(
    st.lists(LONG, min_size=2, max_size=5, unique=True),
    st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True),
    st.sampled_from(["csv", "parquet", "jsonl"]),
)
def test_one_day_of_floats_costs_the_others_no_digit(
    whole: list[int], small: list[int], suffix: str
) -> None:
    """Day files of whole numbers beside one of floats; floats too large to be exact are refused."""
    day = {"column": "day", "as": "local_date"}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)

        def read(floats: list[int], name: str) -> set[str]:
            (folder / name).mkdir()
            files = [
                write(folder / name, kind, Form(suffix, (kind,)), rows_of(numbers), str)
                for kind, numbers in (("int64", whole), ("double", floats))
            ]
            config = shop(
                "",
                source_events=files,
                source_columns={"customer_id": "id", "occurred_at": day},
                quarantine={"max_share": 0.9},
            )
            found = tally(config, latest=LATEST, quarantine=folder / "quarantine")[0]
            return set(found.daily["customer_id"].to_pylist())

        assert read(small, "exact") == {str(one) for one in (*whole, *small)}
        with pytest.raises(UserError, match="that were rounded"):
            read([2**53, *small], "rounded")
