"""Configs, playbooks, export maps, taxonomies and experiments: whatever stands in them."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from campaigns.export_schema import load_target
from campaigns.playbook_loading import load_playbook
from campaigns.rule_wording import describe_rule
from campaigns.stage_set import StageSet
from features.config import config as configs
from features.config.yaml_loading import override, parse_yaml
from features.errors import UserError
from features.lifecycle.taxonomy_parser import load_taxonomy
from features.sources.api_events import feature_definition_hash
from features.sources.experiments import load_experiment
from tests.fuzz.inputs import NASTY, YAML_SIGNS, altered, mangled, places, values
from tests.fuzz.judge import fuzzed, outcome

SHIPPED = Path(__file__).parents[2] / "configs"
# A config in which every block stands.
EVERYTHING = """\
name: everything
description: all blocks
timezone: America/Chicago
currency: USD
sources:
  - events: {url: "duckdb:///shop.db", table: orders}
    columns: {customer_id: customer, anonymous_id: cookie, occurred_at: {column: at, zone: UTC},
      known_at: {column: loaded, zone: UTC}, value: amount, value_times: n, order_id: order,
      session_id: visit, channel: channel, is_machine: bot, brand: brand}
    event_type: {column: type}
    event_id: id
    lookups: [{table: products.csv, key: product}]
    csv: {delimiter: ";", decimal: ",", encoding: latin-1}
  - {events: [a.csv, b.csv], columns: {customer_id: c, occurred_at: {column: d, as: local_date,
     format: "%d.%m.%Y"}}, event_type: touch}
identities: {table: links.csv, columns: {anonymous_id: a, customer_id: c,
  linked_at: {column: t, zone: UTC}}}
spend: {table: spend.csv, columns: {date: day, amount: cost, channel: channel}}
roles: {purchase: [order], refund: [return], touch: [view], sent: [mail], cancel: [stop]}
ignored_event_types: [ping]
sensitive: [brand]
stage_history: {table: crm.csv, columns: {customer_id: c, occurred_at: {column: t, zone: UTC},
  stage: s},  stages: {Neu: new}, ignored: [old]}
stages:
  name: two
  params: {L: 60}
  buying_stage: new
  stages:
    - {name: lapsed, silent: true, when: {days_since_last: purchase, ">": L}}
    - {name: new, rank: 1, when: {count: purchase, ">=": 1}}
    - {name: reach, default: true}
  flags: [{name: late, when: {stage: lapsed}}]
activity_days: 90
windows: [7, 30]
snapshots: {every_days: 30, last: 2020-01-01}
churn: {horizon_days: 45, by: cancel, involuntary: [stop]}
clv: {horizon_days: 45}
lead: {points: {view: 2}}
stage: {confirm_days: 45}
transition: {periods: 6, period_days: 7, fits: 1}
settle_days: 1
backtest: {origins: [2020-11-01]}
quarantine: {max_share: 0.5}
monitoring: {}
store: "postgresql://reader@db/shop"
retention: {}
customers: {table: people.csv, columns: {customer_id: c, contact: {email: mail},
  consent: {email: {granted: ok, at: {column: since, zone: UTC}}}, suppress: {staff: works_here}}}
consents: {table: consents.csv, columns: {customer_id: c, channel: ch, granted: g,
  changed_at: {column: t, zone: UTC}}}
suppressions: [{table: bounced.csv, columns: {customer_id: c, reason: r, channel: ch,
  from: {column: f, zone: UTC}}}]
products: {table: products.csv, columns: {product_id: p, margin: m}}
consent: recorded
contact_policy: {caps: [{contacts: 3, days: 7}], sunset: {sends: 5}, budget: 10,
  global_holdout: {share: 0.1, until: 2021-01-01}}
seed: 1
threads: 1
memory_limit: 1GB
"""
SMALL = """\
name: shop
sources:
  - {events: orders.csv, columns: {customer_id: c, occurred_at: {column: at, zone: UTC}, value: v},
     event_type: purchase}
