"""Source tables: opened, parsed, checked, quarantined, and linked to customers.

Begin with `events.py`, which reads one source of events; `files.py` opens tables and
`column_parsing.py` reads their cells. May import `config` and `storage`.
"""
