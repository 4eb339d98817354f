"""Score feature rows with the champion; needs mlflow, lightgbm, numpy and pandas alone.

Usage: load_by_alias.py TRACKING_URI FEATURES.parquet [SCORING_CONTEXT.json]
"""

import sys
from pathlib import Path

import mlflow
import pandas as pd

uri, features, *context = sys.argv[1:]
mlflow.set_tracking_uri(uri)
model = mlflow.pyfunc.load_model("models:/stagecast-scorer@champion")
known = set(model.metadata.signature.inputs.input_names())
frame = pd.read_parquet(features)
frame = frame[[name for name in frame.columns if name in known]]
# Without the population's statistics of that day, those of the training day are used.
told = Path(context[0]).read_text() if context else ""
scores = model.predict(frame, params={"scoring_context": told})
print(scores[["customer_id", "stage", "p_churn", "clv"]].to_csv(index=False), end="")
