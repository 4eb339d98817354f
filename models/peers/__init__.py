"""What every model is measured against, learned from the same snapshots."""
