"""The same work beyond one machine, on Spark."""
