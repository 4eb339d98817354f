"""Export files whose rows can only be found by an id or a current address are counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from campaigns.erasure import count_unindexed_files
from campaigns.export_index import INDEX_FOLDER, ExportIndex, RowKeys

KEYS = RowKeys(b"k" * 32)


@pytest.mark.parametrize(
    ("rows", "indexed", "count"),
    [("", True, 0), ("", False, 0), ("c1\n", True, 0), ("c1\n", False, 1)],
    ids=["empty", "empty without an index", "indexed", "without an index"],
)
def test_only_files_with_rows_need_an_index(
    tmp_path: Path, rows: str, indexed: bool, count: int
) -> None:
    (tmp_path / "exports" / "csv").mkdir(parents=True)
    (tmp_path / "exports" / "csv" / "back.csv").write_text(f"id\n{rows}")
    if indexed:
        index = ExportIndex(KEYS, {})
        index.add("back.csv", [row.encode() for row in rows.split()], rows.split())
        index.save(tmp_path / INDEX_FOLDER / "csv.parquet")
    assert count_unindexed_files(tmp_path, KEYS) == count
