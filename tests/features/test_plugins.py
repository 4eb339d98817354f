"""Plug-ins of the example package, and packages that would break something."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from features.calendar import day_number
from features.config.config import find
from features.errors import UserError
from features.lifecycle.rule_language import MEASURES
from features.metrics.metric_catalog import METRICS, all_metrics, named
from features.plugins import plugins
from features.table.build_fingerprint import built_by
from features.table.families import all_families, catalogue
from flows.setup.presets import all_presets
from models.serving.plugin_families import plugin_packages, require_plugins
from models.tasks.all_tasks import TASKS
from tests.oracles.histories import Event, builder, local, shops
from tests.plugin_packages import EXAMPLE, on_path, write_example, write_package
from tests.properties.test_truncation import QUICK, check
from tests.tries import tries

DAYS = ("2021-02-26", "2021-03-06", "2021-03-07", "2021-03-10")  # Fri, Sat, Sun, Wed
EVENTS = [
    *(Event("a", "purchase", local(day), amount=1000, brand="x") for day in DAYS),
    Event("b", "purchase", local("2021-03-06"), amount=700),
    Event("c", "touch", local("2021-03-08")),
]


@pytest.fixture
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with on_path(*write_example(tmp_path_factory.mktemp("example"))):
        yield


@pytest.mark.usefixtures("example")
def test_the_family_has_its_column_in_the_table(tmp_path: Path) -> None:
    shop = builder(EVENTS, tmp_path / "e.csv")
    frame = shop.features(shop.last_snapshot).set_index("customer_id")
    assert frame["weekend__purchase_share"]["a"] == 0.5
    assert frame["weekend__purchase_share"]["b"] == 1.0
    assert np.isnan(frame["weekend__purchase_share"]["c"])
    assert [family.__name__ for family in all_families()][-1] == "weekend"


@pytest.mark.usefixtures("example")
@settings(
    max_examples=tries(6), phases=QUICK, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(events=shops())
def test_the_family_does_not_look_ahead(events: list[Event]) -> None:
    counted = [e.day for e in events if not e.machine]
    first, end = min(counted), max(counted) + 1
    check(events, sorted({min(first + offset, end) for offset in (5, 20)}), ".csv")


@pytest.mark.usefixtures("example")
def test_the_measure_compares_in_a_rule_and_sees_only_the_past(tmp_path: Path) -> None:
    weekend = {"weekend_days": "purchase", "window": 30, ">=": 1}
    stages = {
        "buying_stage": "weekender",
        "stages": [
            {"name": "weekender", "when": weekend},
            {"name": "other", "default": True},
        ],
    }
    shop = builder(EVENTS, tmp_path / "e.csv", stages=stages)
    at = day_number(dt.date(2021, 3, 10))
    before = shop.features(at).set_index("customer_id")["stage"]
    assert before.to_dict() == {"a": "weekender", "b": "weekender", "c": "other"}
    after = shop.features(at + 1).set_index("customer_id")["stage"]
    assert after["a"] == "other"  # the last purchase is of a Wednesday now


@pytest.mark.usefixtures("example")
def test_metric_baseline_export_and_preset_are_known_by_name() -> None:
    (metric,) = named("Weekend buyers")
    assert metric.meaning.startswith("Of those who ordered")
    assert all_metrics() == (*METRICS, metric)
    assert list(TASKS["churn"].all_baselines())[-1] == "weekend_share"
    assert "weekend_share" not in TASKS["clv"].all_baselines()
    assert find("exports/call_centre.yaml").name == "call_centre.yaml"
    assert all_presets()["corner_till"].title == "Corner till, receipts (CSV)"


@pytest.mark.usefixtures("example")
def test_a_scorer_names_the_packages_that_it_needs() -> None:
    recorded = plugin_packages(["purchase__count_30d", "weekend__purchase_share"])
    assert recorded == [{"family": "weekend", "package": "stagecast-weekend", "version": "0.1.0"}]
    assert plugin_packages(["purchase__count_30d"]) == []
    assert require_plugins({"plugins": recorded}, "scorer 3") == []
    older = [{**recorded[0], "version": "0.0.9"}]
    (warning,) = require_plugins({"plugins": older}, "scorer 3")
    assert "stagecast-weekend 0.0.9" in warning
    assert "0.1.0" in warning


def test_without_the_package_a_scorer_that_needs_it_says_what_is_missing() -> None:
    recorded = [{"family": "weekend", "package": "stagecast-weekend", "version": "0.1.0"}]
    with pytest.raises(UserError) as error:
        require_plugins({"plugins": recorded}, "scorer 3")
    assert "weekend__" in str(error.value)
    assert "pip install stagecast-weekend==0.1.0" in error.value.hint
    assert require_plugins({}, "scorer of an earlier version") == []


def test_stored_snapshots_are_of_another_build_once_a_plugin_is_installed(tmp_path: Path) -> None:
    from features.config.config import load

    config = load(find("configs/cdnow.yaml"))
    before = built_by(config)
    with on_path(*write_example(tmp_path)):
        assert built_by(config) != before
    assert built_by(config) == before


BROKEN = {
    "an import that fails": ("stagecast.families", "odd", "no_such_module:odd", "cannot be imp"),
    "a built-in family": ("stagecast.families", "recency", "plugged:family", "stagecast has"),
    "the columns of a role": ("stagecast.families", "purchase", "plugged:family", "stagecast has"),
    "a name that is none": ("stagecast.families", "Weekend-1", "plugged:family", "small letters"),
    "a built-in measure": ("stagecast.measures", MEASURES[0], "plugged:family", "stagecast has"),
    "a built-in metric": ("stagecast.metrics", METRICS[0].key, "plugged:family", "stagecast has"),
    "no metric at all": ("stagecast.metrics", "odd", "plugged:family", "`Metric`"),
    "a built-in baseline": ("stagecast.baselines", "churn.rfm", "plugged:family", "stagecast has"),
    "no task": ("stagecast.baselines", "weather.rfm", "plugged:family", "after a task"),
    "a built-in preset": ("stagecast.presets", "etsy_orders", "plugged:FILE", "stagecast has"),
    "no file": ("stagecast.presets", "odd", "plugged:FILE", "which is no file"),
    "foreign columns": ("stagecast.families", "odd", "plugged:other", "features named odd__"),
    "a failure": ("stagecast.families", "odd", "plugged:failing", "ZeroDivisionError"),
}
MODULE = """
from features.table.families.feature import Feature
FILE = "/no/such/file.yaml"
def family(spec):
    return []
