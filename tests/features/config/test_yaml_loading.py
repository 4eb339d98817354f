"""Texts of configs: hostile settings, values that are not what they look like, and messages."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from features.config import config as configs
from features.config.yaml_loading import override, parse_yaml, yaml_text
from features.errors import LONGEST_PART, UserError
from features.lifecycle.taxonomy_parser import load_taxonomy
from tests.architecture.test_security import BOMB
from tests.oracles.orders import STAGES, shop

FLOW_BOMB = "{" + ", ".join(line.strip() for line in BOMB.splitlines()[:9]) + "}"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("[" + "&a x, " + "*a, " * 60 + "]", "aliases"),
        (FLOW_BOMB, "aliases"),
        ("[" * 60 + "]" * 60, "deep"),
        ("x" * 2_000_000, "2,000,000"),
        ("!!python/object/apply:os.system ['true']", "python/object"),
        ("{a: 1, a: 2}", "twice"),
    ],
)
def test_a_hostile_setting_is_refused_within_limits(value: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        override({}, f"notice={value}")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 2_000


def read_or_refusal(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except UserError as error:
        return error


# Each is taken for a number, a date or bytes by its look or its tag, and is none.
NO_VALUES = (
    *("0000-00-00", "2021-02-30", "2021-13-01 00:00:00", "!!timestamp soon", "0b2", "="),
    *("!!int x", "!!float x", "!!bool maybe", "!!binary \u00e9", "!!omap [1]", "!!set [1]"),
)


@pytest.mark.parametrize("text", NO_VALUES)
def test_a_value_that_is_not_what_it_looks_like_is_refused_or_text(
    text: str, tmp_path: Path
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"name: {text}\n", encoding="utf-8")
    for read in (lambda: parse_yaml(path)["name"], lambda: override({}, f"name={text}")["name"]):
        found = read_or_refusal(read)
        if isinstance(found, UserError):
            assert found.where in (str(path), "--set name=")
        else:
            assert isinstance(found, str)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), PLAIN, max_size=4))
def test_what_is_written_as_yaml_is_read_back(content: dict[str, Any]) -> None:
    assert yaml.safe_load(yaml_text(content)) == content


@pytest.mark.parametrize("sign", ["\x85", "\u2028", "\u2029", "\ufeff"])
def test_a_column_named_with_a_line_end_of_unicode_stays_that_column(
    sign: str, tmp_path: Path
) -> None:
    config = shop("orders.csv", source_columns={
        "customer_id": f"a{sign}b", "occurred_at": {"column": "at", "zone": "UTC"},
    })  # fmt: skip
    configs.dump(config, tmp_path / "config.yaml")
    assert configs.load(tmp_path / "config.yaml").sources[0].columns.customer_id == f"a{sign}b"


@pytest.mark.parametrize(
    "value", [math.inf, math.nan, b"x", {1: 2}, {None: 1}, {True: 1}, {"x": {1, 2}}], ids=repr
)
def test_what_yaml_could_not_give_back_is_refused_in_rules(value: Any) -> None:
    with pytest.raises(ValueError, match=r"finite|texts"):
        shop("orders.csv", stages={**STAGES, "description": value})
    with pytest.raises(ValueError, match=r"finite|texts"):
        shop("orders.csv", contact_policy={"suppress": {"all": {"x": value}}})


@pytest.mark.parametrize("name", [["purchase"], {"a": 1}, [], None, True, 1.5])
def test_a_role_that_is_no_text_is_refused(name: Any) -> None:
    rule = {"count": name, ">=": 1}
    stages = [{"name": "new", "when": rule}, {"name": "reach", "default": True}]
    with pytest.raises(UserError, match="unknown role"):
        load_taxonomy(shop("orders.csv", stages={"buying_stage": "new", "stages": stages}))


@given(st.text())
def test_a_message_shows_signs_that_cannot_be_seen(text: str) -> None:
    message = str(UserError(text, found=text, expected=text, hint=text))
    assert message.replace("\n", "").isprintable() or all(
        sign.isspace() or sign.isprintable() or ord(sign) > 0x2FF for sign in message
    )
    assert "\x1b" not in message
    assert "\u202e" not in message


def test_a_message_is_never_endless() -> None:
    message = str(UserError("x" * 10**6, found="y" * 10**6, expected="z", hint=""))
    assert len(message) < 2 * LONGEST_PART + 200
    assert "1,000,000 signs" in message


def test_a_list_of_no_files_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    columns = "{customer_id: c, occurred_at: {column: t, zone: UTC}}"
    path.write_text(
        f"name: a\nsources: [{{events: [], columns: {columns}, event_type: purchase}}]\n"
        "stages: {file: stages/rfm.yaml}\n"
    )
    with pytest.raises(UserError, match="events"):
        configs.load(path)
