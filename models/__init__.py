"""Fitted, evaluated and registered models, and prediction with them."""

import os

# MLflow reads these while it is imported, which the modules below this package do: no telemetry,
# and no lock file or registry address of the surrounding project among the artifacts.
for _name, _value in (
    ("MLFLOW_DISABLE_TELEMETRY", "true"),
    ("MLFLOW_UV_AUTO_DETECT", "false"),
    ("MLFLOW_LOG_UV_FILES", "false"),
    ("MLFLOW_DISABLE_AGENT_HINT", "true"),
):
    os.environ.setdefault(_name, _value)
