"""Tables at the end of a command: where things lie, what came out, what to try next."""

from __future__ import annotations

import datetime as dt
import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from features.storage import scores_store
from features.storage.runs import PublishedRun, run_folder
from flows.services.console import (
    bold,
    command_text,
    console,
    deliver_result,
    print_table,
)
from flows.services.workspace import Workspace
from models.evaluation.evaluate import CHAMPION_METHOD
from models.metrics.shown_metrics import SHOWN_METRICS
from models.registry import registry
from models.registry.tracking import tracking_uri

# Commands that open a file with the program that the desktop uses for it.
_OPENERS = {"darwin": "open", "win32": "start"}


def print_scores(output: Path, json_file: Path | None = None) -> None:
    """Paths of the current run, and the next command."""
    run = scores_store.read_current(output).run
    places = _places(output, run)
    deliver_result(_run_content(run, places), json_file, lambda: _print_places(output, run, places))


def _places(output: Path, run: PublishedRun) -> dict[str, str]:
    folder = run_folder(output, run.run_id)
    report = folder / "report.html"
    places = {
        **({"report": report} if report.is_file() else {}),  # none of more than memory holds
        "scores and audiences": scores_store.store_of(output).name,
        "summary": folder / "summary.md",
        "scores (parquet)": folder / "scores",
        "audiences (csv)": folder / "audiences",
        "plots": folder / "report",
    }
    return {what: str(where) for what, where in places.items()}


def _run_content(run: PublishedRun, places: dict[str, str]) -> dict[str, Any]:
    about = ("run_id", "snapshot_at", "customers", "scorer_version")
    return {name: getattr(run, name) for name in about} | {"where": places}


def _print_places(output: Path, run: PublishedRun, places: dict[str, str]) -> None:
    print_table(
        f"Run {run.run_id}: {run.customers:,} customers at {run.snapshot_at}",
        ["what", "where"],
        list(places.items()),
    )
    place = scores_store.store_of(output)
    query: list[Any] = [bold("customer_scores"), f"in {place.name}"]
    if isinstance(place, scores_store.DuckDBStore) and shutil.which("duckdb"):
        query = [bold(f"duckdb {place.name} 'from customer_scores limit 5'")]
    opener = _OPENERS.get(sys.platform, "xdg-open")
    if "report" in places:
        console.print("next:", bold(f"{opener} {shlex.quote(places['report'])}"), soft_wrap=True)
    models = command_text(f"stagecast models --output {shlex.quote(str(output))}")
    console.print("then:", bold(models), "or query the scores:", *query, soft_wrap=True)


def print_run(output: Path, result: dict[str, Any], json_file: Path | None = None) -> None:
    """Figures of the new models beside their baselines, then where everything lies."""
    training = json.loads((output / "training" / "training.json").read_text(encoding="utf-8"))
    figures, promotion = training["figures"], result["promotion"]
    run = scores_store.read_current(output).run
    places = _places(output, run)

    def show() -> None:
        _print_figures(figures)
        _print_promotion(output, promotion)
        _print_places(output, run, places)

    content = {**_run_content(run, places), "promotion": promotion, "figures": figures}
    deliver_result(content, json_file, show)


def _print_promotion(output: Path, promotion: dict[str, Any]) -> None:
    verdict = "champion" if promotion["accepted"] else "not promoted"
    console.print(
        f"stagecast-scorer version {promotion['version']}: {verdict} ({promotion['reason']})"
    )
    place = tracking_uri(output)
    if place.startswith("sqlite:"):
        page = command_text(f"mlflow ui --backend-store-uri {shlex.quote(place)}")
        console.print("models:", bold(page), soft_wrap=True)


def _print_figures(figures: list[dict[str, Any]]) -> None:
    """One table a model: the served recipe beside its baselines at the latest test snapshot."""
    for model, shown in SHOWN_METRICS.items():
        metrics = shown.headline
        mine = [f for f in figures if f["model"] == model and f["subset"] == "all"]
        if not mine:
            continue
        last = max(f["snapshot_at"] for f in mine)
        found = {(f["method"], f["metric"]): f["value"] for f in mine if f["snapshot_at"] == last}
        methods = list(dict.fromkeys(method for method, _ in found))
        rows = [
            [_shown_method(method), *(found.get((method, m)) for m in metrics)]
            for method in methods
        ]
        n = max(f["n"] for f in mine if f["snapshot_at"] == last)
        print_table(f"{model}: tested at {last} on {n:,} customers", ["method", *metrics], rows)


def _shown_method(method: str) -> str:
    """The served recipe by that name: whether it becomes champion is decided afterwards."""
    return "served" if method == CHAMPION_METHOD else method


def print_backtest(result: dict[str, Any], json_file: Path | None = None) -> None:
    """Means over origins, and where the records are."""
    records = json.loads(Path(result["path"]).read_text(encoding="utf-8"))
    deliver_result(records, json_file, lambda: _print_means(records, result["path"]))


def _print_means(records: list[dict[str, Any]], path: str) -> None:
    for model, shown in SHOWN_METRICS.items():
        metrics = shown.headline
        mine = [r for r in records if r["model"] == model and r["subset"] == "all"]
        methods = list(dict.fromkeys(r["method"] for r in mine))
        origins = {r["snapshot_at"] for r in mine}
        rows = [
            [_shown_method(method), *(_mean(mine, method, metric) for metric in metrics)]
            for method in methods
        ]
        if rows:
            print_table(f"{model}: mean of {len(origins)} origin(s)", ["method", *metrics], rows)
    console.print(f"{len(records):,} figures: {path}", soft_wrap=True)


def _mean(records: list[dict[str, Any]], method: str, metric: str) -> float | None:
    """Mean over origins; of biases the mean size, since opposite signs must not cancel."""
    values = [
        abs(r["value"]) if metric == "bias_pct" else r["value"]
        for r in records
        if r["method"] == method and r["metric"] == metric and r["value"] is not None
    ]
    return sum(values) / len(values) if values else None


def print_decision(result: dict[str, Any], json_file: Path | None = None) -> None:
    """Figures of the challenger beside the champion's, and what they decide."""
    deliver_result(result, json_file, lambda: _print_comparisons(result))


def _print_comparisons(result: dict[str, Any]) -> None:
    rows = [
        (
            one["task"],
            one["metric"],
            one["challenger"],
            one["champion"],
            "-" if one["low"] is None else f"{one['low']:+.4f} to {one['high']:+.4f}",
        )
        for one in result["comparisons"]
    ]
    if rows:
        columns = ["task", "metric", "challenger", "champion", "95 % of the difference"]
        print_table(f"version {result['version']} on the gate (smaller is better)", columns, rows)
    baselines = [
        (one["task"], one["metric"], one["challenger"], one["champion"], one["against"])
        for one in result.get("baselines", [])
    ]
    if baselines:
        columns = ["task", "metric", "challenger", "best baseline", "its name"]
        print_table("against the best baseline (smaller is better)", columns, baselines)
    for sentence in result.get("warnings", []):
        console.print(f"warning: {sentence}", soft_wrap=True)
    verdict = "accepted" if result["accepted"] else "refused"
    console.print(f"version {result['version']}: {verdict}: {result['reason']}", soft_wrap=True)


def print_rollback(output: Path, json_file: Path | None = None) -> None:
    """Roll back and say what is champion now."""
    now = dt.datetime.now(dt.UTC)
    version = registry.roll_back(Workspace(output).tracking(), at=now)
    sentence = f"champion is stagecast-scorer version {version.version} again"
    content = {"name": version.name, "version": version.version}
    deliver_result(content, json_file, lambda: console.print(sentence))
