"""`stagecast init`: from unknown tables to a proposed config.

Begin with `source_inference.py`, which proposes one source; `config_writer.py` writes the YAML.
"""
