"""`stagecast init`: propose a config for undescribed tables.

Begin with `source_inference.py`, which proposes one source; `config_writer.py` writes the YAML.
"""
