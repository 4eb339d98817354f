"""Pages for marketers on `stagecast serve`, rendered on the server; they run no script.

Begin with `site.py` (who sees what) and `app.py` (which pages there are). What a page changes, it
changes by a command of the command line (`command_runs.py`); there is no other way to write.
"""
