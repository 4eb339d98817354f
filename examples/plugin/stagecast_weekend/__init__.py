"""A plug-in for stagecast: how much of a customer's buying falls on weekends."""
