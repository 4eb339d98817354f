"""Challenger against champion: the gate, its guards, and who was champion when."""
