"""Rows of one customer go out of a file; every other row keeps its bytes, whatever it holds."""

from __future__ import annotations

import csv
import io
import json
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.sources.keys import key_value
from features.sources.personal_files import (
    Person,
    count_near_twins,
    person_mask,
    remove_rows,
    rows_of,
)
from features.storage.csv_files import csv_content, safe_cell
from features.storage.row_files import csv_cells, row_file
from tests.tries import tries

ODD = st.sampled_from(
    [*"\u2028\u0085\r\x0b\x0c\x1c\n,\"'=-+@\\ \u00a0\x1fü\u200b", "a", "ab", "1", "\\u0061"]
)
cells = st.lists(ODD, max_size=5).map("".join)
rows = st.lists(st.tuples(cells, cells), min_size=1, max_size=6)


def old_csv(table: list[tuple[str, str]]) -> list[bytes]:
    """As earlier versions wrote it, with the standard library: header and rows."""
    lines = []
    for row in [("customer_id", "note"), *table]:
        out = io.StringIO(newline="")
        csv.writer(out, lineterminator="\n").writerow([safe_cell(cell) for cell in row])
        lines.append(out.getvalue().encode())
    return lines


def new_csv(table: list[tuple[str, str]]) -> list[bytes]:
    frames = [pd.DataFrame([row], columns=["customer_id", "note"], dtype="str") for row in table]
    head = b"customer_id,note\n"
    return [head, *(csv_content(frame).content.removeprefix(head) for frame in frames)]


def json_lines(ensure_ascii: bool):
    def written(table: list[tuple[str, str]]) -> list[bytes]:
        lines = [{"customer_id": customer, "note": note} for customer, note in table]
        return [b"", *(f"{json.dumps(x, ensure_ascii=ensure_ascii)}\n".encode() for x in lines)]

    return written


FORMS = {"old.csv": old_csv, "new.csv": new_csv, "a.jsonl": json_lines(False),
         "b.jsonl": json_lines(True)}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=tries(400), deadline=None)
@given(table=rows, data=st.data())
def test_the_others_keep_their_bytes(name: str, table: list[tuple[str, str]], data) -> None:
    wanted = key_value(data.draw(st.sampled_from([customer for customer, _ in table])))
    if wanted is None:
        return
    head, *lines = FORMS[name](table)
    theirs = [key_value(customer) == wanted for customer, _ in table]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(head + b"".join(lines))
        mask = person_mask(path, Person(wanted))
        assert mask.tolist() == theirs
        assert [row["note"] for row in rows_of(path, mask)] == [
            note for (_, note), mine in zip(table, theirs, strict=True) if mine
        ]
        remove_rows(path, mask)
        kept = [line for line, mine in zip(lines, theirs, strict=True) if not mine]
        assert path.read_bytes() == head + b"".join(kept)
        assert not person_mask(path, Person(wanted)).any()


@settings(max_examples=tries(400), deadline=None)
@given(table=rows, data=st.data(), coded=st.booleans())
def test_parquet_keeps_the_rows_of_others(table: list[tuple[str, str]], data, coded: bool) -> None:
    wanted = key_value(data.draw(st.sampled_from([customer for customer, _ in table])))
    if wanted is None:
        return
    ids = pa.array([customer for customer, _ in table], pa.string())
    before = pa.table({"customer_id": ids.dictionary_encode() if coded else ids,
                       "note": [note for _, note in table]})  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        pq.write_table(before, path)
        mask = person_mask(path, Person(wanted))
        assert mask.tolist() == [key_value(customer) == wanted for customer, _ in table]
        remove_rows(path, mask)
        assert pq.read_table(path).to_pylist() == before.filter(pa.array(~mask)).to_pylist()


@pytest.mark.parametrize(
    ("stored", "asked", "same"),
    [
        ("42.0", "42", True),
        (" 42\u00a0", "42", True),
        ("42", "042", False),
        ("420", "42", False),
        ("{550E8400-E29B-41D4-A716-446655440000}", "550e8400-e29b-41d4-a716-446655440000", True),
        (
            "urn:uuid:550E8400-E29B-41D4-A716-446655440000",
            "550e8400-e29b-41d4-a716-446655440000",
            True,
        ),
        # Digits alone may be something else than a UUID: a near twin, which erasure reports.
        ("550E8400E29B41D4A716446655440000", "550e8400-e29b-41d4-a716-446655440000", False),
        ("'7", "7", False),
        ("Anna", "anna", False),
        ("+4930123456", "+4930123456", True),
        ("+4930123456", "4930123456", False),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_an_id_is_known_in_every_spelling_and_no_other_is_taken_for_it(
    tmp_path: Path, stored: str, asked: str, same: bool, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    frame = pd.DataFrame({"customer_id": [stored, "other"], "n": ["1", asked]})
    if suffix == ".csv":
        path.write_bytes(csv_content(frame).content)
    elif suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in frame.to_dict("records")))
    else:
        frame.to_parquet(path)
    assert person_mask(path, Person(str(key_value(asked)))).tolist() == [same, False]


def test_where_an_id_stands_no_address_decides(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [{"customer_id": "1", "mail": "x@y.org"}, {"customer_id": "2", "mail": "x@y.org"},
             {"mail": "x@y.org"}, {"customer_id": None, "mail": "x@y.org"}]  # fmt: skip
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    person = Person("1", frozenset({"x@y.org"}))
    assert person_mask(path, person).tolist() == [True, False, True, True]


def test_a_line_cut_off_in_writing_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"customer_id": "7"}\n{"customer_id": "8"}\n{"customer_id": "7')
    mask = person_mask(path, Person("7"))
    assert mask.tolist() == [True, False, True]
    remove_rows(path, mask)
    assert path.read_bytes() == b'{"customer_id": "8"}\n'


def test_bytes_of_no_encoding_survive(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"customer_id,n\n7,\xff\n8,\xfe\xff\r\n")
    remove_rows(path, person_mask(path, Person("7")))
    assert path.read_bytes() == b"customer_id,n\n8,\xfe\xff\r\n"


def test_cells_of_a_megabyte_and_a_hundred_thousand_rows_cost_little(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    ids = [f"c{n}" for n in range(100_000)]
    notes = ["x\n" * 500_000 if n == 7 else "y" for n in range(100_000)]
    path.write_bytes(csv_content(pd.DataFrame({"customer_id": ids, "note": notes})).content)
    tracemalloc.start()
    mask = person_mask(path, Person("c7"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.flatnonzero(mask).tolist() == [7]
    assert peak < 100e6  # of 1.5 MB in 600,000 lines


@given(rows)
def test_csv_is_split_as_the_standard_library_does(table: list[tuple[str, str]]) -> None:
    content = b"".join(new_csv(table))
    expected = list(csv.reader(io.StringIO(content.decode(), newline="")))[1:]
    rows = row_file(content, ".csv")
    assert [csv_cells(piece.removesuffix(b"\n")) for piece in rows.pieces] == expected


def test_near_twins_are_counted(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"customer_id": ["Anna 7", "anna7", "'anna7", "b"]}), tmp_path / "a.parquet"
    )
    assert count_near_twins(tmp_path, "anna7") == 2
