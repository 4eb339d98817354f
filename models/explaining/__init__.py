"""Explanations of scores: reasons of a customer's score, important features, segments.

`attribution.py` computes what each column adds to a score, `feature_themes.py` groups columns and
writes sentences, `reasons.py` combines both into reason codes; `lead_reasons.py` does so for a call
list. Begin with `reasons.py`. May import `scorer` and `features`.
"""
