"""What a reader finds in an output folder, as JSON that can be compared."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from features.storage import runs, scores_store
from features.table.feature_store import read_tallies, stored_manifest
from flows.services.workspace import Workspace
from models.registry import registry

# Differs between two runs that give the same scores.
VOLATILE = ["run_id", "scored_at", "scorer_version"]
Rows = dict[str, list[str]]


def view(output: Path) -> dict[str, Any]:
    """Keys and content of every table, and what lies about that nobody should find."""
    return {
        **_published(output),
        "tallies": _tallies(output),
        "models": _models(output),
        "figures": _file(output / "backtest.json"),
        "findings": _findings(output),
        "told": _told(output),
        "left over": _left_over(output),
    }


def lost(expected: Any, found: Any) -> int:
    """Rows that should be there and are not."""
    if not isinstance(expected, dict):
        return int(found is None and expected is not None)
    return len(set(expected["keys"]) - set((found or {"keys": []})["keys"]))


def doubled(found: Any) -> int:
    """Rows that are there more than once."""
    if not isinstance(found, dict):
        return 0
    return sum(count - 1 for count in Counter(found["keys"]).values())


def _published(output: Path) -> dict[str, Any]:
    if not (output / scores_store.STORE_FILE).exists():
        return {"scores": None, "history": None, "audiences": None}
    current = scores_store.read_current(output)
    with duckdb.connect(str(output / scores_store.STORE_FILE), read_only=True) as con:
        history = con.table("customer_scores_history").df()
    return {
        "scores": _table(current.scores, ["customer_id"]),
        "history": _table(history, ["customer_id", "snapshot_at"]),
        "audiences": _table(current.audience, ["campaign_id", "customer_id"]),
    }


def _tallies(output: Path) -> Any:
    if stored_manifest(output) is None:
        return None
    daily = read_tallies(output).daily.to_pandas()
    keys = ["customer_id", "day", "event_type", "known_day"]
    return _table(daily.astype({"customer_id": str, "event_type": str}), keys)


def _models(output: Path) -> Any:
    """The champion, and whether the last training is whole and registered."""
    if not (output / "mlflow.db").is_file():
        return None
    tracking = Workspace(output).tracking()
    rows = registry.versions(tracking, registry.SCORER)
    champion = [row.version for row in rows if registry.CHAMPION in row.aliases]
    place = Workspace(output).training
    told = json.loads((place / "training.json").read_text(encoding="utf-8"))
    newest = told["scorer"]["version"]
    # What the promotion fetches to compare is nobody's result.
    files = [p.relative_to(place) for p in place.rglob("*") if p.is_file()]
    parts = sorted(str(file) for file in files if file.parts[0] != "compared")
    return {
        "keys": parts,
        "champion is the newest": champion == [newest],
        "registered": newest in {row.version for row in rows},
        "figures": len(told["figures"]),
    }


def _table(frame: pd.DataFrame, keys: list[str]) -> dict[str, Any]:
    """Keys of all rows in order, and a hash of their content."""
    rows = frame.drop(columns=[c for c in VOLATILE if c in frame]).sort_values(keys)
    text = rows.to_csv(index=False).encode()
    named = rows[keys].astype(str).agg("|".join, axis=1) if len(rows) else []
    return {"keys": list(named), "content": hashlib.sha256(text).hexdigest()}


def _file(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _findings(output: Path) -> Any:
    """What the monitor found the last time, and which alarms it keeps, told or not yet."""
    found = sorted((output / "monitoring").glob("*/findings.json"))
    kept = output / "monitoring" / "alarms.json"
    if not found or not kept.is_file():
        return None
    findings = json.loads(found[-1].read_text(encoding="utf-8"))["findings"]
    return {
        "keys": [f"{each['check']}|{each['subject']}|{each['measure']}" for each in findings],
        "content": hashlib.sha256(json.dumps(findings, sort_keys=True).encode()).hexdigest(),
        "alarms": [{**alarm, "told_at": None} for alarm in _alarms(output)],
    }


def _told(output: Path) -> dict[str, Any]:
    """Alarms of which a person has been told."""
    return {"keys": sorted(alarm["key"] for alarm in _alarms(output) if alarm["told_at"])}


def _alarms(output: Path) -> list[dict[str, Any]]:
    kept = output / "monitoring" / "alarms.json"
    found: list[dict[str, Any]] = json.loads(kept.read_text()) if kept.is_file() else []
    return found


def _left_over(output: Path) -> list[str]:
    """Unfinished files, and folders of runs that nobody published."""
    found = [
        str(path.relative_to(output))
        for sign in ("*.tmp", "*.new", "*.old", "*.before")
        for path in output.glob(sign)
    ]
    found += [str(p.relative_to(output)) for p in (output / "monitoring").rglob("*.tmp")]
    published = {run.run_id for run in runs.runs_with_markers(output)}
    folders = output / runs.RUNS_FOLDER
    there = {p.name for p in folders.iterdir()} if folders.is_dir() else set()
    return sorted(found + [f"runs/{name}" for name in there - published])
