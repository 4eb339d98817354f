"""Answers of `stagecast mcp` for assistants: groups of customers, never a person.

Begin with `questions` (what may be asked); `disclosure` decides which groups are shown, and
`server` speaks the protocol.
"""
