"""Ask a running scorer over HTTP; needs nothing but Python.

Start it: mlflow models serve -m models:/stagecast-scorer@champion --env-manager local --port 5001
Usage: score_by_rest.py http://127.0.0.1:5001 ROWS.json   (a list of feature rows, by column)
"""

import json
import sys
import urllib.request
from pathlib import Path

address, rows = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
columns = list(rows[0])
split = {"columns": columns, "data": [[row[name] for name in columns] for row in rows]}
request = urllib.request.Request(
    f"{address}/invocations",
    data=json.dumps({"dataframe_split": split, "params": {"scoring_context": ""}}).encode(),
    headers={"Content-Type": "application/json"},
)
with urllib.request.urlopen(request, timeout=60) as answer:
    for row in json.load(answer)["predictions"]:
        print(row["customer_id"], row["stage"], row["p_churn"], row["clv"])
