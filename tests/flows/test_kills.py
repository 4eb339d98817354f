"""Three seeded kills of every flow, by the harness that makes the table of docs/reliability.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOWS = {
    *("features", "train", "promote", "score", "target", "run", "backtest", "monitor", "backfill")
}


@pytest.mark.services
def test_no_flow_loses_or_doubles_a_row_when_it_is_killed(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    command = [sys.executable, "benchmarks/faults.py", "--kills", "3", "--json", str(result)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=1500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["flow"]: row for row in json.loads(result.read_text())}
    assert set(rows) >= FLOWS
    for row in rows.values():
        assert row["faults"] == row["survived"] >= 3, row
        assert row["rows lost"] == row["rows doubled"] == 0, row
    assert {"promotion noted", "alias moved"} <= set(rows["promote"]["points"])
    assert {"findings written", "alarms kept", "alarms told"} <= set(rows["monitor"]["points"])
