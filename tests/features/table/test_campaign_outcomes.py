"""What people did in a span of days after an entry, on a shop small enough to read."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from features.table.campaign_outcomes import data_through, messages_received, outcomes
from flows.services.workspace import Workspace
from tests.flows.planned import with_tallies

EVENTS = """\
customer,at,kind,amount,order,by
ann,2024-03-01,buy,10.00,o1,
ann,2024-03-05,buy,20.00,o2,
ann,2024-03-05,back,-4.00,o2,
ann,2024-03-08,buy,40.00,o3,
bob,2024-03-04,visit,,,email
bob,2024-03-09,visit,,,email
bob,2024-03-04,mail,,,email
bob,2024-03-06,mail,,,email
bob,2024-03-06,mail,,,sms
cyd,2024-03-07,back,-6.00,o4,
cyd,2024-03-12,buy,1.00,o5,
"""
CONFIG = """\
name: small
timezone: UTC
sources:
  - events: events.csv
    columns: {customer_id: customer, occurred_at: {column: at, as: local_date}, value: amount,
      order_id: order, channel: by}
    event_type: {column: kind}
roles: {purchase: [buy], refund: [back], touch: [visit], sent: [mail]}
stages: {file: stages/recency_frequency.yaml, params: {L: 30, w: 60, k: 3, m: 1}}
activity_days: 30
windows: [30]
churn: {horizon_days: 30}
clv: {horizon_days: 30}
"""
FIRST = dt.date(2024, 3, 5)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("small")
    (folder / "events.csv").write_text(EVENTS, encoding="utf-8")
    (folder / "small.yaml").write_text(CONFIG, encoding="utf-8")
    return with_tallies(folder / "small.yaml", folder / "out")


def entries(*rows: tuple[str, int, str], first: dt.date = FIRST) -> pd.DataFrame:
    """Entries on one day: who, for how many days, and whose event is the response."""
    frame = pd.DataFrame(rows, columns=["customer_id", "within_days", "role"])
    frame["entered_at"] = pd.Timestamp(first)
    return frame.set_axis([7 + 2 * n for n in range(len(frame))])


def told(space: Workspace, frame: pd.DataFrame, **changes: object) -> list[tuple[float, ...]]:
    config = space.config().model_copy(update=changes)
    found = outcomes(space.output, config, frame, margin=0.5)
    assert list(found.columns) == ["response", "orders", "revenue", "margin"]
    assert list(found.index) == list(frame.index)
    return [tuple(row) for row in found.round(6).itertuples(index=False)]


def test_the_first_day_counts_and_the_day_after_the_last_does_not(space: Workspace) -> None:
    asked = entries(("ann", 1, "purchase"), ("ann", 3, "purchase"), ("ann", 4, "purchase"))
    assert told(space, asked) == [(1, 1, 16, 8), (1, 1, 16, 8), (1, 2, 56, 28)]


def test_a_response_is_an_event_of_the_role_and_revenue_is_always_spend(space: Workspace) -> None:
    asked = entries(
        ("bob", 4, "touch"), ("bob", 5, "touch"), ("bob", 5, "purchase"), ("ann", 4, "touch")
    )
    assert told(space, asked) == [
        (0, 0, 0, 0), (1, 0, 0, 0), (0, 0, 0, 0), (0, 2, 56, 28),
    ]  # fmt: skip


def test_refunds_are_netted_in_or_kept_apart(space: Workspace) -> None:
    asked = entries(("cyd", 5, "purchase"), ("cyd", 30, "purchase"), ("ann", 1, "purchase"))
    assert told(space, asked) == [(0, 0, -6, -3), (1, 1, -5, -2.5), (1, 1, 16, 8)]
    assert told(space, asked, refunds="separate") == [
        (0, 0, 0, 0), (1, 1, 1, 0.5), (1, 1, 20, 10),
    ]  # fmt: skip


def test_roles_without_events_and_people_without_any_give_zeros(space: Workspace) -> None:
    assert told(space, entries(("dora", 9, "purchase"), ("ann", 9, "redemption"))) == [
        (0, 0, 0, 0),
        (0, 2, 56, 28),
    ]


def test_entries_on_several_days(space: Workspace) -> None:
    later = entries(("ann", 9, "purchase"), first=dt.date(2024, 3, 8)).set_axis([0])
    both = pd.concat([entries(("ann", 1, "purchase")), later])
    assert told(space, both) == [(1, 1, 16, 8), (1, 1, 40, 20)]


def test_the_data_go_to_the_last_event_unless_the_config_says_how_far(space: Workspace) -> None:
    config = space.config()
    assert data_through(space.output, config) == dt.date(2024, 3, 12)
    told = config.model_copy(update={"data_through": dt.date(2024, 3, 20)})
    assert data_through(space.output, told) == dt.date(2024, 3, 20)


def test_messages_count_in_their_channel_and_days(space: Workspace) -> None:
    asked = entries(("bob", 9, "touch"), ("bob", 1, "touch"), ("ann", 9, "touch"), ("eve", 9, ""))
    for channel, expected in (("email", [1, 0, 0, 0]), ("sms", [1, 0, 0, 0]), (None, [2, 0, 0, 0])):
        received = messages_received(space.output, space.config(), asked.assign(channel=channel))
        assert received.tolist() == expected
        assert list(received.index) == list(asked.index)
    roles = {name: types for name, types in space.config().roles.items() if name != "sent"}
    unrecorded = space.config().model_copy(update={"roles": roles})
    received = messages_received(space.output, unrecorded, asked.assign(channel="email"))
    assert received.isna().all()
