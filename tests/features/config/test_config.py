"""A config is refused with one clear message, and comes back from its dump unchanged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from features.calendar import Span
from features.config.config import Config, StagesFile, dump, find, load
from features.errors import UserError
from features.lifecycle.taxonomy_parser import load_taxonomy
from features.table.training_snapshots import require_history

CONFIGS = Path(__file__).parents[3] / "configs"
SMALL: dict[str, Any] = {
    "name": "my-shop",
    "timezone": "America/Chicago",
    "sources": [
        {
            "events": "orders.csv",
            "columns": {
                "customer_id": "customer",
                "occurred_at": {"column": "at", "zone": "UTC"},
                "value": "amount",
                "brand": "brand",
            },
            "event_type": "purchase",
        }
    ],
    "stages": {"file": "stages/recency_frequency.yaml", "params": {"L": 180}},
    "churn": {"horizon_days": 90, "train": {"from": dt.date(2020, 3, 1), "every_days": 10}},
}


def small() -> dict[str, Any]:
    copy: dict[str, Any] = yaml.safe_load(yaml.safe_dump(SMALL))
    return copy


def at(content: Any, *path: Any) -> Any:
    for part in path:
        content = content[part]
    return content


def refusal(content: Any, folder: Path) -> UserError:
    """The one error that loading gives."""
    file = folder / "shop.yaml"
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_taxonomy(load(file))
    message = str(caught.value)
    assert "expected: " in message
    assert len(message) < 600
    return caught.value


BAD: dict[str, tuple[Callable[[dict[str, Any]], Any], str, str]] = {
    "unknown key": (lambda c: c.update(chrun={"horizon_days": 3}), "chrun", "mean churn?"),
    "unknown key below": (lambda c: c["churn"].update(horizn=3), "churn.horizn", "mean horizon_d"),
    "unknown key in a list": (
        lambda c: c["sources"][0].update(event_typ="x"), "sources.0.event_typ", "mean event_type?"
    ),
    "unknown key of a block by name": (
        lambda c: c.update(stages={"file": "stages/rfm.yaml", "parms": {}}), "stages.parms",
        "mean params?",
    ),
    "missing key": (lambda c: c.pop("sources"), "sources", "nothing"),
    "missing key below": (
        lambda c: c["sources"][0]["columns"].pop("customer_id"),
        "sources.0.columns.customer_id",
        "nothing",
    ),
    "text for days": (
        lambda c: c["churn"].update(horizon_days="many"), "churn.horizon_days", "many"
    ),
    "yes for days": (lambda c: c["churn"].update(horizon_days=True), "churn.horizon_days", "True"),
    "negative days": (lambda c: c["churn"].update(horizon_days=-3), "churn.horizon_days", "-3"),
    "broken days": (lambda c: c["churn"].update(horizon_days=1.5), "churn.horizon_days", "1.5"),
    "no such date": (
        lambda c: c.update(snapshots={"last": "2017-13-01"}), "snapshots.last", "2017-13-01"
    ),
    "time zone": (lambda c: c.update(timezone="Mars/Phobos"), "timezone", "Mars/Phobos"),
    "zone of a column": (
        lambda c: c["sources"][0]["columns"]["occurred_at"].update(zone="EST5"),
        "sources.0.columns.occurred_at",
        "EST5",
    ),
    "zone of a local date": (
        lambda c: c["sources"][0]["columns"]["occurred_at"].update({"as": "local_date"}),
        "sources.0.columns.occurred_at",
        "local date has no zone",
    ),
    "moment without a spec": (
        lambda c: c["sources"][0]["columns"].update(occurred_at="at"),
        "sources.0.columns.occurred_at",
        "a mapping of keys",
    ),
    "event type within columns": (
        lambda c: c["sources"][0]["columns"].update(event_type="type"),
        "sources.0.columns",
        "beside `columns`",
    ),
    "attribute name": (
        lambda c: c["sources"][0]["columns"].update({"Product Type": "x"}),
        "sources.0.columns",
        "lower case",
    ),
    "example data set": (
        lambda c: c["sources"][0].update(events={"dataset": "northwind", "table": "x"}),
        "sources.0.events.dataset",
        "northwind",
    ),
    "table of a url": (
        lambda c: c["sources"][0].update(events={"url": "postgres://me:${PW}@host/db"}),
        "sources.0.events.table",
        "nothing",
    ),
    "password in a url": (
        lambda c: c["sources"][0].update(
            events={"url": "postgres://me:hunter2@host/db", "table": "t"}
        ),
        "sources.0.events.url",
        "password",
    ),
    "no sources": (lambda c: c.update(sources=[]), "sources", "at least 1"),
    "unknown role": (lambda c: c.update(roles={"buy": ["order"]}), "roles", "unknown role 'buy'"),
    "purchase and refund": (
        lambda c: c.update(roles={"purchase": ["order"], "refund": ["order"]}), "", "both purchase"
    ),
    "sensitive but not declared": (lambda c: c.update(sensitive=["blood"]), "", "blood"),
    "no windows": (lambda c: c.update(windows=[]), "windows", "at least 1"),
    "share above one": (
        lambda c: c.update(quarantine={"max_share": 3}), "quarantine.max_share", "3"
    ),
    "misspelt params": (
        lambda c: c["stages"].update(parms={"L": 3}), "stages.parms", "unknown key"
    ),
    "unknown param": (
        lambda c: c["stages"].update(params={"Q": 3}), "stages.params.Q", "does not use"
    ),
    "no taxonomy file": (
        lambda c: c["stages"].update(file="none.yaml"), "none.yaml", "no such file"
    ),
    "no playbook": (lambda c: c.update(campaigns=["none.yaml"]), "none.yaml", "no such file"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_config_names_the_key_and_what_was_found(case: str, tmp_path: Path) -> None:
    change, key, said = BAD[case]
    content = small()
    change(content)
    error = refusal(content, tmp_path)
    assert error.where.removeprefix(f"{tmp_path / 'shop.yaml'}: ").startswith(key)
    assert said in str(error)
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [1,\nb: }", "line 2"),
        ("- a", "list"),
        ("", "an empty file"),
        ("name: a\ntimezone: UTC\nname: b\n", "'name' twice"),
    ],
)
def test_broken_yaml(text: str, said: str, tmp_path: Path) -> None:
    assert said in str(refusal(text, tmp_path))


def test_a_missing_config_is_a_user_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(UserError):
            load(path)
    with pytest.raises(UserError, match="no such file"):
        find("none.yaml")


@pytest.mark.parametrize("name", ["completejourney.yaml", "cdnow.yaml"])
def test_shipped_configs_come_back_from_their_dump(name: str, tmp_path: Path) -> None:
    first = load(CONFIGS / name)
    dump(first, tmp_path / "config.yaml")
    again = load(tmp_path / "config.yaml")
    assert again == first
    assert load_taxonomy(again) == load_taxonomy(first)


def test_a_full_config_comes_back_from_its_dump(tmp_path: Path) -> None:
    content = small() | {
        "roles": {"purchase": ["purchase", "Größe ü"], "sent": ["mail"]},
        "sensitive": ["brand"],
        "data_through": dt.date(2021, 1, 31),
        "windows": [30, 7],
        "snapshots": {"last": dt.date(2021, 1, 1)},
        "stages": {
            "buying_stage": "b",
            "stages": [
                {"name": "a", "when": {"count": "sent", ">": 1}},
                {"name": "b", "default": True},
            ],
        },
    }
    content["sources"][0]["columns"]["known_at"] = {"column": "k", "as": "local_date"}
    content["sources"][0]["lookups"] = [{"table": "products.csv", "key": "product"}]
    content["sources"].append(
        content["sources"][0] | {"events": {"url": "duckdb://x", "table": "t"}}
    )
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    first = load(tmp_path / "shop.yaml")
    dump(first, tmp_path / "elsewhere.yaml")
    assert load(tmp_path / "elsewhere.yaml") == first
    assert first.windows == (7, 30)
    assert first.attributes() == ()


def test_relative_files_mean_the_same_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "orders.csv").write_text("customer,at,amount,brand\n", encoding="utf-8")
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(small()), encoding="utf-8")
    here = load(tmp_path / "shop.yaml")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert load(Path("../shop.yaml").resolve()) == here
    assert here.sources[0].events == str(tmp_path / "orders.csv")
    assert isinstance(here.stages, StagesFile)
    assert Path(here.stages.file).is_absolute()


def test_settings_override_any_key(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(small()), encoding="utf-8")
    changed = load(
        tmp_path / "shop.yaml",
        ("churn.horizon_days=30", "activity_days=null", "sources.0.event_type=order",
         "roles.purchase=[order]", "stages.params.L=40"),
    )  # fmt: skip
    assert changed.churn.horizon_days == 30
    assert changed.churn.train.every_days == 10
    assert changed.activity_days is None
    assert changed.sources[0].event_type == "order"
    assert changed.roles == {"purchase": ("order",)}
    for setting in ("churn.horizon_days", "=3", "churn.horizon_days=[", "sources.4.events=x",
                    "churn=3", "churn.days=3"):  # fmt: skip
        with pytest.raises(UserError):
            load(tmp_path / "shop.yaml", (setting,))


def test_a_config_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config.model_validate(small()).name = "other"  # type: ignore[misc]


def test_too_short_a_history_says_how_much_is_needed() -> None:
    short = Span(first=0, through=99)
    with pytest.raises(UserError) as caught:
        require_history(short, horizon_days=60, settle_days=2, task="churn")
    assert "100 days (1970-01-01 to 1970-04-10)" in str(caught.value)
    assert "at least 152 days" in str(caught.value)
    require_history(Span(first=0, through=151), horizon_days=60, settle_days=2, task="churn")


ISSUE_SHAPE = """
name: my-shop
timezone: America/Chicago
sources:
  - events: orders.csv
    columns: {customer_id: customer, occurred_at: {column: at, zone: UTC}, value: amount, order_id: order}
    event_type: purchase
    event_id: order
