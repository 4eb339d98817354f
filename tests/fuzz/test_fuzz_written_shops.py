"""`stagecast init` reads the same totals however a shop's orders are written."""

from __future__ import annotations

import gzip
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from tests.flows.setup.test_init_meaning import init
from tests.fuzz.judge import fuzzed

ORDERS = 90
ENCODINGS = ("utf-8", "utf-8-sig", "cp1252", "utf-16")
MOMENTS = {
    "date": "%Y-%m-%d", "clock": "%Y-%m-%d %H:%M:%S", "offset": "%Y-%m-%dT%H:%M:%SZ",
    "compact": "%Y%m%d", "day first": "%d.%m.%Y", "day first, clock": "%d/%m/%Y %H:%M",
    "month first": "%m/%d/%Y", "short year": "%d/%m/%y", "month's name": "%d-%b-%Y",
    "month's name first": "%B %d, %Y",
}  # fmt: skip
EPOCHS = {"seconds": 10**9, "milliseconds": 10**6}  # nanoseconds each
IDS = ("small", "large", "padded", "uuid", "text")
HEADERS = (
    ("order_id", "customer_id", "order_date", "total"),
    ("Bestellnr.", "Kundennummer", "Bestelldatum", "Gesamtbetrag"),
    ("N° commande", "Client", "Date de commande", "Montant total"),
    ("Pedido", "Cliente", "Fecha", "Importe"),
)


@dataclass(frozen=True)
class Writing:
    """How a shop's orders are written."""

    seed: int
    encoding: str
    delimiter: str
    decimal: str
    thousands: bool
    sign: str
    moment: str
    ids: str
    file: str
    split: str
    header: tuple[str, str, str, str]
    titles: int


writings = st.builds(
    Writing,
    seed=st.integers(0, 10**6),
    encoding=st.sampled_from(ENCODINGS),
    delimiter=st.sampled_from(",;\t|"),
    decimal=st.sampled_from(".,"),
    thousands=st.booleans(),
    sign=st.sampled_from(("", "€ ", "$", " EUR")),
    moment=st.sampled_from((*MOMENTS, *EPOCHS)),
    ids=st.sampled_from(IDS),
    file=st.sampled_from(("csv", "csv.gz", "jsonl", "parquet")),
    split=st.sampled_from(("orders", "lines", "orders and lines", "orders and people")),
    header=st.sampled_from(HEADERS),
    titles=st.integers(0, 2),
)


@fuzzed(writings, examples=36)
def test_totals_are_exact_however_orders_are_written(writing: Writing) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        files, expected = written(writing, Path(temporary))
        content = init(Path(temporary), *files)
    sources = content["sources"]
    assert sum(source["orders"] for source in sources) == expected["orders"]
    assert max(source["customers"] for source in sources) == expected["customers"]
    assert round(sum(source["revenue"] for source in sources), 2) == expected["revenue"]
    assert min(source["first_day"] for source in sources) == expected["first"]
    assert max(source["last_day"] for source in sources) == expected["last"]


def written(writing: Writing, folder: Path) -> tuple[list[str], dict[str, Any]]:
    """Files of a made-up shop, and its totals."""
    random = np.random.default_rng(writing.seed)
    days = np.sort(random.choice(500, ORDERS, replace=False))
    at = pd.Timestamp("2022-03-01 09:30") + pd.to_timedelta(days, unit="D")
    cents = np.where(random.random(ORDERS) < 0.2, 100_000, 0) + random.integers(101, 90_000, ORDERS)
    customer = random.permutation(np.arange(ORDERS) % 20)
    order_name, customer_name, at_name, total_name = writing.header
    names = [customer_id(writing.ids, int(number)) for number in customer]
    orders = pd.DataFrame(
        {
            order_name: [f"B{70_000 + n}" for n in range(ORDERS)],
            customer_name: names,
            at_name: moments(writing.moment, pd.Series(at)),
        }
    )
    lines = pd.DataFrame(
        {order_name: np.repeat(orders[order_name], 2), "article": ["tea", "cup"] * ORDERS}
    )
    people = pd.DataFrame({customer_name: list(dict.fromkeys(names))}).assign(city="Ulm")
    part = cents // 3
    lines[total_name] = np.stack([part, cents - part], axis=1).ravel()
    tables = {
        "orders": {"orders": orders.assign(**{total_name: cents})},
        "lines": {"lines": orders.merge(lines, on=order_name)},
        "orders and lines": {"orders": orders, "lines": lines},
        "orders and people": {
            "orders": orders.assign(**{total_name: cents}),
            "customers": people,
        },
    }[writing.split]
    files = [save(table, name, writing, folder) for name, table in tables.items()]
    totals = {
        "orders": ORDERS, "customers": 20, "revenue": round(float(cents.sum()) / 100, 2),
        "first": str(at[0].date()), "last": str(at[-1].date()),
    }  # fmt: skip
    return files, totals


def customer_id(kind: str, number: int) -> Any:
    """One customer's id."""
    return {
        "small": 300 + number,
        "large": 4_611_686_018_427_387_905 + number,
        "padded": f"{number + 1:06}",
        "uuid": str(uuid.UUID(int=(number + 1) * 2**64 + number)),
        "text": f"K-{number + 100}",
    }[kind]


def moments(form: str, at: pd.Series) -> pd.Series:
    """Cells of a time column."""
    if form in EPOCHS:
        return at.astype("datetime64[ns]").astype("int64") // EPOCHS[form]
    return at.dt.strftime(MOMENTS[form])


def amount(cents: int, writing: Writing) -> str:
    """An amount in a text file."""
    whole, rest = divmod(int(cents), 100)
    group = {".": ",", ",": "."}[writing.decimal] if writing.thousands else ""
    text = f"{whole:,}".replace(",", group) + f"{writing.decimal}{rest:02}"
    return text + writing.sign if writing.sign.startswith(" ") else writing.sign + text


def save(table: pd.DataFrame, name: str, writing: Writing, folder: Path) -> str:
    """Write one table; amounts are written as text in delimited files only."""
    path, total = folder / f"{name}.{writing.file}", writing.header[3]
    rows = table.copy()
    if writing.file in ("jsonl", "parquet"):
        if total in rows:
            rows[total] = rows[total] / 100
        if writing.file == "parquet":
            rows.to_parquet(path, index=False)
        else:
            rows.to_json(path, orient="records", lines=True, force_ascii=False)
        return str(path)
    if total in rows:
        rows[total] = [amount(cents, writing) for cents in rows[total]]
    comma = "," if len(rows.columns) > 2 else ""  # else a title looks like names of columns
    titles = "".join(f"Export of {name}{comma} page {n}\n" for n in range(writing.titles))
    text = titles + rows.to_csv(index=False, sep=writing.delimiter)
    content = text.encode(writing.encoding)
    path.write_bytes(gzip.compress(content) if writing.file == "csv.gz" else content)
    return str(path)
