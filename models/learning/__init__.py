"""What the recipes are made of: fits, shapes, columns chosen, cold start, tuning."""
