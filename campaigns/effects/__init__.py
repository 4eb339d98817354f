"""Effects of randomised contacts: estimates and intervals that hold in small and skewed samples.

`two_arms` holds the rows of an experiment and forms strata of waves, `share_effect` compares
shares of customers, `mean_effect` compares money, `any_time` widens intervals for daily readers.
Begin with `two_arms`.
"""
