"""Policies: who would get which offer, and what that would have earned by a log of decisions.

Lives here: logs of decisions that were drawn with known probabilities, policies over their offers,
and off-policy estimates. May import `features` and other modules of `campaigns`; knows no files and
no commands. Begin with `decision_log`.
"""
