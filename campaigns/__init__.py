"""Campaigns turn scores into audiences: who gets which message, who is held out, and why.

A plan takes these steps: `playbook` and `rules` load and check the definition of a campaign,
`customer_context` holds consent, suppression and contact history, `eligibility` gives the first
reason against each customer, `expected_value` values each contact, `offers` says who may get which
offer, `candidates` combines them per campaign, `allocation` distributes customers within caps and
budgets (by value with `optimiser`), `exploration` draws arms (by `holdout`) and random offers
(with `draw_chances`), `plan_table` sums up. `audience_files`, `target_exports` and `export_*`
write the results, `erasure` removes a person from them, `measurement` computes the effects (by
`effects`). Begin with `planning.py`. Imports `features`, never `models` or `flows`.
"""
