"""Errors over HTTP: nothing that was quoted, and no folder of this machine."""

from __future__ import annotations

import pytest

from features.errors import UserError
from flows.serving.answers import Refusal, read_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/srv/shops/north/stagecast.duckdb", "stagecast.duckdb"),
        ("see /srv/shops/config.yaml, then run", "see config.yaml, then run"),
        (r"C:\shops\north\stagecast.duckdb", "stagecast.duckdb"),
        ("ask /scores or /audiences, and/or wait", "ask /scores or /audiences, and/or wait"),
        ("column 'c0042' and \"Anna\"", "column '...' and '...'"),
        ("models:/stagecast-scorer@champion", "models:/stagecast-scorer@champion"),
    ],
)
def test_a_refusal_leaves_out_folders_and_what_is_quoted(text: str, shown: str) -> None:
    refusal = Refusal.of(503, UserError(text, found=text, expected=text, hint=text))
    assert refusal.parts() == dict.fromkeys(("where", "found", "expected", "hint"), shown)


@pytest.mark.parametrize("body", [b'{"a": 1, "a": 1}', b'[{"b": {"a": 1, "a": 2}}]'])
def test_a_key_twice_is_refused_at_any_depth(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        read_json(body)
    assert refused.value.status == 400
    assert "twice" in refused.value.found
