"""What the back-test makes of its origins: means, intervals, groups, bounds, warnings."""
