"""Every primitive of the rules at its exact boundary, and what a broken taxonomy is told."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from features.aggregates.daily_aggregates import tally
from features.aggregates.tallies import Tallies
from features.calendar import day_number
from features.config.config import Config, load
from features.config.yaml_with_lines import read
from features.errors import UserError
from features.lifecycle.stage_engine import stage_at
from features.lifecycle.sub_stages_and_flags import explain, standing
from features.lifecycle.taxonomy_parser import load_taxonomy, parse
from features.table.snapshot_builder import Builder
from flows.commands.cli import app
from tests.oracles.histories import LATEST, Event, builder, config, local, write

SHIPPED = Path(__file__).parents[2] / "configs" / "stages"
AT = day_number(dt.date(2021, 3, 16))


def bought(date: str, time: str = "12:00", amount: int = 1000, brand: str | None = None) -> Event:
    return Event("a", "purchase", local(date, time), amount=amount, brand=brand)


DID = [
    bought("2021-03-10", "23:59:59.999999", 3000, "x"),
    bought("2021-03-14", "00:00", 500, "y"),
    bought("2021-03-14", "23:59", 1500, "x"),
    Event("a", "open", local("2021-03-13", "00:00")),
    Event("a", "touch", local("2021-03-14", "12:00")),
    Event("a", "cancel", local("2021-03-14", "23:59")),
]


def asking(rule: dict[str, Any]) -> dict[str, Any]:
    stages = [{"name": "yes", "when": rule}, {"name": "no", "default": True}]
    return {"buying_stage": "no", "stages": stages}


def shop_with(rule: dict[str, Any], folder: Path) -> Builder:
    return builder(DID, folder / "e.csv", stages=asking(rule))


@pytest.fixture(scope="module")
def tallied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Tallies]:
    """The shop of `DID`, tallied once."""
    folder = tmp_path_factory.mktemp("did")
    shop = config(write(DID, folder / "e.csv"))
    return shop, tally(shop, latest=LATEST, quarantine=folder / "q")[0]


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ({"max": "purchase", ">=": 30}, True),
        ({"max": "purchase", ">": 30}, False),
        ({"max": "purchase", "per": "day", "window": 2, "==": 20}, True),
        ({"max": "purchase", "window": 2, "==": 15}, True),
        ({"max": "purchase", "window": 5, "==": 15}, True),  # a blink outside the window
        ({"max": "purchase", "window": 6, "==": 30}, True),
        ({"max": "purchase", "window": 1, "<": 99}, False),  # missing
        ({"last": "purchase", "==": 15}, True),
        ({"last": "purchase", "per": "day", "==": 20}, True),
        ({"mean": "purchase", "==": 16.666666}, False),
        ({"mean": "purchase", "per": "day", "==": 25}, True),
        ({"count": "purchase", "==": 3}, True),
        ({"count": "purchase", "per": "day", "==": 2}, True),
        ({"days_since_last": "open", "==": 3}, True),
        ({"count": "open", "window": 2, ">=": 1}, False),
        ({"count": "open", "window": 3, ">=": 1}, True),
        ({"days_since_last": "touch", "==": 2}, True),
        ({"latest_of": ["purchase", "cancel"], "is": "cancel"}, True),  # the same instant
        ({"latest_of": ["cancel", "purchase"], "is": "purchase"}, True),
        ({"latest_of": ["purchase", "touch"], "is": "purchase"}, True),
        ({"latest_of": ["lead", "advocacy"], "is": "advocacy"}, False),
        ({"count": "purchase", "where": {"brand": "x"}, "==": 2}, True),
        ({"days_since_last": "purchase", "where": {"brand": ["x", "z"]}, "==": 2}, True),
        ({"days_since_last": "purchase", "where": {"brand": "x"}, "<": 2}, False),
        ({"count": "purchase", "where": {"brand": "z"}, "==": 0}, True),
        ({"ratio": ["cancel", "purchase"], "per": "day", "==": 0.5}, True),
        ({"ratio": ["cancel", "lead"], ">=": 0}, False),
    ],
)
def test_primitives(rule: dict[str, Any], holds: bool, tallied: tuple[Config, Tallies]) -> None:
    shop = Builder.from_tallies(tallied[0].model_copy(update={"stages": asking(rule)}), tallied[1])
    code = int(stage_at(shop.taxonomy, shop.history, AT)[0])
    assert (shop.taxonomy.names[code] == "yes") == holds


def test_parameters_have_presets_and_arithmetic() -> None:
    source = read(SHIPPED / "omnisend.yaml")
    assert parse(source, {}).parameters["L"] == 180
    assert parse(source, {}, preset="grocery").parameters["L"] == 35
    contracts = parse(source, {"billing": 60}, preset="contracts")
    assert contracts.parameters["L"] == 90
    assert parse(source, {"L": 7}, preset="grocery").parameters["L"] == 7
    with pytest.raises(UserError, match=r"stages.preset.*\n.*grocery"):
        parse(source, {}, preset="zoo")


TAXONOMY = """
name: small
params: {L: 30}
buying_stage: buyer
stages:
  - name: gone
    when: {days_since_last: purchase, ">": L}
  - name: buyer
    when:
      all:
        - {count: purchase, ">=": 1}
        - RULE
  - name: rest
    default: true
