"""The window kernel: running sums over days, for one snapshot or a grid of them."""
