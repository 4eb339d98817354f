"""Every prediction task by name."""

from __future__ import annotations

from models.tasks.churn_task import ChurnPrediction
from models.tasks.clv_task import ClvPrediction
from models.tasks.stage_task import StagePrediction
from models.tasks.task import Task
from models.tasks.transition_task import TransitionPrediction

TASKS: dict[str, Task] = {
    task.name: task
    for task in (StagePrediction(), TransitionPrediction(), ChurnPrediction(), ClvPrediction())
}
