"""The command `stagecast presets`: exports of other tools that `init` knows."""

from __future__ import annotations

from flows.commands.options import JsonFile


def presets(json_file: JsonFile = None) -> None:
    """List the exports of other tools that `stagecast init` recognises by their columns."""
    from flows.services.console import deliver_result, print_table
    from flows.setup.presets import all_presets

    rows = [
        (name, preset.title, ", ".join(_text(entry) for entry in preset.recognised_by))
        for name, preset in all_presets().items()
    ]
    content = [
        {"name": name, "title": preset.title, "recognised_by": list(preset.recognised_by)}
        for name, preset in all_presets().items()
    ]
    deliver_result(
        content,
        json_file,
        lambda: print_table("presets", ["preset", "export", "recognised by"], rows),
    )


def _text(entry: str | tuple[str, ...]) -> str:
    return entry if isinstance(entry, str) else " or ".join(entry)
