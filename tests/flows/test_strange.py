"""Strange purchase histories: a back-test or a clear message, and the generic gates hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.calendar import day_date
from features.errors import UserError
from features.table.snapshot_builder import TASKS
from flows.features import read_and_tally
from flows.services.workspace import prepare_workspace
from models.evaluation.backtest import Backtested, backtest_task, why_not
from models.evaluation.backtest_gates import failed, gates
from models.evaluation.means_over_origins import means
from models.evaluation.warnings import concerns
from tests.strange_histories import HISTORIES, write

pytestmark = pytest.mark.full


def backtested(name: str, folder: Path) -> tuple[Backtested, dict[str, str]]:
    """Every model at the latest origin that all labels allow, and what was refused, by model."""
    space = prepare_workspace(folder / "out", str(write(name, folder)), ())
    read_and_tally.fn(str(space.output))
    archive = space.archive()
    builder = archive.builder
    origin = builder.last_snapshot - max(builder.horizon(task) for task in TASKS)
    figures, refused = [], {}
    for task in TASKS:
        reason = why_not(archive, task, origin)
        if reason is not None:
            refused[task] = f"{day_date(origin)}: {reason}"
            continue
        try:
            figures += backtest_task(archive, task, origin).figures
        except UserError as error:
            refused[task] = str(error)
    return Backtested(figures, [], None), refused


@pytest.mark.parametrize("name", HISTORIES)
def test_a_result_or_a_clear_message(name: str, tmp_path: Path) -> None:
    found, refused = backtested(name, tmp_path)
    for task, message in refused.items():
        assert "found" in message or "matured" in message, (task, message)
        assert "expected" in message or "matured" in message, (task, message)
    values = [f.value for f in found.figures if f.value is not None]
    assert np.isfinite(values).all()
    assert found.figures or len(refused) == len(TASKS)
    # On so few customers a gate may fail by chance; it must not fail surely.
    for gate in failed(gates(one.as_dict() for one in means(found.figures))):
        if gate.difference_low is None:
            told = concerns(figure.as_dict() for figure in found.figures)
            assert any("the actual total" in sentence for sentence in told), gate.told
            continue
        assert gate.difference_high is not None
        surely = gate.difference_high < 0 if gate.model == "churn" else gate.difference_low > 0
        assert not surely, gate.told
