"""The service of `stagecast serve`: scores over HTTP, stored or from events of this moment.

Begin with `app` (what is asked and answered); `guard` stands before it (keys, limits, errors,
metrics), and `served_run` holds the run that is served while others are published.
"""
