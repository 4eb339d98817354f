"""Source tables as they come: files, cells, checks, links, and what is known beside events."""
