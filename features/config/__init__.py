"""The YAML config of a data set: typed sections, and loading with line numbers.

Begin with `config.py`, the whole config; each section has a module. Imports nothing of the other
folders, since every folder reads its settings from here.
"""
