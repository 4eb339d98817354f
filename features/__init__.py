"""Engagement events become point-in-time features, life-cycle stages and labels.

Data flow through the folders in this order: `config` says what is where, `sources` reads and
checks the tables, `aggregates` counts them into one row per customer, day and event type,
`history` answers questions about any window of days, `lifecycle` derives stages by rules, `table`
assembles the feature table. A folder imports only folders before it. `storage` keeps scores and
runs, `metrics` computes life-cycle metrics, `spark` runs the same on Spark, `datasets` reads the
example data. Begin with `table/snapshot_builder.py`. Nothing here imports another package of ours.
"""
