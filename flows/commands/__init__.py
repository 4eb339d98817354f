"""The command line: one module per command, imported when it is called.

Begin with `cli.py`. Commands import flows and services; nothing imports a command.
"""
