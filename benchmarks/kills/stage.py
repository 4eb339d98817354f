"""A small shop whose output folder every child restores, with the fits already made."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from flows.services import settings

settings.apply_defaults()

import pandas as pd  # noqa: E402

import flows.backfill  # noqa: E402
import flows.backtest  # noqa: E402
import flows.features  # noqa: E402
import flows.run  # noqa: E402
import flows.score  # noqa: E402
import flows.services.console  # noqa: E402
import flows.services.workspace  # noqa: E402
import flows.train  # noqa: E402
import models.evaluation.backtest  # noqa: E402
from flows.backtest import rolling_origins  # noqa: E402
from models.registry import registry  # noqa: E402
from tests.flows.shop import write_shop  # noqa: E402

TRAINED = "trained"  # after a first run; new orders have come in since
FRESH = "fresh"  # and have been read
CHALLENGED = "challenged"  # and a new scorer has been trained, which is not champion yet
STAMP = 1_700_000_000 * 10**9  # time of change of the first file of orders
KEPT: dict[tuple[str, Any], Any] = {}  # results of fits, by function and arguments


class Stage:
    """Where the flows play."""

    def __init__(self, folder: Path, *, customers: int) -> None:
        self.folder, self.customers = folder, customers
        self.output = folder / "out"
        self.config = folder / "shop" / "shop.yaml"
        self.origins: list[str] = []

    def prepare(self) -> None:
        """Run once, let new orders come in, and keep the results of all fits."""
        quiet()
        if not (self.folder / TRAINED).is_dir():
            self._save(TRAINED, _first_run, self)
        if not (self.folder / CHALLENGED).is_dir():
            self.fit()
            self.restore(TRAINED)
            self._save(FRESH, _read, self)
            self._save(CHALLENGED, _train, self, KEPT)
        keep_fits()

    def fit(self) -> None:
        """Make every fit that the flows will ask for, once."""
        if not KEPT:
            self.restore(TRAINED)
            KEPT.update(_elsewhere(_fits, self))
            self.origins = _elsewhere(_origins, self)

    def _save(self, name: str, work: Callable[..., Any], *arguments: Any) -> None:
        _elsewhere(work, *arguments)
        shutil.rmtree(self.folder / name, ignore_errors=True)
        shutil.copytree(self.output, self.folder / name)

    def restore(self, name: str) -> None:
        """The output folder as it was saved."""
        shutil.rmtree(self.output, ignore_errors=True)
        shutil.copytree(self.folder / name, self.output)
        if self.first_orders.is_file():
            os.utime(self.first_orders, ns=(STAMP, STAMP))

    @property
    def first_orders(self) -> Path:
        """The file that the first run read."""
        return self.config.parent / "orders-1.csv"


def keep_fits() -> None:
    """Fits give what is kept of them, and past dates are scored in this process."""
    flows.train.worker_pool = kept_workers  # type: ignore[attr-defined]
    models.evaluation.backtest.worker_pool = kept_workers  # type: ignore[attr-defined]
    flows.backfill.worker_pool = inline_workers  # type: ignore[attr-defined]


def quiet() -> None:
    """Only what the harness says is printed."""
    flows.services.console.progress_console.quiet = True


def _elsewhere(work: Callable[..., Any], *arguments: Any) -> Any:
    """The result of work in a process of its own: it starts threads, and holds databases open."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def _first_run(stage: Stage) -> None:
    """`stagecast run` on all orders but the last month's, which then come in."""
    from flows.services.workspace import prepare_workspace, settle_config

    quiet()
    write_shop(stage.config.parent, customers=stage.customers)
    orders = stage.config.parent / "orders.csv"
    rows = pd.read_csv(orders)
    late = rows["at"] >= "2021-02-01"
    rows[~late].to_csv(stage.first_orders, index=False)
    os.utime(stage.first_orders, ns=(STAMP, STAMP))
    orders.unlink()
    text = stage.config.read_text(encoding="utf-8").replace("orders.csv", "orders-*.csv")
    text += "monitoring: {max_age_days: 3}\n"  # made-up orders are old: there is an alarm to tell
    stage.config.write_text(text, encoding="utf-8")
    prepare_workspace(stage.output, str(stage.config), ())
    flows.run.run_flow(str(stage.output))
    settle_config(stage.output, keep=True)
    rows[late].to_csv(stage.config.parent / "orders-2.csv", index=False)


def _fits(stage: Stage) -> dict[tuple[str, Any], Any]:
    """Results of every fit that the flows will ask for, made on a copy."""
    from features.table.prediction_targets import TASK_NAMES
    from models.evaluation import backtest
    from models.evaluation.fit_and_test import fit_and_test, refit_on_all

    quiet()
    flows.score.read_new(str(stage.output))
    archive = flows.services.workspace.Workspace(stage.output).archive()
    found: dict[tuple[str, Any], Any] = {
        (fit.__name__, (n,)): fit(archive, n)
        for n in TASK_NAMES
        for fit in (fit_and_test, refit_on_all)
    }
    for origin in _origins(stage):
        at = flows.backtest.day_number(flows.backtest.dt.date.fromisoformat(origin))
        for task in TASK_NAMES:
            if backtest.reason_untestable(archive, task, at) is None:
                found["backtest_task", (task, at)] = backtest.backtest_task(archive, task, at)
    return found


def _read(stage: Stage) -> None:
    quiet()
    flows.features.features_flow(str(stage.output))


def _train(stage: Stage, kept: dict[tuple[str, Any], Any]) -> None:
    KEPT.update(kept)
    quiet()
    keep_fits()
    flows.train.train_flow(str(stage.output))
    _champion_as_good(stage)


def _champion_as_good(stage: Stage) -> None:
    """Give the champion the challenger's fits before the gate, which are no worse than themselves.

    So the promotion is accepted, whatever so few customers make of two fits.
    """
    space = flows.services.workspace.Workspace(stage.output)
    tracking = space.tracking()
    champion = registry.champion(tracking)
    assert champion is not None
    tracking.existing(champion.run_id).folder(space.training / "gated", "gated")


def _origins(stage: Stage) -> list[str]:
    return rolling_origins(str(stage.output), 1)


def _done(result: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(result)
    return future


@contextlib.contextmanager
def kept_workers(archive: Any, count: int) -> Iterator[Any]:
    """In place of worker processes: what the fits gave when they were made."""
    yield lambda function, *arguments: _done(KEPT[function.__name__, arguments])


@contextlib.contextmanager
def inline_workers(archive: Any, count: int) -> Iterator[Any]:
    """In place of worker processes: the work itself, here."""
    yield lambda function, *arguments: _done(function(archive, *arguments))