stages: {file: stages/recency_frequency.yaml, params: {L: 60, w: 120}}
campaigns: [campaigns/win_back.yaml]
exports: [exports/csv.yaml]
"""


def shipped(folder: str) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted((SHIPPED / folder).glob("*.yaml"))]


def nearly(good: list[str]) -> st.SearchStrategy[str]:
    """Texts of YAML: by slips of the hand, and by changed content that is YAML all the same."""
    slips = st.sampled_from(good).flatmap(lambda text: mangled(text, YAML_SIGNS))
    content = st.sampled_from([yaml.safe_load(text) for text in good]).flatmap(altered)
    return slips | content.map(_dumped) | content.map(_dumped)


def _dumped(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def of_file(load: Callable[[Path], Any], text: str) -> Any:
    """What loading a file of this text ends in."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "some.yaml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return outcome(load, path)


def same(a: Any, b: Any) -> bool:
    """Equal, where a NaN equals itself."""
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return bool(a == b)


@fuzzed(nearly([EVERYTHING, SMALL]), examples=150)
def test_a_config_loads_or_is_refused_and_means_what_it_says(text: str) -> None:
    config = of_file(configs.load, text)
    if isinstance(config, UserError):
        return
    plain = yaml.safe_load(text)
    assert config.name == plain["name"]
    assert len(config.sources) == len(plain["sources"])
    assert config.seed == plain.get("seed", 20240501)
    # Written out and read again, which every output folder relies on, it is the same.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        configs.dump(config, path)
        again = configs.load(path)
    assert again == config
    outcome(load_taxonomy, config)
    outcome(feature_definition_hash, config)


@fuzzed(nearly([EVERYTHING]), examples=100)
def test_yaml_is_read_as_a_plain_reader_does(text: str) -> None:
    content = of_file(parse_yaml, text)
    if not isinstance(content, UserError):
        assert same(content, yaml.safe_load(text))


PATHS = [".".join(map(str, steps)) for steps in places(yaml.safe_load(EVERYTHING))]
settings_ = st.tuples(
    st.sampled_from(PATHS) | st.sampled_from(PATHS).flatmap(lambda p: mangled(p, (".", "..", "0"))),
    st.sampled_from(NASTY) | values.map(lambda v: yaml.safe_dump(v, default_flow_style=True))
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=12),
)  # fmt: skip


@fuzzed(settings_, examples=150)
def test_a_setting_replaces_its_key_or_is_refused(setting: tuple[str, str]) -> None:
    content, (key, text) = yaml.safe_load(EVERYTHING), setting
    changed = outcome(override, content, f"{key}={text}")
    if isinstance(changed, UserError) or "=" in key:
        return
    level: Any = changed
    for step in key.split("."):
        level = level[int(step) if isinstance(level, list) else step]
    assert same(level, yaml.safe_load(text))
    assert content == yaml.safe_load(EVERYTHING)
    of_file(configs.load, _dumped(changed))


@fuzzed(nearly(shipped("campaigns")), examples=150)
def test_a_playbook_loads_or_is_refused(text: str) -> None:
    playbook = of_file(load_playbook, text)
    if isinstance(playbook, UserError):
        return
    assert playbook.campaign == yaml.safe_load(text)["campaign"]
    assert all(isinstance(describe_rule(rule, {}), str) for rule in playbook.rules)
    outcome(playbook.addressed, StageSet("omnisend", ("lapsed", "new")))


@fuzzed(nearly(shipped("exports")), examples=120)
def test_an_export_map_loads_or_is_refused(text: str) -> None:
    target = of_file(load_target, text)
    if not isinstance(target, UserError):
        assert [c.name for c in target.columns] == [
            c["name"] for c in yaml.safe_load(text)["columns"]
        ]


@fuzzed(nearly(shipped("stages")), examples=150)
def test_a_taxonomy_loads_or_is_refused(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "stages.yaml").write_bytes(text.encode())
        path = Path(folder) / "shop.yaml"
        content = yaml.safe_load(SMALL) | {"stages": {"file": "stages.yaml"}}
        path.write_text(_dumped(content))
        taxonomy = outcome(load_taxonomy, configs.load(path))
    if not isinstance(taxonomy, UserError):
        plain = yaml.safe_load(text)
        assert list(taxonomy.names) == [stage["name"] for stage in plain["stages"]]
        assert set(taxonomy.parameters) == set(plain.get("params") or {})


@fuzzed(nearly(shipped("experiments")), examples=80)
def test_an_experiment_loads_or_is_refused(text: str) -> None:
    of_file(lambda path: load_experiment(str(path)), text)
