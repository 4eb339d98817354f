"""Prediction tasks: `task.py` says what the project asks of one, `all_tasks.py` lists them.

`stage_task.py`, `transition_task.py`, `churn_task.py` and `clv_task.py` hold everything that one
task does differently from the others: baselines, metrics, losses, guards. The recipes, from a
training set to a fitted `Part`, are in `stage.py` and `stage_from_crm.py`, `transition.py`,
`churn.py`, `clv.py` with `lead.py`, and `uplift.py`; `tuning.py` searches tree settings. Begin with
`task.py`. May import `models.baselines`, `models.fitting`, `models.metrics`, `models.scorer` and
`features`.
"""
