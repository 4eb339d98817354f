"""The published JSON schemas accept what is shipped, and mark misspelt keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = {
    "config": [*ROOT.glob("configs/*.yaml"), *ROOT.glob("examples/*.yaml")],
    "playbook": list(ROOT.glob("configs/campaigns/*.yaml")),
}
CASES = [(kind, path) for kind, paths in FILES.items() for path in paths]


def schema(kind: str) -> Any:
    return json.loads((ROOT / "docs" / "schemas" / f"{kind}.json").read_text(encoding="utf-8"))


def content(path: Path) -> Any:
    """As YAML, with dates as the text that editors see."""
    return json.loads(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8")), default=str))


@pytest.mark.parametrize(("kind", "path"), CASES, ids=lambda value: Path(value).name)
def test_what_is_shipped_holds_by_its_schema(kind: str, path: Path) -> None:
    jsonschema.validate(content(path), schema(kind))


@pytest.mark.parametrize("kind", FILES)
def test_a_misspelt_key_is_marked(kind: str) -> None:
    assert len(FILES[kind]) > 3
    wrong = content(FILES[kind][0]) | {"campagn": "x"}
    with pytest.raises(jsonschema.ValidationError, match="campagn"):
        jsonschema.validate(wrong, schema(kind))


def test_most_keys_have_a_description() -> None:
    for kind in FILES:
        properties = schema(kind)["properties"].values()
        assert sum("description" in part for part in properties) > 0.7 * len(properties)
