"""`stagecast init` reads the same totals however a shop's orders are written."""

from __future__ import annotations

import gzip
import io
import tempfile
import uuid
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st

from tests.flows.setup.test_init_meaning import init
from tests.fuzz.judge import fuzzed

ORDERS = 90
UNICODE = ("utf-8", "utf-8-sig", "utf-16")
MOMENTS = {
    "date": "%Y-%m-%d", "clock": "%Y-%m-%d %H:%M:%S", "offset": "%Y-%m-%dT%H:%M:%SZ",
    "compact": "%Y%m%d", "day first": "%d.%m.%Y", "day first, clock": "%d/%m/%Y %H:%M",
    "month first": "%m/%d/%Y", "short year": "%d/%m/%y", "month's name": "%d-%b-%Y",
    "month's name first": "%B %d, %Y", "half days": "%m/%d/%Y %I:%M %p", "six digits": "%y%m%d",
    "slashes": "%Y/%m/%d", "offset of two hours": "%Y-%m-%d %H:%M:%S+02:00",
}  # fmt: skip
EPOCHS = {"seconds": 10**9, "milliseconds": 10**6, "microseconds": 1000}  # nanoseconds each
SERIAL = "days since 1900"  # as spreadsheets keep them
IDS = ("small", "large", "padded", "uuid", "text")
# Names of order, customer, time and amount, and the encodings that such a file comes in.
HEADERS = {
    ("order_id", "customer_id", "order_date", "total"): ("cp1252", "ascii"),
    ("Bestellnr.", "Kundennummer", "Bestelldatum", "Gesamtbetrag"): ("cp1252", "cp850"),
    ("N° commande", "Client", "Date de commande", "Montant total"): ("cp1252", "mac_roman"),
    ("Pedido", "Cliente", "Fecha", "Importe"): ("cp1252", "latin-1"),
    ("Numero ordine", "Cliente", "Data ordine", "Importo"): ("cp1252",),
    ("Bestelnummer", "Klantnummer", "Besteldatum", "Bedrag"): ("cp1252",),
    ("Número do pedido", "Cliente", "Data do pedido", "Valor total"): ("cp1252",),
    ("Nr zamówienia", "Klient", "Data zamówienia", "Kwota"): ("cp1250", "iso8859-2"),
    ("Номер заказа", "Клиент", "Дата заказа", "Сумма"): ("cp1251", "koi8-r"),
    ("注文番号", "顧客ID", "注文日", "合計金額"): ("shift_jis", "euc_jp"),
    ("订单号", "客户编号", "下单日期", "金额"): ("gb18030",),
    ("Ordernummer", "Kundnummer", "Orderdatum", "Belopp"): ("cp1252",),
}
FILES = ("csv", "csv.gz", "csv.zst", "zip", "jsonl", "parquet", "xlsx")
SPLITS = ("orders", "lines", "orders and lines", "orders and people", "two halves")
GROUPS = ("", ",", ".", " ", "'", "\u00a0")


@dataclass(frozen=True)
class Writing:
    """How a shop's orders are written."""

    seed: int
    encoding: int
    delimiter: str
    decimal: str
    group: str
    sign: str
    moment: str
    ids: str
    file: str
    split: str
    header: tuple[str, str, str, str]
    titles: int
    second: tuple[str, str, int]


writings = st.builds(
    Writing,
    seed=st.integers(0, 10**6),
    encoding=st.integers(0, 4),
    delimiter=st.sampled_from(",;\t|"),
    decimal=st.sampled_from(".,"),
    group=st.sampled_from(GROUPS),
    sign=st.sampled_from(("", "€ ", "$", " EUR", "£", "CHF ")),
    moment=st.sampled_from((*MOMENTS, *EPOCHS, SERIAL)),
    ids=st.sampled_from(IDS),
    file=st.sampled_from(FILES),
    split=st.sampled_from(SPLITS),
    header=st.sampled_from(list(HEADERS)),
    titles=st.integers(0, 2),
    # Delimiter, file and titles of the second table.
    second=st.tuples(st.sampled_from(",;\t|"), st.sampled_from(FILES), st.integers(0, 2)),
)


@fuzzed(writings, examples=180, long=5000)
def test_totals_are_exact_however_orders_are_written(writing: Writing) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        files, expected = written(writing, Path(temporary))
        content = init(Path(temporary), *files)
    sources = content["sources"]
    assert sum(source["orders"] for source in sources) == expected["orders"]
    assert content["facts"]["customers"] == str(expected["customers"])
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
        "two halves": {
            f"orders_{half}": orders.assign(**{total_name: cents})[half::2] for half in range(2)
        },
    }[writing.split]
    delimiter, file, titles = writing.second
    second = replace(writing, delimiter=delimiter, file=file, titles=titles)
    forms = (writing, second)
    files = [
        save(table, name, form, folder)
        for (name, table), form in zip(tables.items(), forms, strict=False)
    ]
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
    if form == SERIAL:
        return (at - pd.Timestamp("1899-12-30")) / pd.Timedelta(days=1)
    return at.dt.strftime(MOMENTS[form])


def amount(cents: int, writing: Writing) -> str:
    """An amount in a text file."""
    whole, rest = divmod(int(cents), 100)
    group = "" if writing.group == writing.decimal else writing.group
    text = f"{whole:,}".replace(",", group) + f"{writing.decimal}{rest:02}"
    return text + writing.sign if writing.sign.startswith(" ") else writing.sign + text


def save(table: pd.DataFrame, name: str, writing: Writing, folder: Path) -> str:
    """Write one table; amounts are written as text in delimited files only."""
    path, total = folder / f"{name}.{writing.file}", writing.header[3]
    rows = table.copy()
    if writing.file in ("jsonl", "parquet", "xlsx"):
        if total in rows:
            rows[total] = rows[total] / 100
        if writing.file == "parquet":
            rows.to_parquet(path, index=False)
        elif writing.file == "xlsx":
            if writing.ids == "large" and writing.header[1] in rows:  # 15 digits are kept
                rows[writing.header[1]] = rows[writing.header[1]].astype(str)
            rows.to_excel(path, index=False, engine="xlsxwriter", startrow=writing.titles)
        else:
            rows.to_json(path, orient="records", lines=True, force_ascii=False)
        return str(path)
    if total in rows:
        rows[total] = [amount(cents, writing) for cents in rows[total]]
    comma = "," if len(rows.columns) > 2 else ""  # else a title looks like names of columns
    titles = "".join(f"Export of {name}{comma} page {n}\n" for n in range(writing.titles))
    text = titles + rows.to_csv(index=False, sep=writing.delimiter)
    path.write_bytes(packed(encoded(text, writing), name, writing.file))
    return str(path)


def encoded(text: str, writing: Writing) -> bytes:
    """Bytes in one of the encodings of the names; Unicode where it lacks a sign of the amounts."""
    encodings = (*UNICODE, *HEADERS[writing.header])
    encoding = encodings[writing.encoding % len(encodings)]
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode("utf-8")


def packed(content: bytes, name: str, file: str) -> bytes:
    """Bytes of the file that holds a text."""
    if file == "csv.gz":
        return gzip.compress(content)
    if file == "csv.zst":
        return pa.Codec("zstd").compress(content, asbytes=True)
    if file == "zip":
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as parts:
            parts.writestr(f"{name}.csv", content)
        return archive.getvalue()
    return content
