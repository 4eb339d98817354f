"""The examples for consumers, each run as it stands, against the made-up shop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from features.storage.scores_store import read_current
from flows.services.workspace import Workspace
from models.registry import registry
from models.serving.score import scoring_frame, snapshot_context
from tests.flows.shop import Shop
from tests.local_servers import local_server

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str, *arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run an example elsewhere, so that nothing of stagecast is on its path by chance."""
    return subprocess.run(
        [sys.executable, "-P", EXAMPLES / name, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_sql_on_the_scores(shop: Shop) -> None:
    query = (EXAMPLES / "scores.sql").read_text(encoding="utf-8")
    with duckdb.connect(str(shop.output / "stagecast.duckdb"), read_only=True) as store:
        rows = store.sql(query).df()
    scores = read_current(shop.output).scores.set_index("customer_id")
    assert len(rows) > 0
    chosen = scores.loc[rows["customer_id"]]
    assert set(chosen["value_tier"]) == {"top"}
    assert (chosen["p_churn"] * chosen["clv"]).is_monotonic_decreasing


def test_a_template_from_a_scored_row(shop: Shop, tmp_path: Path) -> None:
    scores = read_current(shop.output).scores
    lapsed = scores[(scores["stage"] == "lapsed") & scores["preferred_brand"].notna()].iloc[0]
    store = shop.output / "stagecast.duckdb"
    done = example("newsletter.py", store, lapsed["customer_id"], folder=tmp_path)
    assert "<p>It has been a while.</p>" in done.stdout
    assert f"New from {lapsed['preferred_brand']}" in done.stdout
    nobody = example("newsletter.py", store, "nobody' OR 1=1", folder=tmp_path)
    assert (nobody.returncode, nobody.stdout) == (1, "")


def test_by_alias_in_python(shop: Shop, tmp_path: Path) -> None:
    space = Workspace(shop.output)
    archive = space.archive()
    frame = scoring_frame(archive, archive.builder.last_snapshot)
    context = snapshot_context(registry.load(space.tracking()), frame)
    frame.to_parquet(tmp_path / "features.parquet")
    (tmp_path / "context.json").write_text(json.dumps(context))
    uri = f"sqlite:///{shop.output / 'mlflow.db'}"
    done = example("load_by_alias.py", uri, "features.parquet", "context.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "out.csv").write_text(done.stdout)
    found = pd.read_csv(tmp_path / "out.csv", float_precision="round_trip")
    wanted = registry.load(space.tracking()).predict(frame, context)
    np.testing.assert_allclose(found["clv"], wanted["clv"], rtol=1e-12)
    np.testing.assert_allclose(found["p_churn"], wanted["p_churn"], rtol=1e-12)


def test_a_new_champion_is_noticed(shop: Shop, tmp_path: Path) -> None:
    tracking = Workspace(shop.output).tracking()
    now = registry.champion(tracking)
    assert now is not None
    done = example("watch_champion.py", tracking.uri, 0.01, 3, folder=tmp_path)
    assert done.stdout.splitlines() == [f"version {now.version}: {now.tags['promoted_because']}"]


@pytest.fixture(scope="module")
def served(shop: Shop) -> Iterator[str]:
    """Address of `mlflow models serve` on the champion."""
    command = ("mlflow", "models", "serve", "-m", "models:/stagecast-scorer@champion")
    uri = f"sqlite:///{shop.output / 'mlflow.db'}"
    env = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with local_server(*command, "--env-manager", "local", health="/ping", env=env) as server:
        yield server.address


@pytest.mark.services
def test_by_rest(shop: Shop, served: str, tmp_path: Path) -> None:
    space = Workspace(shop.output)
    archive = space.archive()
    frame = scoring_frame(archive, archive.builder.last_snapshot).head(3)
    wanted = registry.load(space.tracking()).predict(frame)
    (tmp_path / "rows.json").write_text(frame.to_json(orient="records", date_format="iso"))
    done = example("score_by_rest.py", served, "rows.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    for line, (_, row) in zip(done.stdout.splitlines(), wanted.iterrows(), strict=True):
        customer, stage, _, clv = line.split()
        assert (customer, stage) == (row["customer_id"], row["stage"])
        assert float(clv) == pytest.approx(row["clv"], rel=1e-12)


def asked(
    address: str, body: bytes | str | dict[str, Any], kind: str = "application/json"
) -> tuple[int, str]:
    """Status and text of the scoring server's answer."""
    data = json.dumps(body) if isinstance(body, dict) else body
    request = urllib.request.Request(
        f"{address}/invocations",
        data=data.encode() if isinstance(data, str) else data,
        headers={"Content-Type": kind},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


SECRET = "Anna-Secret-77"  # stands in every wrong request, and must stand in no answer
WRONG: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "a column is missing": (lambda f: f.drop(columns="btyd__x"), "btyd__x"),
    "a key is missing": (lambda f: f.drop(columns="snapshot_at"), "snapshot_at"),
    "text for a number": (lambda f: f.assign(btyd__x=SECRET), "btyd__x"),
    "one text for a number": (
        lambda f: f.assign(btyd__x=[SECRET, *f["btyd__x"].iloc[1:]]), "btyd__x"
    ),
    "a list for a number": (lambda f: f.assign(cadence__days=[[1.0]] * len(f)), "cadence__days"),
    "text for a day": (lambda f: f.assign(snapshot_at=f"{SECRET} May"), "snapshot_at"),
    "a number for a day": (lambda f: f.assign(snapshot_at=20240501), "snapshot_at"),
    "no customer": (lambda f: f.assign(customer_id=None), "customer_id"),
    "a number for a customer": (lambda f: f.assign(customer_id=7.5), "customer_id"),
    "text for a date": (lambda f: f.assign(stage_since=SECRET), "stage_since"),
}  # fmt: skip


def refused(answer: tuple[int, str], *, names: str) -> None:
    """An answer that names the column, and shows no row, no path and no stack trace."""
    status, text = answer
    assert status == 400, text
    assert names in text
    content = json.loads(text)
    assert set(content) == {"error_code", "message", "sqlstate", "error_class"}
    for wrong in (SECRET, "Traceback", "stack", ".py", "/", "\\n", "customer-one"):
        assert wrong not in content["message"], (wrong, text)
    assert len(content["message"]) < 400


def some_rows(shop: Shop) -> pd.DataFrame:
    archive = Workspace(shop.output).archive()
    frame = scoring_frame(archive, archive.builder.last_snapshot).head(3)
    frame["customer_id"] = ["customer-one", SECRET, "c3"]
    return frame


@pytest.mark.services
def test_a_refusal_by_rest_names_the_column_and_shows_no_row(shop: Shop, served: str) -> None:
    rows = some_rows(shop)
    for wrong, name in WRONG.values():
        frame = wrong(rows.copy())
        records = json.loads(frame.to_json(orient="records", date_format="iso"))
        split = json.loads(frame.to_json(orient="split", date_format="iso", index=False))
        refused(asked(served, {"dataframe_records": records}), names=name)
        refused(asked(served, {"dataframe_split": split}), names=name)
        if wrong is not WRONG["a number for a customer"][0]:  # CSV knows no types
            refused(asked(served, frame.to_csv(index=False), "text/csv"), names=name)
    good = json.loads(rows.to_json(orient="records", date_format="iso"))
    refused(asked(served, rows.to_csv(index=False), "text/csv"), names="send JSON or parquet")
    for context in ("no JSON", "[1]", "{}"):
        body = {"dataframe_records": good, "params": {"scoring_context": context}}
        refused(asked(served, body), names="context")


@pytest.mark.services
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (f'{{"dataframe_split": {{"columns": ["{SECRET}"', "application/json"),
        (f'["{SECRET}"]', "application/json"),
        (f'{{"rows": ["{SECRET}"]}}', "application/json"),
        (f'{{"dataframe_records": "{SECRET}"}}', "application/json"),
        (f'{{"dataframe_records": [["{SECRET}"]]}}', "application/json"),
        (f"{SECRET}".encode() + b"\xff\xfe", "application/json"),
        (f"PAR1{SECRET}PAR1".encode(), "application/vnd.apache.parquet"),
        (f'a,b\n"{SECRET}', "text/csv"),
        ("", "text/csv"),
        ("[" * 100_000, "application/json"),
    ],
    ids=[
        "cut",
        "list",
        "foreign key",
        "text",
        "matrix",
        "bytes",
        "parquet",
        "quote",
        "empty",
        "deep",
    ],
)
def test_what_is_no_table_is_refused_and_not_repeated(
    served: str, body: bytes | str, kind: str
) -> None:
    refused(asked(served, body, kind), names="input")


@pytest.mark.services
def test_answers_are_json_without_nan(shop: Shop, served: str) -> None:
    rows = some_rows(shop)
    records = json.loads(rows.to_json(orient="records", date_format="iso"))
    status, text = asked(served, {"dataframe_records": records})
    assert status == 200, text

    def never(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    answers = json.loads(text, parse_constant=never)["predictions"]
    assert "NaT" not in text
    wanted = registry.load(Workspace(shop.output).tracking()).predict(rows)
    for name in wanted:
        assert [row[name] is None for row in answers] == wanted[name].isna().tolist(), name
