"""Log results of optional tuning to MLflow (one nested run per trial) and the console."""

from __future__ import annotations

from collections.abc import Sequence

from flows.services.console import step
from models.evaluation.evaluate import Figure
from models.evaluation.fit_and_test import Trained
from models.registry.tracking import Run, Tracking


def log_tuning(tracking: Tracking, run: Run, name: str, trained: Trained) -> None:
    """Log every trial under a task's run, and the gain on inner validation and at the gate.

    The gain on inner validation is optimistic, because the best of many trials was chosen there;
    the gain at the gate is not.
    """
    tuned = trained.tuned
    if tuned is None:
        return
    for trial in tuned.trials:
        tags = {"tuning": name, "pruned": trial.loss is None}
        with tracking.run(f"{name} trial {trial.number}", parent=run, tags=tags) as nested:
            nested.params(trial.settings)
            if trial.loss is not None:
                nested.metrics({"log_loss": trial.loss})
    gain = tuned.recipe_loss - tuned.best_loss
    run.metrics(
        {
            "tuning.trials": float(len(tuned.trials)),
            "tuning.pruned": float(sum(trial.loss is None for trial in tuned.trials)),
            "tuning.recipe_log_loss": tuned.recipe_loss,
            "tuning.best_log_loss": tuned.best_loss,
            "tuning.validation_gain": gain,
        }
    )
    if not tuned.settings:
        step(f"{name}: {len(tuned.trials)} trials, none better than the recipe")
        return
    at_gate = gate_gain(trained)
    run.params({f"tuned.{key}": value for key, value in tuned.settings.items()})
    run.metrics({} if at_gate is None else {"tuning.gate_gain": at_gate})
    gate_text = "" if at_gate is None else f", at the gate {at_gate:+.4f}"
    step(
        f"{name}: best of {len(tuned.trials)} trials gains {gain:.4f} of log loss on inner "
        f"validation{gate_text}"
    )


def gate_gain(trained: Trained) -> float | None:
    """Log loss of the recipe at the gate minus that of the tuned settings; None if unknown."""

    def loss(figures: Sequence[Figure]) -> float | None:
        rows = [
            figure.value
            for figure in figures
            if (figure.method, figure.subset, figure.metric) == ("champion", "all", "log_loss")
        ]
        return rows[0] if rows else None

    recipe_loss, tuned_loss = loss(trained.recipe), loss(trained.result.figures)
    return None if recipe_loss is None or tuned_loss is None else recipe_loss - tuned_loss
