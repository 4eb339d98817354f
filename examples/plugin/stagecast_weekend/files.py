"""Paths of the files that this package ships: plug-ins may be files as well."""

from pathlib import Path

_FOLDER = Path(__file__).parent
CALL_CENTRE = _FOLDER / "call_centre.yaml"  # an export: exports/call_centre.yaml
CORNER_TILL = _FOLDER / "corner_till.yaml"  # a preset, recognised by its columns
