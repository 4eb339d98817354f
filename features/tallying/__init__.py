"""Events -> tallies: grouped, dealt out, stored in segments, and extended by new files."""
