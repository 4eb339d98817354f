"""The same aggregates and features on Spark, for data beyond one machine.

Begin with `spark.py`. A plug-in: no other folder of `features` imports it.
"""
