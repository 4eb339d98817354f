"""Links from anonymous ids to customers: a late link changes nothing before it was known."""

from __future__ import annotations

import csv
import datetime as dt
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from features.aggregates.daily_aggregates import tally
from features.calendar import day_date, day_number
from features.errors import UserError
from features.lifecycle.sub_stages_and_flags import standing
from features.sources.duckdb_connection import connect
from features.sources.identity_resolution import UNLINKED, apply_links, link_spans
from features.sources.read_report import ReadReport
from features.table.prediction_targets import TASK_NAMES, TaskName
from features.table.snapshot_builder import Builder
from tests.oracles.histories import (
    LATEST,
    ZONE,
    Event,
    builder,
    config,
    local,
    moments,
    shops,
    write,
)
from tests.tries import tries

QUICK = (Phase.explicit, Phase.generate)
FIRST = dt.date(2021, 2, 20)


@dataclass(frozen=True)
class Link:
    anonymous: str
    customer: str
    at: dt.datetime

    @property
    def day(self) -> int:
        return day_number(self.at.astimezone(ZONE).date())


def read(
    named: Sequence[Event], unnamed: Sequence[Event], links: Sequence[Link], folder: Path,
    **changes: Any,
) -> tuple[Builder, list[ReadReport]]:  # fmt: skip
    """A shop whose visitors' events lie in a file of their own, with a table of links."""
    named_file = write(named, folder / "named.csv")
    visits = write(unnamed, folder / "visits.csv")
    with (folder / "links.csv").open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["who", "is", "since"])
        writer.writerows((x.anonymous, x.customer, x.at.replace(tzinfo=None)) for x in links)
    one = config(named_file).model_dump(mode="json", by_alias=True)["sources"][0]
    columns = {**one["columns"], "anonymous_id": "customer", "customer_id": None}
    shop = config(
        named_file,
        **{
            "sources": [one, {**one, "events": str(visits), "columns": columns}],
            "identities": {
                "table": str(folder / "links.csv"),
                "columns": {
                    "anonymous_id": "who",
                    "customer_id": "is",
                    "linked_at": {"column": "since", "zone": "UTC"},
                },
            },
            **changes,
        },
    )
    tallies, reports = tally(shop, latest=LATEST, quarantine=folder / "quarantine")
    return Builder.from_tallies(shop, tallies), reports


def owned(unnamed: Sequence[Event], links: Sequence[Link]) -> list[Event]:
    """Naive: each visitor's event given to whoever was linked last when it happened.

    Before the first link it is that one's, known from then on.
    """
    found = []
    for event in unnamed:
        mine = sorted(
            (x for x in links if x.anonymous == event.customer), key=lambda x: (x.at, x.customer)
        )
        if mine:
            past = [x for x in mine if x.at <= event.at]
            moment = past[-1].at if past else mine[0].at
            link = next(x for x in mine if x.at == moment)
            known = max(event.known or event.at, event.at, link.at)
            found.append(replace(event, customer=link.customer, known=known))
    return found


@st.composite
def linked_shops(draw: st.DrawFn) -> tuple[list[Event], list[Event], list[Link]]:
    """Events of customers, of visitors, and links of the visitors: some late, some twice."""
    named = [e for e in draw(shops(size=25)) if e.day >= day_number(FIRST)]
    unnamed = [replace(e, customer=f"x{e.customer}", order=None) for e in draw(shops(size=25))]
    # All of one season, so that links fall among the events.
    if named[0].at.month != unnamed[0].at.month:
        shift = dt.timedelta(days=round((named[0].at - unnamed[0].at).days))
        unnamed = [replace(e, at=e.at + shift, known=e.known and e.known + shift) for e in unnamed]
    first = min(e.at for e in [*named, *unnamed]).astimezone(ZONE).date()
    link = st.builds(
        Link,
        anonymous=st.sampled_from(["xa", "xb", "xc"]),
        customer=st.sampled_from("abcde"),
        at=moments(first, 45),
    )
    return named, unnamed, draw(st.lists(link, max_size=6))


