"""What the config of a data set is made of: its blocks, and YAML that remembers its lines."""
