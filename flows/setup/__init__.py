"""`stagecast init`: from tables that nobody has described to a proposed config.

Begin with `source_inference.py`, which proposes one source; `config_writer.py` writes the YAML.
"""
