"""Say when another scorer version becomes champion, by asking every so often.

Usage: watch_champion.py TRACKING_URI SECONDS [TIMES]
"""

import sys
import time

import mlflow

uri, seconds, *times = sys.argv[1:]
client = mlflow.MlflowClient(tracking_uri=uri)
before, left = None, int(times[0]) if times else -1
while left:
    now = client.get_model_version_by_alias("stagecast-scorer", "champion")
    if now.version != before:
        # Here a cache would be dropped, a service restarted, or somebody told.
        print(f"version {now.version}: {now.tags.get('promoted_because', '')}", flush=True)
        before = now.version
    left -= 1
    if left:
        time.sleep(float(seconds))
