"""One module per prediction task: stage, transition, churn, lifetime value, lead, uplift.

Begin with `training.py`, which hands a training set to the task's recipe. May import `baselines`
and what comes before it.
"""
