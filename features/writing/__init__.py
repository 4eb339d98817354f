"""Writing that survives: whole folders at once, one writer at a time, points to be killed at."""