def same(left: pd.DataFrame, right: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(left, right, check_exact=True)


@settings(max_examples=tries(3), phases=QUICK, deadline=None)
@given(shop=linked_shops(), offset=st.integers(6, 40), task=st.sampled_from(TASK_NAMES))
def test_a_late_link_changes_nothing_before_it_was_known(
    shop: tuple[list[Event], list[Event], list[Link]], offset: int, task: TaskName
) -> None:
    named, unnamed, links = shop
    end = max(e.day for e in [*named, *unnamed])
    at = min(e.day for e in [*named, *unnamed]) + offset
    through = {"data_through": day_date(max(end, at)).isoformat()}
    with tempfile.TemporaryDirectory() as folder:
        full, _ = read(named, unnamed, links, Path(folder), **through)
        earlier = [x for x in links if x.day < at]
        past, _ = read(named, unnamed, earlier, Path(folder), **through)
        vars(past)["spec"] = full.spec
        same(full.features(at), past.features(at))
        same(full.profile(at), past.profile(at))
        assert (
            standing(full.taxonomy, full.history, at).counts
            == standing(past.taxonomy, past.history, at).counts
        )
        # A label is settled at its maturity: links known by then count, later ones do not.
        matured = at + full.horizon(task)
        settled, _ = read(named, unnamed, [x for x in links if x.day < matured], Path(folder))
        same(full.labels(task, at), settled.labels(task, at))


@settings(max_examples=tries(3), phases=QUICK, deadline=None)
@given(shop=linked_shops(), offset=st.integers(6, 40))
def test_links_equal_events_that_carry_the_customer_and_become_known_with_the_link(
    shop: tuple[list[Event], list[Event], list[Link]], offset: int
) -> None:
    named, unnamed, links = shop
    at = min(e.day for e in named) + offset
    with tempfile.TemporaryDirectory() as folder:
        read_in, _ = read(named, unnamed, links, Path(folder))
        plain = builder([*named, *owned(unnamed, links)], Path(folder) / "plain.csv")
        vars(plain)["spec"] = read_in.spec
        same(read_in.features(at), plain.features(at))
        columns = ["data_through", "stage_change_cause"]
        same(read_in.profile(at).drop(columns=columns), plain.profile(at).drop(columns=columns))


def touched(who: str, date: str, time: str = "12:00", kind: str = "touch") -> Event:
    return Event(who, kind, local(date, time), amount=1000 if kind == "purchase" else None)


BASE = [touched("a", "2021-03-01", kind="purchase"), touched("b", "2021-03-01")]


def cause(shop: Builder, date: str, customer: str) -> tuple[str, str]:
    frame = shop.profile(day_number(dt.date.fromisoformat(date))).set_index("customer_id")
    since = frame.loc[customer, "stage_since"]
    return frame.loc[customer, "stage_change_cause"], str(since.date())


def test_a_stage_change_by_a_link_is_caused_by_identity(tmp_path: Path) -> None:
    # b last touched on 1 March: warm until the 3rd. The visitor touched on the 6th and 7th.
    unnamed = [touched("x", "2021-03-06"), touched("x", "2021-03-07")]
    link = Link("x", "b", local("2021-03-08", "09:00"))
    shop, _ = read(BASE, unnamed, [link], tmp_path, data_through="2021-03-20")
    assert cause(shop, "2021-03-08", "b") == ("clock", "2021-03-04")
    assert cause(shop, "2021-03-09", "b") == ("identity", "2021-03-09")


def test_what_they_did_on_the_day_of_the_link_comes_first(tmp_path: Path) -> None:
    unnamed = [touched("x", "2021-03-06"), touched("x", "2021-03-07")]
    link = Link("x", "b", local("2021-03-08", "09:00"))
    own = [*BASE, touched("b", "2021-03-08", "09:05")]
    shop, _ = read(own, unnamed, [link], tmp_path, data_through="2021-03-20")
    assert cause(shop, "2021-03-09", "b") == ("behaviour", "2021-03-09")


def test_who_comes_to_exist_by_a_link_was_never_in_another_stage(tmp_path: Path) -> None:
    link = Link("x", "c", local("2021-03-08", "09:00"))
    shop, _ = read(BASE, [touched("x", "2021-03-06")], [link], tmp_path, data_through="2021-03-20")
    at = day_number(dt.date(2021, 3, 8))
    assert "c" not in set(shop.features(at)["customer_id"])
    assert cause(shop, "2021-03-09", "c") == ("first_load", "2021-03-09")


def test_a_shared_device_belongs_to_whoever_signed_in_last(tmp_path: Path) -> None:
    unnamed = [
        touched("x", "2021-03-02"),  # before any link: the first one's
        touched("x", "2021-03-05", "11:59:59"),
        touched("x", "2021-03-05", "12:00:00"),  # the second link's own moment
        touched("x", "2021-03-09"),
        touched("y", "2021-03-09"),  # nobody's
    ]
    links = [Link("x", "a", local("2021-03-03")), Link("x", "b", local("2021-03-05"))]
    shop, reports = read(BASE, unnamed, links, tmp_path)
    at = day_number(dt.date(2021, 3, 10))
    touches = shop.features(at).set_index("customer_id")["touch__count_all"]
    assert touches.to_dict() == {"a": 2.0, "b": 3.0}  # b has a touch of their own
    assert reports[-1].ignored == {UNLINKED: 1}


def test_without_links_nobody_is_scored_who_has_no_name(tmp_path: Path) -> None:
    shop, reports = read(BASE, [touched("x", "2021-03-06")], [], tmp_path)
    assert shop.history.customers.tolist() == ["a", "b"]
    assert reports[-1].ignored == {UNLINKED: 1}


def test_chains_are_refused(tmp_path: Path) -> None:
    links = [Link("x", "y", local("2021-03-03")), Link("y", "a", local("2021-03-04"))]
    with pytest.raises(UserError, match="'y' both as an anonymous_id and as the customer_id"):
        read(BASE, [touched("x", "2021-03-06")], links, tmp_path)


def test_links_that_say_nothing_are_set_aside(tmp_path: Path) -> None:
    links = [Link("x", "x", local("2021-03-03")), Link("x", "a", local("2021-03-04"))]
    shop, reports = read(
        BASE, [touched("x", "2021-03-02")], links, tmp_path, quarantine={"max_share": 0.5}
    )
    assert reports[0].quarantined == {"an anonymous_id linked to itself": 1}
    assert (tmp_path / "quarantine" / "identities.parquet").is_file()
    touch = shop.history.roles["touch"].settled
    assert shop.history.customers[touch.customer].tolist() == ["a", "b"]


def test_identities_without_visitors_are_a_slip(tmp_path: Path) -> None:
    links = {"table": "x.csv", "columns": {"anonymous_id": "a", "customer_id": "b",
             "linked_at": {"column": "c", "as": "local_date"}}}  # fmt: skip
    with pytest.raises(ValueError, match="no source maps `anonymous_id`"):
        config(tmp_path / "e.csv", identities=links)


def test_links_are_joined_by_hash_whatever_the_size() -> None:
    connection = connect()
    at = pd.date_range("2024-01-01", periods=5_000, freq="h", tz="UTC")
    events = connection.create_table(
        "events",
        pa.table(
            {
                "anonymous_id": [f"v{n % 900}" for n in range(5_000)],
                "customer_id": pa.array([None] * 5_000, pa.string()),
                "at": pa.array(at),
                "known_day": pa.array([20_000] * 5_000, pa.int32()),
            }
        ),
    )
    links = connection.create_table(
        "links",
        pa.table(
            {
                "anonymous_id": [f"v{n}" for n in range(900)],
                "customer_id": [f"c{n}" for n in range(900)],
                "linked_at": pa.array(at[:900]),
                "link_day": pa.array([19_724] * 900, pa.int32()),
            }
        ),
    )
    found = apply_links(events, connection.create_table("spans", link_spans(links)))
    plan = connection.raw_sql(f"EXPLAIN {ibis.to_sql(found)}").fetchall()[0][1]
    assert "HASH_JOIN" in plan
    for slow in ("NL_JOIN", "NESTED_LOOP", "PIECEWISE"):
        assert slow not in plan
    assert found.customer_id.count().execute() == 5_000
