"""The run that is served: loaded as a whole, kept where a newer one cannot be loaded."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from features.config.store_location import VARIABLE
from features.errors import UserError
from features.storage.row_reader import open_reader
from features.storage.scores_store import STORE_FILE, read_current
from flows.services.score_events import open_scorer
from flows.serving.served_run import ServedRun
from tests.flows.serving.test_serve import events_of, unstamped
from tests.flows.shop import Shop


@pytest.fixture(autouse=True)
def _own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def test_a_run_is_loaded_once_and_kept_while_the_store_is_away(shop: Shop, tmp_path: Path) -> None:
    output = tmp_path / "out"
    shutil.copytree(shop.output, output)
    served = ServedRun(output, open_reader(output))
    assert served.status()["ready"] is False
    with pytest.raises(UserError, match="not loaded yet"):
        _ = served.scorer
    assert served.refresh() is True
    assert served.refresh() is False
    status, scorer = served.status(), served.scorer
    assert (status["ready"], status["trouble"], status["champion_waits"]) == (True, "", False)
    assert status["run_id"] == read_current(output).run.run_id
    os.rename(output / STORE_FILE, tmp_path / "aside")
    assert served.refresh() is False
    assert served.scorer is scorer
    assert served.status()["trouble"] == f"{STORE_FILE}: No such file or directory"
    os.rename(tmp_path / "aside", output / STORE_FILE)
    assert served.refresh() is False
    assert served.status()["trouble"] == ""


def test_a_scorer_of_an_earlier_version_reads_frames_and_gives_the_same_rows(shop: Shop) -> None:
    opened = open_scorer(shop.output)
    scorer = opened.scorer
    earlier = replace(
        opened, scorer=replace(scorer, loaded=replace(scorer.loaded, score_columns=None))
    )
    for rows in list(events_of(shop).values())[::50]:
        wanted = [unstamped(row) for row in opened.score(rows)["scores"]]
        assert [unstamped(row) for row in earlier.score(rows)["scores"]] == wanted
