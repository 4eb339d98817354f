"""Where scores are published: DuckDB or PostgreSQL, runs, and how long they are kept."""
