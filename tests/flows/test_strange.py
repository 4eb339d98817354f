"""Strange purchase histories: a back-test or a clear message, and the generic gates hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.calendar import day_date
from features.errors import UserError
from features.table.prediction_targets import TASK_NAMES
from flows.features import read_and_tally
from flows.services.workspace import prepare_workspace
from models.evaluation.backtest import BacktestResult, backtest_task, reason_untestable
from models.evaluation.backtest_gates import evaluate_gates, failed_gates
from models.evaluation.means_over_origins import origin_means
from models.evaluation.warnings import backtest_warnings
from tests.strange_histories import HISTORIES, write

pytestmark = pytest.mark.full


def backtested(name: str, folder: Path) -> tuple[BacktestResult, dict[str, str]]:
    """Every model at the latest origin that all labels allow, and what was refused, by model."""
    space = prepare_workspace(folder / "out", str(write(name, folder)), ())
    read_and_tally.fn(str(space.output))
    archive = space.archive()
    builder = archive.builder
    origin = builder.last_snapshot - max(builder.horizon(task) for task in TASK_NAMES)
    figures, refused = [], {}
    for task in TASK_NAMES:
        reason = reason_untestable(archive, task, origin)
        if reason is not None:
            refused[task] = f"{day_date(origin)}: {reason}"
            continue
        try:
            figures += backtest_task(archive, task, origin).figures
        except UserError as error:
            refused[task] = str(error)
    return BacktestResult(figures, [], None), refused


@pytest.mark.parametrize("name", HISTORIES)
def test_a_result_or_a_clear_message(name: str, tmp_path: Path) -> None:
    found, refused = backtested(name, tmp_path)
    for task, message in refused.items():
        assert "found" in message or "matured" in message, (task, message)
        assert "expected" in message or "matured" in message, (task, message)
    values = [f.value for f in found.figures if f.value is not None]
    assert np.isfinite(values).all()
    assert found.figures or len(refused) == len(TASK_NAMES)
    # On so few customers a gate may fail by chance; it must not fail surely.
    for gate in failed_gates(evaluate_gates(one.as_dict() for one in origin_means(found.figures))):
        if gate.difference_low is None:
            told = backtest_warnings(figure.as_dict() for figure in found.figures)
            assert any("the actual total" in sentence for sentence in told), gate.sentence
            continue
        assert gate.difference_high is not None
        surely = gate.difference_high < 0 if gate.model == "churn" else gate.difference_low > 0
        assert not surely, gate.sentence
