"""Simple models that the served model must beat, trained on the same snapshots.

One module per task, whose object in `models.tasks` lists them. May import
`models.fitting`, `models.scorer` and `features`.
"""
