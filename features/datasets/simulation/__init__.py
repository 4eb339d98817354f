"""The simulator's parts. Nothing here is imported by a model, and nothing here imports one."""
