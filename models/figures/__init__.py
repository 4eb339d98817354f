"""Figures, each drawn from the numbers that its data twin returns."""