"""


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{count: buys, '>=': 1}", "unknown role 'buys'"),
        ("{count: purchase, window: 0, '>=': 1}", "whole days"),
        ("{count: purchase, window: -3, '>=': 1}", "whole days"),
        ("{count: purchase, '<': 1}", "never hold"),
        ("{count: purchase, window: 7, '>=': 2}\n        - {count: purchase, window: 30, '<': 2}",
         "never hold"),
        ("{count: purchase, window: 7, '>=': 1}\n        - {days_since_last: purchase, '>': 7}",
         "never hold"),
        ("{days_since_last: purchase, '<=': 0}", "never hold"),
        ("{days_since_last: purchase, '>': L}", "never be reached"),
        ("{count: purchase, where: {colour: red}, '>=': 1}", "does not declare"),
        ("{sum: purchase, where: {brand: x}, '>=': 1}", "`where` with sum"),
        ("{latest_of: [purchase], is: purchase}", "two or more"),
        ("{latest_of: [purchase, cancel], is: lead}", "found lead"),
        ("{stage: gone}", "flags only"),
        ("{count: purchase, '>=': L + M}", "a number or a parameter"),
    ],
)  # fmt: skip
def test_a_broken_rule_names_the_line_and_the_hint(rule: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    text = TAXONOMY.replace("RULE", rule)
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        parse(read(file), {}, attributes=("brand",))
    assert said in str(caught.value)
    line = int(caught.value.where.split("line ")[1].split(":")[0])
    assert 9 <= line <= 13
    assert caught.value.hint or caught.value.expected


def test_sub_stages_and_flags_stand_in_the_scored_row(tmp_path: Path) -> None:
    events = [
        Event("back", "purchase", local("2021-01-01"), amount=100),
        Event("back", "purchase", local("2021-03-01"), amount=100),
        *(Event("deals", kind, local(f"2021-03-{day}"), amount=100)
          for day in ("10", "11", "12") for kind in ("purchase", "redemption")),
        Event("gone", "purchase", local("2021-01-01"), amount=100),
        Event("gone", "touch", local("2021-03-02", "00:00")),
        Event("cold", "purchase", local("2021-01-01"), amount=100),
        Event("cold", "touch", local("2021-03-01", "23:59:59.999999")),
        *(Event("mute", "sent", local("2021-03-01")) for _ in range(10)),
        Event("new", "purchase", local("2021-03-15"), amount=100),
        Event("near", "intent", local("2021-03-15")),
    ]  # fmt: skip
    stages = {"file": str(SHIPPED / "omnisend.yaml"), "params": {"L": 30}}
    shop = builder(events, tmp_path / "e.csv", stages=stages)
    rows = shop.profile(AT).set_index("customer_id")
    assert {who: json.loads(text) for who, text in rows["flags"].items()} == {
        "back": ["reactivated"],
        "deals": ["deal_seeker"],
        "gone": ["reengaging"],
        "cold": [],
        "mute": ["unresponsive"],
        "new": [],
        "near": [],
    }
    assert rows["sub_stage"].dropna().to_dict() == {"new": "new_buyer", "near": "deciding"}
    # Thirty days after the purchase that brought them back, that is no news any more.
    later = shop.profile(day_number(dt.date(2021, 3, 31))).set_index("customer_id")
    assert json.loads(later["flags"]["back"]) == ["reactivated"]
    last = shop.profile(day_number(dt.date(2021, 4, 2))).set_index("customer_id")
    assert "reactivated" not in last["flags"]["back"]


def test_missing_roles_are_warned_of_not_refused(tmp_path: Path) -> None:
    shop = shop_with({"count": "advocacy", ">=": 1}, tmp_path)
    said = shop.taxonomy.not_observable(shop.history.there)
    assert said == ["no events of advocacy (not observable: stage yes)"]
    shop = shop_with({"any": [{"count": "lead", ">=": 1}, {"count": "open", ">=": 1}]}, tmp_path)
    assert "without the parts" in shop.taxonomy.not_observable(shop.history.there)[0]


@pytest.mark.parametrize("name", sorted(p.name for p in SHIPPED.glob("*.yaml")))
def test_shipped_taxonomies_read_under_every_preset(name: str, tmp_path: Path) -> None:
    source = read(SHIPPED / name)
    for preset in [None, *(source.value.get("presets") or {})]:
        taxonomy = parse(source, {}, preset=preset)
        assert taxonomy.description
        assert all(stage.description for stage in taxonomy.stages)


def test_moves_count_those_who_existed_at_the_first_date(tmp_path: Path) -> None:
    shop = shop_with({"days_since_last": "purchase", "<=": 2}, tmp_path)
    found = standing(shop.taxonomy, shop.history, AT, AT + 1)
    assert found.counts == {"yes": 1, "no": 0}
    assert found.transitions == {"yes": {"yes": 0, "no": 1}, "no": {"yes": 0, "no": 0}}
    before = standing(shop.taxonomy, shop.history, AT - 30, AT)
    assert sum(before.counts.values()) == 0


def test_an_explanation_shows_the_values_seen(tmp_path: Path) -> None:
    shop = shop_with({"max": "purchase", ">": 30}, tmp_path)
    steps = explain(shop.taxonomy, shop.history, 0, AT, minor_units=2)
    assert [(s.text, s.holds, s.seen) for s in steps] == [
        ("stage yes", False, ""),
        ("max of purchase > 30", False, "30"),
        ("stage no (default)", True, ""),
    ]


def test_the_command_line_shows_explains_and_writes_paths(tmp_path: Path) -> None:
    shop = shop_with({"days_since_last": "purchase", "<=": 2}, tmp_path)
    content = shop.config.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    file = tmp_path / "shop.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert load_taxonomy(load(file)) == shop.taxonomy
    run, common = CliRunner(), ["--config", str(file)]
    figures = tmp_path / "out" / "figures.json"
    done = run.invoke(
        app, ["stages", "show", *common, "--at", "2021-03-16", "--to", "2021-03-17",
              "--json", str(figures)],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert json.loads(figures.read_text(encoding="utf-8")) == {
        "counts": {"yes": 1, "no": 0},
        "transitions": {"yes": {"yes": 0, "no": 1}, "no": {"yes": 0, "no": 0}},
    }
    done = run.invoke(app, ["stages", "explain", "a", *common, "--at", "2021-03-16"])
    assert "saw 2" in done.output, done.output
    # Without a date: the day after the last event, two days after the last purchase.
    assert run.invoke(app, ["stages", "explain", "a", *common]).output == done.output.replace(
        "2021-03-16", "2021-03-15"
    ).replace("saw 2", "saw 1")
    done = run.invoke(app, ["stages", "explain", "nobody", *common, "--at", "2021-03-16"])
    assert isinstance(done.exception, UserError)
    path = tmp_path / "path.parquet"
    done = run.invoke(
        app, ["stages", "path", *common, "--file", str(path), "--to", "2021-03-17",
              "--from", "2021-03-09", "--every-days", "1"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    import pyarrow.parquet as pq

    rows = pq.read_table(path).to_pylist()
    assert [str(row["snapshot_at"])[:10] for row in rows][:2] == ["2021-03-11", "2021-03-12"]
    # Bought on the 10th and the 14th: within two days of it, and no longer.
    assert [row["stage"] for row in rows] == ["yes", "yes", "no", "no", "yes", "yes", "no"]
