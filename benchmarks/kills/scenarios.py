"""The flows that are killed: how each is started, and which tables it must not harm."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import flows.backfill
import flows.backtest
import flows.features
import flows.monitor
import flows.promote
import flows.run
import flows.score
import flows.target
import flows.train
from benchmarks.kills.stage import CHALLENGED, FRESH, TRAINED, Stage
from features.table.prediction_targets import TASK_NAMES
from flows.services.workspace import prepare_workspace, settle_config

ALL = ("scores", "history", "audiences", "tallies", "models", "figures", "findings", "told")


@dataclass(frozen=True)
class Scenario:
    """A flow on a saved output folder."""

    run: Callable[[Stage], object]
    start: str = TRAINED
    fits: bool = False  # whether it asks for fits, which are then made once before
    shows: tuple[str, ...] = ALL
    grows: tuple[str, ...] = ()  # tables that are published part by part, each of them whole


def _run(stage: Stage) -> None:
    """As the command line: with the config given anew."""
    prepare_workspace(stage.output, str(stage.config), ())
    flows.run.run_flow(str(stage.output))
    settle_config(stage.output, keep=True)


def _features_anew(stage: Stage) -> None:
    """A file that has changed since: everything is read again."""
    os.utime(stage.first_orders, (1, 1))
    flows.features.features_flow(str(stage.output))


def _promote(stage: Stage) -> None:
    """A promotion that is accepted, so that the move of the alias is among what is killed."""
    decision = flows.promote.promote_flow(str(stage.output))
    if not decision["accepted"]:
        raise RuntimeError(f"the challenger was refused: {decision['reason']}")


def _backtest(stage: Stage) -> None:
    flows.backtest.backtest_flow(str(stage.output), stage.origins, list(TASK_NAMES))


SCENARIOS = {
    "features": Scenario(lambda s: flows.features.features_flow(str(s.output))),
    "features (all anew)": Scenario(_features_anew),
    "train": Scenario(lambda s: flows.train.train_flow(str(s.output)), FRESH, fits=True),
    "promote": Scenario(_promote, CHALLENGED),
    "score": Scenario(lambda s: flows.score.nightly_flow(str(s.output))),
    "target": Scenario(lambda s: flows.target.retarget_flow(str(s.output))),
    "run": Scenario(_run, fits=True),
    "backtest": Scenario(_backtest, fits=True),
    "monitor": Scenario(
        lambda s: flows.monitor.monitor_flow(str(s.output)),
        grows=("told",),
    ),
    "backfill": Scenario(
        lambda s: flows.backfill.backfill_flow(str(s.output), ["2020-11-10", "2020-12-10"], 1, 1),
        grows=("history",),
    ),
}
