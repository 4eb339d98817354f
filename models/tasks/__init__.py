"""One module per prediction task: its recipe, from a training set to a fitted `Part`.

`stage.py` and `stage_from_crm.py`, `transition.py`, `churn.py`, `clv.py` with `lead.py`, and
`uplift.py`; `tuning.py` searches tree settings. Begin with `training.py`, which passes a training
set to the recipe of its task. May import `models.baselines`, `models.fitting`, `models.metrics`,
`models.scorer` and `features`.
"""
