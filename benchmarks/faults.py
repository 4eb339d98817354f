"""Kill every flow, again and again, start it anew, and count the rows lost and doubled.

    python benchmarks/faults.py --kills 50 --json result.json [--flows score train]

A warm process forks one child a kill: the child restores an output folder, runs the flow, and is
ended by SIGKILL at a named point between two writes, at one of its file operations, or by a timer
of processor time. A second child looks at what readers would find at that moment, starts the flow
again, and compares all published rows with those of a run that nobody disturbed.

What is left out, so that a kill costs a second: Prefect's engine (the bodies of flows and tasks
run as they are), and the fits, which write nothing and whose results are kept. The tests of
tests/flows kill whole processes of the command line.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.kills.harness import Harness
from benchmarks.kills.scenarios import SCENARIOS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="of each flow")
    parser.add_argument("--flows", nargs="*", choices=sorted(SCENARIOS), default=sorted(SCENARIOS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--customers", type=int, default=80)
    parser.add_argument("--folder", type=Path, default=None, help="kept; default: a temporary one")
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stagecast-kills-") as temporary:
        harness = Harness(given.folder or Path(temporary), customers=given.customers)
        rows = []
        for name in given.flows:
            row = harness.row(name, kills=given.kills, seed=given.seed)
            rows.append(row)
            print(json.dumps(row), flush=True)
            if given.json is not None:
                given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(table(rows))
    if any(row["survived"] < row["faults"] for row in rows):
        sys.exit(1)


def table(rows: list[dict]) -> str:
    """The table of docs/reliability.md."""
    columns = ["flow", "faults", "at points", "at file operations", "at random times",
               "survived", "rows lost", "rows doubled"]  # fmt: skip
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    lines += ["| " + " | ".join(str(row[c]) for c in columns) + " |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
