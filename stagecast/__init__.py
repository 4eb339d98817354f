"""Results of stagecast in Python: scores, audiences, effects, metrics, features, and the scorer.

Every function takes the output folder of a run (``stagecast run --output FOLDER``), and reads what
its last publication left there, or in the PostgreSQL store that the config names. Nothing here
writes: runs, trainings and campaigns are started by the command line. Wrong input raises
`UserError`, which says where, what was found, what is expected, and a hint.
"""

from features.errors import UserError
from stagecast.campaign_results import accuracy, audiences, effects, plan
from stagecast.catalogues import feature_columns, metric_definitions, score_columns
from stagecast.results import (
    explain,
    features,
    metrics,
    models,
    runs,
    score,
    score_history,
    scores,
)
from stagecast.scorer import Scorer, open_scorer

__all__ = [
    "Scorer",
    "UserError",
    "accuracy",
    "audiences",
    "effects",
    "explain",
    "feature_columns",
    "features",
    "metric_definitions",
    "metrics",
    "models",
    "open_scorer",
    "plan",
    "runs",
    "score",
    "score_columns",
    "score_history",
    "scores",
]
