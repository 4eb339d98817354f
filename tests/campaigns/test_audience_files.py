from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa

from campaigns.audience_files import (
    AUDIENCE_SCHEMA,
    FILE_COLUMNS,
    MANIFEST_FILE,
    ExportRun,
    audience_table,
    write_audiences,
)
from features.storage.runs import RunRecord, run_folder, write_parquet
from features.storage.scores_store import previous_audience, publish_run, read_current
from tests.campaigns.campaign_examples import plan, playbook, scores

RUN = ExportRun(run_id="r1", scorer_version="7")


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_file_holds_both_arms_in_order_of_rank(tmp_path: Path) -> None:
    made = plan(scores(), playbook())
    file, manifest = write_audiences(made, tmp_path, run=RUN)
    rows = read(file)
    assert tuple(rows[0]) == FILE_COLUMNS
    assert [row["rank"] for row in rows] == [str(i + 1) for i in range(len(rows))]
    assert {row["arm"] for row in rows} == {"treatment", "control"}
    assert {row["entered_at"] for row in rows} == {"2018-01-01"}
    assert {row["expires_at"] for row in rows} == {"2018-03-02"}
    assert file.read_bytes().startswith(b"campaign_id,customer_id,")
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []
    assert manifest.name == MANIFEST_FILE


def test_the_manifest_says_plan_only_and_counts_what_the_file_holds(tmp_path: Path) -> None:
    file, manifest = write_audiences(plan(scores(), playbook()), tmp_path, run=RUN)
    said = json.loads(manifest.read_text(encoding="utf-8"))
    assert said["consent_basis"] == "not_recorded"
    assert said["plan_only"] is True
    assert said["contact_keys"] == []
    assert "Plan only" in said["note"]
    assert said["value_label"] == "response, not uplift"
    (campaign,) = said["campaigns"]
    rows = read(file)
    assert campaign["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert campaign["rows"] == len(rows)
    for arm, n in campaign["arms"].items():
        assert n == sum(row["arm"] == arm for row in rows)
    assert campaign["smallest_detectable_effect"] > 0
    assert sum(e["customers"] for e in said["exclusions"]) + len(rows) == 200


def test_the_same_plan_gives_the_same_bytes(tmp_path: Path) -> None:
    one = write_audiences(plan(scores(), playbook()), tmp_path / "1", run=RUN)
    two = write_audiences(plan(scores(), playbook()), tmp_path / "2", run=RUN)
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


def test_consent_managed_elsewhere_is_repeated(tmp_path: Path) -> None:
    made = plan(scores(), playbook(), consent="managed_elsewhere")
    *_, manifest = write_audiences(made, tmp_path, run=RUN)
    said = json.loads(manifest.read_text(encoding="utf-8"))
    assert (said["consent_basis"], said["plan_only"]) == ("managed_elsewhere", False)


def test_hostile_ids_survive_the_round_trip_as_text(tmp_path: Path) -> None:
    ids = ["=cmd()", 'a"b,c', "line\nbreak", "ünï", "-7"]
    frame = pd.DataFrame({"customer_id": ids, "stage": "lapsed", "p_reactivate": 0.5, "clv": 1.0})
    file, manifest = write_audiences(plan(frame, playbook()), tmp_path, run=RUN)
    got = sorted(row["customer_id"] for row in read(file))
    assert got == sorted(["'=cmd()", *ids[1:]])
    assert json.loads(manifest.read_text())["campaigns"][0]["escaped_cells"] == 1


def test_the_store_gives_back_what_the_next_plan_needs(tmp_path: Path) -> None:
    frame = scores()
    made = plan(frame, playbook())
    moment = pd.Timestamp("2018-01-02").to_pydatetime()
    run = RunRecord(
        run_id="r1",
        dataset="shop",
        snapshot_at=made.snapshot_at.date(),
        scorer_version="7",
        started_at=moment,
        finished_at=moment,
    )
    folder = run_folder(tmp_path, "r1")
    table = audience_table(made)
    assert table.schema.names == AUDIENCE_SCHEMA.names
    publish_run(
        tmp_path,
        run,
        scores=[write_parquet(folder / "s.parquet", pa.Table.from_pandas(frame))],
        audience=write_parquet(folder / "a.parquet", table),
    )
    later = pd.Timestamp("2018-02-01").date()
    stored = plan(frame, playbook(), at=later, previous=previous_audience(tmp_path, before=later))
    direct = plan(frame, playbook(), at=later, previous=made.audience)
    pd.testing.assert_frame_equal(stored.audience, direct.audience)
    assert set(stored.audience["change"]) == {"kept"}
    assert len(read_current(tmp_path).audience) == len(made.audience)
    assert previous_audience(tmp_path, before=made.snapshot_at.date()) is None