def other(spec):
    return [Feature("recency__odd", "days", "odd", lambda view: None)]
def failing(spec):
    return 1 / 0
def wrong_shape(spec):
    return [Feature("odd__shape", "days", "odd", lambda view: [1.0] * (view.customers + 1))]
def failing_late(spec):
    return [Feature("odd__failing", "days", "odd", lambda view: {}["key"])]
def one(spec):
    return [Feature("odd__one", "days", "odd", lambda view: [1] * view.customers)]
"""


def _asked() -> None:
    """Ask for everything that plug-ins may add."""
    from features.lifecycle.plugin_measures import plugin_measures
    from features.table.families.feature import FeatureSpec

    catalogue(FeatureSpec(windows=(30,), roles=("purchase",), attributes=()))
    plugin_measures()
    all_metrics()
    for task in TASKS.values():
        task.all_baselines()
    all_presets()


@pytest.mark.parametrize("case", BROKEN)
def test_what_a_plugin_breaks_names_its_package(case: str, tmp_path: Path) -> None:
    group, name, value, message = BROKEN[case]
    (tmp_path / "plugged.py").write_text(MODULE, encoding="utf-8")
    with on_path(write_package(tmp_path, "some-package", {group: {name: value}})):
        with pytest.raises(UserError) as error:
            _asked()
        assert message in str(error.value)
        assert "the package some-package 1.0" in str(error.value)
        assert "pip uninstall some-package" in error.value.hint


@pytest.mark.parametrize(
    ("value", "message"), [("plugged:wrong_shape", "shape"), ("plugged:failing_late", "KeyError")]
)
def test_values_of_a_family_are_checked_when_they_are_built(
    value: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "plugged.py").write_text(MODULE, encoding="utf-8")
    points = {"stagecast.families": {"odd": value}}
    with on_path(write_package(tmp_path, "some-package", points)):
        shop = builder(EVENTS, tmp_path / "e.csv")
        with pytest.raises(UserError, match=message) as error:
            shop.features(shop.last_snapshot)
        assert "some-package" in str(error.value)


def test_two_packages_with_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "plugged.py").write_text(MODULE, encoding="utf-8")
    points = {"stagecast.families": {"odd": "plugged:one"}}
    for package in ("first-package", "second-package"):
        write_package(tmp_path, package, points)
    with on_path(tmp_path), pytest.raises(UserError, match="the same name") as error:
        plugins("families")
    assert "first-package" in str(error.value)
    assert "second-package" in str(error.value)


def test_the_entry_point_on_the_page_is_that_of_the_example() -> None:
    page = (EXAMPLE.parents[1] / "docs" / "plugins.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert block in (EXAMPLE / "pyproject.toml").read_text(encoding="utf-8")
