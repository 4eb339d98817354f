"""Archives, encodings, title lines and spreadsheets: the same orders, however they are packed."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.oracles.orders import COLUMNS, read, refusal, rows, shop

TEXT = "customer,at,amount\nMüller,2021-01-05 12:00:00,10.50\nb,2021-01-06 12:00:00,3\n"


def _written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(content))
    elif name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("orders.csv", content)
    elif name.endswith(".zst"):
        path.write_bytes(pa.Codec("zstd").compress(content, asbytes=True))
    else:
        path.write_bytes(content)
    return path


@pytest.mark.parametrize("ending", ["", ".gz", ".zip", ".zst"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252", "gb18030", "utf-16-le"])
def test_packed_and_encoded_files_read_alike(tmp_path: Path, ending: str, encoding: str) -> None:
    path = _written(tmp_path, f"orders.csv{ending}", TEXT.encode(encoding))
    orders = rows(shop(path, source_csv={"encoding": encoding}), tmp_path)
    assert sorted(orders["customer_id"].astype(str)) == ["Müller", "b"]
    assert orders["value"].sum() == 1350


def test_lines_above_the_header_are_skipped(tmp_path: Path) -> None:
    path = _written(tmp_path, "orders.csv", b'"Orders, 2021",,\n\n' + TEXT.encode())
    assert rows(shop(path, source_csv={"skip_lines": 2}), tmp_path)["value"].sum() == 1350


def test_decimal_signs_differ_by_column(tmp_path: Path) -> None:
    text = "customer;at;amount;price\na;2021-01-05 12:00:00;1.234,50;2.5\n"
    path = _written(tmp_path, "orders.csv", text.encode())
    form: dict[str, Any] = {"delimiter": ";", "decimal": ",", "decimals": {"price": "."}}
    columns = COLUMNS | {"value_times": "price"}
    orders = rows(shop(path, source_csv=form, source_columns=columns), tmp_path)
    assert orders["value"].sum() == 308625


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    for name in ("orders.csv.zip", "orders.csv.zst"):
        path = _written(tmp_path, name, TEXT.encode() * 50)
        path.write_bytes(path.read_bytes()[:-20])
        assert "damaged, cut off" in refusal(shop(path), tmp_path)


def _archive(folder: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(folder / "export.zip", "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return folder / "export.zip"


def test_parts_of_a_table_in_one_archive_are_read_together(tmp_path: Path) -> None:
    turned = "amount,customer,at\n4.25,c,2021-02-05 12:00:00\n"
    members = {"2021/01.csv": TEXT, "2021/02.csv": turned, "__MACOSX/._01.csv": "x", "read.me": "x"}
    assert rows(shop(_archive(tmp_path, members)), tmp_path)["value"].sum() == 1775


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({}, "0 files in the archive: none"),
        ({"a.csv": TEXT, "b.json": "[]"}, "2 files in the archive: a.csv, b.json"),
        ({"a.csv": TEXT, "b.csv": "id,name\n1,x\n"}, "expected: the columns of a.csv"),
    ],
    ids=["empty", "two kinds", "two tables"],
)
def test_an_archive_of_several_tables_is_refused(
    tmp_path: Path, members: dict[str, str], words: str
) -> None:
    assert words in refusal(shop(_archive(tmp_path, members)), tmp_path)


def test_text_of_another_encoding_is_refused(tmp_path: Path) -> None:
    path = _written(tmp_path, "orders.csv", TEXT.encode("latin-1"))
    message = refusal(shop(path, source_csv={"encoding": "shift_jis"}), tmp_path)
    assert "shift_jis" in message
    assert "Müller" not in message


def test_amounts_in_json_are_typed_by_all_rows(tmp_path: Path) -> None:
    whole = '{"customer": "a", "at": "2021-01-05 12:00:00", "amount": 1}\n' * 20_480
    late = (
        '{"customer": "b", "at": "2021-01-06 12:00:00", "amount": 9.5}\n'
        '{"customer": "b", "at": "2021-01-06 12:00:00", "amount": "0.49"}\n'
    )
    path = _written(tmp_path, "orders.jsonl", (whole + late).encode())
    tallies, _ = read(shop(path), tmp_path)
    daily = tallies.daily.to_pandas()
    assert daily[daily["customer_id"] == "b"]["value"].sum() == 999


_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_LINKS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def workbook(path: Path, sheets: dict[str, list[list[str | float]]]) -> Path:
    """Write the smallest xlsx file with some sheets."""
    names = "".join(
        f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in enumerate(sheets, 1)
    )
    links = "".join(
        f'<Relationship Id="r{n}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n, _ in enumerate(sheets, 1)
    )
    root = f'<Relationship Id="r1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
    parts = {
        "_rels/.rels": f'<Relationships xmlns="{_LINKS}">{root}</Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{names}</sheets>'
        "</workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_LINKS}">{links}</Relationships>',
    }
    for n, sheet in enumerate(sheets.values(), 1):
        cells = "".join(f"<row>{''.join(map(_cell, row))}</row>" for row in sheet)
        parts[f"xl/worksheets/sheet{n}.xml"] = (
            f'<worksheet xmlns="{_MAIN}"><sheetData>{cells}</sheetData></worksheet>'
        )
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def _cell(cell: str | float) -> str:
    if isinstance(cell, str):
        return f'<c t="inlineStr"><is><t>{cell}</t></is></c>'
    return f"<c><v>{cell!r}</v></c>"


def test_a_sheet_reads_like_a_text_file(tmp_path: Path) -> None:
    sheet: list[list[str | float]] = [["customer", "at", "amount"]]
    sheet += [["Müller", "2021-01-05 12:00:00", 10.5], [101.0, "2021-01-06 12:00:00", 3.0]]
    path = workbook(tmp_path / "orders.xlsx", {"Orders": sheet, "Empty": []})
    orders = rows(shop(path), tmp_path)
    assert sorted(orders["customer_id"].astype(str)) == ["101", "Müller"]
    assert orders["value"].sum() == 1350
    two = workbook(tmp_path / "two.xlsx", {"Orders": sheet, "Notes": [["made by us"]]})
    assert "2 sheets with rows (sheets: Orders, Notes)" in refusal(shop(two), tmp_path)
    assert rows(shop(two, source_csv={"sheet": "Orders"}), tmp_path)["value"].sum() == 1350
    years = workbook(tmp_path / "years.xlsx", {"2021": sheet, "2022": sheet[:2], "Empty": []})
    assert rows(shop(years, source_csv={"sheet": "20*"}), tmp_path)["value"].sum() == 2400
    assert "no sheet 'S*'" in refusal(shop(years, source_csv={"sheet": "S*"}), tmp_path)
    assert "no sheet 'Sales'" in refusal(shop(two, source_csv={"sheet": "Sales"}), tmp_path)
