"""From tables that nobody has described to a proposed config."""
