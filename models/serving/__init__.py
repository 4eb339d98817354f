"""Score customers with a registered scorer: in batches, blocks, on Spark, or from single events.

`score.py` scores a snapshot, begin there; `batches.py` predicts in worker processes,
`block_scoring.py` and `spark_scoring.py` score data larger than memory, `backfill.py` past dates,
`event_scoring.py` a few customers. `expected_transitions.py` and `crm_disagreement.py` derive
tables from predictions. May import `models.registry` and the folders that it imports.
"""