roles: {purchase: [purchase], refund: [refund]}
refunds: net
stages: {file: stages/recency_frequency.yaml, params: {L: 180, w: 365, k: 3, m: 1}}
activity_days: 180
snapshots: {every_days: 30, last: 2021-03-01}
churn: {horizon_days: 90, train: {from: 2020-03-01, every_days: 10}}
clv: {horizon_days: 90}
transition: {periods: 12, period_days: 7}
stage: {truth: centred, confirm_days: 90, late_days: 0}
settle_days: 0
consent: not_recorded
"""  # noqa: E501 - one line a key, as people write it


def test_the_usual_shape_of_a_config_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "my-shop.yaml"
    path.write_text(ISSUE_SHAPE, encoding="utf-8")
    config = load(path)
    assert config.snapshots.last == dt.date(2021, 3, 1)
    assert config.role_types()["refund"] == ("refund",)


def test_late_data_need_the_truth_and_the_days_together(tmp_path: Path) -> None:
    path = tmp_path / "my-shop.yaml"
    path.write_text(ISSUE_SHAPE, encoding="utf-8")
    assert load(path, ("stage.truth=late", "stage.late_days=7")).stage.late_days == 7
    with pytest.raises(UserError, match="late_days: 7"):
        load(path, ("stage.truth=late",))
    with pytest.raises(UserError, match="only that truth has late days"):
        load(path, ("stage.late_days=7",))


HUGE = ["9" * 5000, "-" + "9" * 4000, "9" * 400 + ".5", "0x" + "f" * 5000]


@pytest.mark.parametrize("number", HUGE)
def test_numbers_of_too_many_digits_are_refused(number: str, tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump(small()) + f"seed: {number}\n", encoding="utf-8")
    with pytest.raises(UserError, match="digits"):
        load(path)
    path.write_text(yaml.safe_dump(small()), encoding="utf-8")
    with pytest.raises(UserError, match="digits"):
        load(path, (f"seed={number}",))


@pytest.mark.parametrize(
    "setting",
    [
        "seed=" + "[" * 3000 + "]" * 3000,
        "seed=" + "{a: " * 3000 + "1" + "}" * 3000,
        "seed=" + "[" * 3000,
        "a." * 3000 + "b=1",
    ],
)
def test_settings_nested_too_deep_are_refused_in_short(setting: str, tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump(small()), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load(path, (setting,))
    assert len(str(caught.value)) < 1000


def test_all_wrong_keys_are_told_at_once(tmp_path: Path) -> None:
    content = {**small(), "colour": "red", "timezone": "Mars", "seed": "many", "threads": 0}
    content["sources"][0]["columns"]["value_times"] = 3
    error = problems_of(content, tmp_path)
    told = str(error)
    assert len(error.problems) == 5
    for key in ("colour", "timezone", "seed", "threads", "sources.0.columns.value_times"):
        assert f": {key}: " in told


def test_keys_that_disagree_are_told_at_once(tmp_path: Path) -> None:
    content = {**small(), "sensitive": ["height"], "lead": {"points": {"dance": 3}},
               "consent": "recorded"}  # fmt: skip
    assert len(problems_of(content, tmp_path).problems) == 3


def problems_of(content: Any, folder: Path) -> UserError:
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load(path)
    return caught.value
