"""Random taxonomies of every primitive: the engine against plain loops over single events."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from features.aggregates.daily_aggregates import tally
from features.aggregates.tallies import Tallies
from features.config.config import Config
from features.errors import UserError
from features.history.history import history
from features.lifecycle.rule_language import InStage
from features.lifecycle.stage_engine import stage_at
from features.lifecycle.stage_spells import present_stay
from features.lifecycle.sub_stages_and_flags import standing_facts
from features.lifecycle.taxonomy_parser import Taxonomy, load_taxonomy
from tests.oracles import plain_rules
from tests.oracles.histories import LATEST, Event, config, shops, write
from tests.oracles.loops import SIGNS
from tests.tries import tries

QUICK = (Phase.explicit, Phase.generate)
KINDS = ("days_since_last", "days_since_first", "count", "count_distinct_days", "sum", "mean",
         "max", "last", "ratio")  # fmt: skip
NAMES = ("purchase", "touch", "refund", "sent", "advocacy", "open", "redemption")


@st.composite
def leaves(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.integers(0, 7)) == 0:
        names = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=3, unique=True))
        return {"latest_of": names, "is": draw(st.sampled_from(names))}
    kind = draw(st.sampled_from(KINDS))
    name, other = draw(st.sampled_from(NAMES)), draw(st.sampled_from(NAMES))
    rule: dict[str, Any] = {kind: [name, other] if kind == "ratio" else name}
    amounts = kind in ("sum", "mean", "max", "last")
    if not kind.startswith("days_since"):
        window = draw(st.sampled_from((None, 1, 3, 10)))
        rule |= {} if window is None else {"window": window}
        if kind != "count_distinct_days":
            rule |= draw(st.sampled_from(({}, {}, {"per": "day"}, {"per": "order"})))
    if not amounts and kind != "ratio" and draw(st.integers(0, 3)) == 0:
        rule |= {"where": {"brand": draw(st.sampled_from(("x", ["y", "ü"])))}}
    constants = st.sampled_from((0, 10, 19.99, 25.5, -5)) if amounts else st.integers(0, 6)
    if kind == "ratio":
        constants = st.sampled_from((0, 0.5, 1, 2))
    for sign in draw(st.lists(st.sampled_from(tuple(SIGNS)), min_size=1, max_size=2)):
        rule[sign] = draw(constants)
    return rule


def rules(depth: int = 2) -> st.SearchStrategy[dict[str, Any]]:
    if depth == 0:
        return leaves()
    several = st.lists(rules(depth - 1), min_size=1, max_size=3)
    return st.one_of(
        leaves(),
        several.map(lambda parts: {"all": parts}),
        several.map(lambda parts: {"any": parts}),
        rules(depth - 1).map(lambda part: {"not": part}),
    )


@st.composite
def taxonomies(draw: st.DrawFn) -> dict[str, Any]:
    stages = [
        {"name": f"s{i}", "rank": draw(st.integers(0, 3)), "when": draw(rules())}
        for i in range(draw(st.integers(1, 4)))
    ]
    return {
        "buying_stage": "rest",
        "pick": draw(st.sampled_from(("first", "furthest"))),
        "stages": [*stages, {"name": "rest", "default": True}],
    }


def readable(
    shop: Config, content: dict[str, Any]
) -> tuple[Taxonomy | None, dict[str, Any], set[str]]:
    """The taxonomy without refused stages, what it means, and the stages that never hold."""
    impossible: set[str] = set()
    left = content
    while len(left["stages"]) > 1:
        try:
            return load_taxonomy(shop.model_copy(update={"stages": left})), content, impossible
        except UserError as caught:
            error = caught
        if "can never" not in str(error):
            raise error
        gone = left["stages"][int(error.where.split("stages[")[1].split("]")[0])]

        def without(of: dict[str, Any], gone: dict[str, Any] = gone) -> dict[str, Any]:
            return {**of, "stages": [s for s in of["stages"] if s["name"] != gone["name"]]}

        left = without(left)
        if "an alternative" in str(error):
            content = without(content)
        else:
            impossible.add(gone["name"])
    return None, content, impossible


def tallied(events: list[Event]) -> tuple[Config, Tallies]:
    with tempfile.TemporaryDirectory() as folder:
        shop = config(write(events, Path(folder) / "e.parquet"))
        return shop, tally(shop, latest=LATEST, quarantine=Path(folder) / "q")[0]


@settings(max_examples=tries(12), phases=QUICK, deadline=None)
@given(events=shops(), drawn=st.lists(taxonomies(), min_size=10, max_size=10))
def test_every_primitive(events: list[Event], drawn: list[dict[str, Any]]) -> None:
    singles = [replace(e, order=None) for e in events]
    shop, tallies = tallied(singles)
    first = min(e.day for e in events)
    for each in drawn:
        taxonomy, content, impossible = readable(shop, each)
        past = history(tallies, shop.role_types(), taxonomy.subjects() if taxonomy else ())
        who = past.customers
        for at in range(first, first + 50, 7):
            expected = [plain_rules.stage(content, singles, c, at) for c in who]
            # What is refused as impossible never happens, and nothing is lost without it.
            assert not impossible & set(expected), (content, at)
            if taxonomy is not None:
                found = [taxonomy.names[i] for i in stage_at(taxonomy, past, at)]
                assert found == expected, (content, at)


@settings(max_examples=tries(6), phases=QUICK, deadline=None)
@given(events=shops(), drawn=st.lists(taxonomies(), min_size=6, max_size=6))
def test_stays_of_any_taxonomy(events: list[Event], drawn: list[dict[str, Any]]) -> None:
    shop, tallies = tallied(events)
    at = max(e.day for e in events) + 12
    for content in drawn:
        taxonomy, _, _ = readable(shop, content)
        if taxonomy is None:
            continue
        past = history(tallies, shop.role_types(), taxonomy.subjects())
        first = past.exists_from
        stay = present_stay(taxonomy, past, at)
        code = stage_at(taxonomy, past, at)
        since, previous = np.full(len(code), at), np.full(len(code), -1)
        open_ = np.full(len(code), True) & (first <= at)
        for day in range(at - 1, int(first.min()) - 2, -1):
            before = stage_at(taxonomy, past, day)
            changed = open_ & (first <= day) & (before != code)
            previous[changed] = before[changed]
            open_ &= (first <= day) & (before == code)
            since[open_] = day
        np.testing.assert_array_equal(stay.since, since, str(content))
        np.testing.assert_array_equal(stay.previous, previous, str(content))
        in_days = range(at - 20, at)
        for number, name in enumerate(taxonomy.names):
            was = [(first <= d) & (stage_at(taxonomy, past, d) == number) for d in in_days]
            for known in (None, stay):
                facts = standing_facts(taxonomy, past, at, stay=known)
                found = facts.holds(InStage(name, 20))
                np.testing.assert_array_equal(found, np.any(was, axis=0), str(content))
