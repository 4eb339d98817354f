"""Days of visitors' events and of links, added night by night, give what reading anew gives."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.config.config import Config
from features.table import feature_store
from features.table.feature_store import open_archive, read_tallies
from flows.services.update_aggregates import refresh_tallies
from flows.services.workspace import Workspace
from tests.oracles.histories import TAXONOMY
from tests.properties.test_increments import merged
from tests.tries import ALL

NIGHTS = 4
NAMED = ["customer", "visitor", "at", "type", "value", "order", "session", "topic"]
MAPPED = {
    "anonymous_id": "visitor",
    "occurred_at": {"column": "at", "zone": "UTC"},
    "session_id": "session",
    "topic": "topic",
}


def shop(folder: Path) -> Config:
    """Named events, those of visitors, and who these were: all in one file a night."""
    named = {**MAPPED, "customer_id": "customer", "value": "value", "order_id": "order"}
    kind = {"column": "type"}
    return Config.model_validate(
        {
            "name": "small-shop",
            "timezone": "UTC",
            "sources": [
                {"events": str(folder / "named-*.csv"), "columns": named, "event_type": kind},
                {"events": str(folder / "visits-*.csv"), "columns": MAPPED, "event_type": kind},
            ],
            "identities": {
                "table": str(folder / "links-*.csv"),
                "columns": {
                    "anonymous_id": "visitor",
                    "customer_id": "customer",
                    "linked_at": {"column": "at", "zone": "UTC"},
                },
            },
            "roles": {"purchase": ["purchase"], "touch": ["open", "touch"]},
            "ignored_event_types": ["ping"],
            "windows": [1, 7, 14],
            "stages": TAXONOMY,
            "activity_days": 14,
            "churn": {"horizon_days": 7},
            "clv": {"horizon_days": 7},
            "transition": {"periods": 4, "period_days": 3},
            "stage": {"confirm_days": 5},
            "quarantine": {"max_share": 1.0},
        }
    )


def history(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Events of customers and visitors over 40 days, and links; some are delivered late."""
    rng = np.random.default_rng(seed)
    size = 220
    day = rng.integers(0, 40, size)
    visitor = rng.choice([f"v{n}" for n in range(12)], size)
    known = rng.random(size) < 0.4
    kind = rng.choice(["touch", "open", "purchase", "ping"], size, p=[0.5, 0.2, 0.25, 0.05])
    bought = (kind == "purchase") & known
    events = pd.DataFrame(
        {
            "customer": np.where(known, rng.choice(list("abcdefgh"), size), None),
            "visitor": np.where(known & (rng.random(size) < 0.5), None, visitor),
            "at": moments(rng, day),
            "type": np.where((kind == "purchase") & ~known, "touch", kind),
            "value": np.where(bought, rng.integers(1, 90, size), np.nan),
            "order": np.where(bought, [f"o{n // 2}" for n in range(size)], None),
            "session": np.where(rng.random(size) < 0.8, [f"s{n}" for n in day // 3], None),
            "topic": rng.choice(["x", "y", ""], size),
            "night": np.clip(day // 10 + (rng.random(size) < 0.1), 0, NIGHTS - 1),
        }
    )
    many = int(rng.integers(5, 9))
    linked = rng.integers(0, 40, many)
    links = pd.DataFrame(
        {
            "visitor": [f"v{n}" for n in rng.permutation(12)[:many]],
            "customer": rng.choice(list("abcdefghij"), many),
            "at": moments(rng, linked),
            "night": linked // 10,
        }
    )
    return events, links


def moments(rng: np.random.Generator, day: np.ndarray) -> pd.Series:
    seconds = day * 86_400 + rng.integers(0, 86_400, len(day))
    return pd.Series(pd.Timestamp("2021-03-01") + pd.to_timedelta(seconds, unit="s"))


def deliver(folder: Path, night: int, events: pd.DataFrame, links: pd.DataFrame) -> None:
    new = events[events["night"] == night]
    named = new["customer"].notna()
    for name, rows in (("named", new[named]), ("visits", new[~named])):
        rows[NAMED].to_csv(folder / f"{name}-{night}.csv", index=False)
    new = links[links["night"] == night].drop(columns="night")
    if len(new) or night == 0:
        new.to_csv(folder / f"links-{night}.csv", index=False)


def visits(output: Path) -> pd.DataFrame:
    """The tally of sessions, however many segments it lies in."""
    stored = read_tallies(output).sessions
    assert stored is not None
    days = stored.to_pandas().groupby(["day", "named"], as_index=False).sum()
    return days[days["sessions"] != 0].reset_index(drop=True)


def compare(space: Workspace, config: Config, anew: Path) -> None:
    """What is stored equals what reading all files gives."""
    whole = Workspace(anew)
    assert refresh_tallies(whole, config).how == "all"
    for one, other in zip(merged(space.output, config), merged(whole.output, config), strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    pd.testing.assert_frame_equal(visits(space.output), visits(whole.output))
    counts = [
        [asdict(count) for count in open_archive(each.output, config).source_counts()]
        for each in (space, whole)
    ]
    assert counts[0] == counts[1]
    one, other = (open_archive(each.output, config) for each in (space, whole))
    last = one.builder.last_snapshot
    for back in (0, 9):
        pd.testing.assert_frame_equal(
            one.features(last - back), other.features(last - back), check_exact=True
        )


@pytest.mark.parametrize("seed", range(3 if ALL else 1))
def test_nights_of_visitors_and_links_equal_reading_anew(seed: int, tmp_path: Path) -> None:
    events, links = history(seed)
    config, space, how = shop(tmp_path), Workspace(tmp_path / "grown"), []
    for night in range(NIGHTS):
        deliver(tmp_path, night, events, links)
        how.append(refresh_tallies(space, config).how)
    compare(space, config, tmp_path / "anew")
    # Only an order of which a line comes late, or a link that takes events away, asks for more.
    assert how.count("added") >= 2


def test_a_link_that_moves_events_reads_everything_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events, links = history(0)
    config, space = shop(tmp_path), Workspace(tmp_path / "out")
    events["night"], links["night"] = 0, 0
    deliver(tmp_path, 0, events, links)
    refresh_tallies(space, config)
    first = links.iloc[[0]].assign(customer="z", at=links["at"].iloc[0] - pd.Timedelta(days=1))
    first.drop(columns="night").to_csv(tmp_path / "links-1.csv", index=False)
    assert refresh_tallies(space, config).how == "all"
    assert "belong to others by new links" in " ".join(capsys.readouterr().err.split())
    compare(space, config, tmp_path / "anew")


def test_a_changed_file_of_links_reads_everything_anew(tmp_path: Path) -> None:
    events, links = history(1)
    config, space = shop(tmp_path), Workspace(tmp_path / "out")
    deliver(tmp_path, 0, events, links)
    refresh_tallies(space, config)
    deliver(tmp_path, 1, events, links)
    deliver(tmp_path, 0, events, links.assign(customer="b"))
    assert refresh_tallies(space, config).how == "all"
    compare(space, config, tmp_path / "anew")
    assert feature_store.stored_manifest(space.output) is not None
