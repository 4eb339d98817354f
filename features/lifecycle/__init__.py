"""Life-cycle stages by rules: the rule language, its evaluation, stage spells, timers,
explanations.

Begin with `stage_engine.py`; `taxonomy.py` says what a taxonomy holds, `rule_language.py` what a
rule can say. May import `history` and what comes before it.
"""
