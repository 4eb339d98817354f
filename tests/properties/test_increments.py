"""New event files added to stored tallies give exactly what reading everything anew gives."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from features.config.config import Config
from features.table import families, feature_store
from features.table.build_fingerprint import built_by
from features.table.families.feature import Feature, FeatureSpec
from features.table.feature_store import open_archive
from features.table.snapshot_builder import Builder
from flows.services import update_aggregates
from flows.services.update_aggregates import ReadCounts, refresh_tallies
from flows.services.workspace import Workspace
from tests.oracles.histories import Event, config, local, shops, write
from tests.tries import tries

TYPES = ("purchase", "open", "touch", "sent", "refund", "redemption")
DAILY = ["customer_id", "event_type", "day", "known_day"]
CHOSEN = ["customer_id", "event_type", "attribute", "choice", "day", "known_day"]


def shop_of(folder: Path, **changes: object) -> Config:
    return config(folder / "events-*.csv", data_through=None, **changes)


def write_day(folder: Path, number: int, events: Sequence[Event]) -> None:
    if events:
        write(events, folder / f"events-{number:03d}.csv")


def merged(builder_folder: Path, shop: Config) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The stored tallies in one form, however many segments they lie in."""
    manifest = feature_store.stored_manifest(builder_folder)
    assert manifest is not None
    stored = feature_store.segments.read_segments(
        builder_folder / "features" / "tallies", manifest.segments
    )
    daily, chosen = (
        table.to_pandas().astype(dict.fromkeys(keys[:-2], str))
        for table, keys in ((stored.daily, DAILY), (stored.attributes, CHOSEN))
    )
    daily = daily.sort_values(["last_at", "latest"]).groupby(DAILY, as_index=False)
    facts = daily.agg(
        count=("count", "sum"),
        value=("value", "sum"),
        largest=("largest", "max"),
        latest=("latest", "last"),
        first_at=("first_at", "min"),
        last_at=("last_at", "max"),
    )
    return facts, chosen.groupby(CHOSEN, as_index=False)["count"].sum()


def check(days: Sequence[Sequence[Event]], ask: Sequence[int] = (0, 3)) -> list[ReadCounts]:
    """Add days one by one to one folder; after the last two compare with one made anew."""
    reads = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shop = shop_of(folder, quarantine={"max_share": 1.0})
        grown = Workspace(folder / "grown")
        for number, events in enumerate(days):
            write_day(folder, number, events)
            if not list(folder.glob("events-*.csv")):
                continue
            reads.append(refresh_tallies(grown, shop))
            if number < len(days) - 2:
                continue
            anew = Workspace(folder / f"anew-{number}")
            refresh_tallies(anew, shop)
            for one, other in zip(
                merged(grown.output, shop), merged(anew.output, shop), strict=True
            ):
                pd.testing.assert_frame_equal(one, other, check_exact=True)
            one, other = open_archive(grown.output, shop), open_archive(anew.output, shop)
            assert one.source_counts()[0].rows == other.source_counts()[0].rows
            last = one.builder.last_snapshot
            assert last == other.builder.last_snapshot
            for back in ask:  # stored ones of earlier days are read again where they still hold
                pd.testing.assert_frame_equal(
                    one.features(last - back), other.features(last - back), check_exact=True
                )
                same_profile(one.builder, other.builder, last - back)
    return reads


def same_profile(one: Builder, other: Builder, at: int) -> None:
    pd.testing.assert_frame_equal(one.profile(at), other.profile(at), check_exact=True)


def by_arrival(events: Sequence[Event], cuts: Sequence[int]) -> list[list[Event]]:
    """Events in files as they became known: one up to each cut, and the rest."""
    counted = [e for e in events if e.type in TYPES]
    edges = sorted({min(e.day for e in counted) + cut for cut in cuts})
    bounds = [-(10**6), *edges, 10**6]
    return [
        [e for e in counted if lo <= max(e.day, e.known_day) < hi]
        for lo, hi in itertools.pairwise(bounds)
    ]


def bought(customer: str, date: str, time: str = "12:00", **more: object) -> Event:
    return Event(customer, "purchase", local(date, time), **{"amount": 1000, **more})  # type: ignore[arg-type]


A_LINE_COMES_LATER = [
    bought("a", "2021-03-01", order="o1"),
    bought("b", "2021-03-01", order="o1"),
    bought("a", "2021-03-10", order="o1", amount=-400),
    bought("a", "2021-03-05", order="o1", known=local("2021-03-12"), amount=250),
    bought("a", "2021-02-20", order="o1", known=local("2021-03-14"), amount=50),
]


@settings(max_examples=tries(3), phases=(Phase.explicit, Phase.generate), deadline=None)
@given(events=shops(size=30), cuts=st.lists(st.integers(3, 45), min_size=1, max_size=2))
@example(events=A_LINE_COMES_LATER, cuts=[9, 11, 13, 14])
def test_days_added_as_they_arrive_equal_a_rebuild(events: list[Event], cuts: list[int]) -> None:
    reads = check(by_arrival(events, cuts))
    assert reads[0].how == "all"
    assert {read.how for read in reads[1:]} <= {"added", "nothing", "all"}


@settings(max_examples=tries(2), phases=(Phase.explicit, Phase.generate), deadline=None)
@given(events=shops(size=24), parts=st.integers(2, 3))
def test_files_in_any_order_equal_a_rebuild(events: list[Event], parts: int) -> None:
    # Lines of one order and one day in several files: added or read anew, never wrong.
    check([events[number::parts] for number in range(parts)])


def test_only_the_new_file_is_read_and_old_snapshots_stay(tmp_path: Path) -> None:
    shop, space = shop_of(tmp_path), Workspace(tmp_path / "out")
    write_day(tmp_path, 0, A_LINE_COMES_LATER[:2])
    assert refresh_tallies(space, shop).how == "all"
    archive = open_archive(space.output, shop)
    early, last = archive.builder.last_snapshot - 1, archive.builder.last_snapshot
    for at in (early, last):
        archive.features(at)
    assert refresh_tallies(space, shop) == ReadCounts("nothing", 0, 0, size(tmp_path, 0))
    write_day(tmp_path, 1, [replace(A_LINE_COMES_LATER[2], amount=400)])
    read = refresh_tallies(space, shop)
    assert (read.how, read.rows_read) == ("added", 1)
    assert (read.bytes_read, read.bytes_there) == (size(tmp_path, 1), size(tmp_path, 0, 1))
    archive = open_archive(space.output, shop)
    assert archive.stored() == [early, last]
    # What is learned late of an earlier day ends the snapshots that should have known it.
    late = replace(A_LINE_COMES_LATER[1], order="o9", at=local("2021-02-28"))
    write_day(tmp_path, 2, [late])
    assert refresh_tallies(space, shop).how == "added"
    assert open_archive(space.output, shop).stored() == []


def _evenings(_: FeatureSpec) -> list[Feature]:
    return [
        Feature("evenings__n", "events", "n", lambda view: np.zeros(view.customers), null="never")
    ]


@pytest.mark.parametrize("change", ["family", "setting"])
def test_snapshots_of_other_features_or_settings_are_built_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, space = shop_of(tmp_path), Workspace(tmp_path / "out")
    write_day(tmp_path, 0, A_LINE_COMES_LATER[:2])
    refresh_tallies(space, shop)
    archive = open_archive(space.output, shop)
    at = archive.builder.last_snapshot
    archive.features(at)
    assert refresh_tallies(space, shop).how == "nothing"
    assert archive.stored() == [at]
    capsys.readouterr()
    if change == "family":
        monkeypatch.setattr(families, "FAMILIES", (*families.FAMILIES, _evenings))
    if change == "setting":
        shop = shop_of(tmp_path, churn={"by": "cancel"})
    # The events are as they were: the tallies stay.
    assert refresh_tallies(space, shop).how == "nothing"
    told = " ".join(capsys.readouterr().err.split())
    assert "1 stored snapshots have other features or settings" in told
    archive = open_archive(space.output, shop)
    assert archive.stored() == []
    assert ("evenings__n" in archive.features(at)) == (change == "family")


def test_snapshots_of_other_code_are_told_apart(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)
    write_day(tmp_path, 0, A_LINE_COMES_LATER[:1])
    code = tmp_path / "code"
    code.mkdir()
    (code / "one.py").write_text("a = 1\n", encoding="utf-8")
    before = built_by(shop, code)
    (code / "notes.txt").write_text("no code\n", encoding="utf-8")
    assert built_by(shop, code) == before
    (code / "one.py").write_text("a = 2\n", encoding="utf-8")
    assert built_by(shop, code) != before


def size(folder: Path, *numbers: int) -> int:
    return sum((folder / f"events-{n:03d}.csv").stat().st_size for n in numbers)


@pytest.mark.parametrize("change", ["corrected", "gone", "config"])
def test_what_cannot_be_added_is_read_anew_and_said(
    tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, space = shop_of(tmp_path), Workspace(tmp_path / "out")
    for number, event in enumerate(A_LINE_COMES_LATER[:2]):
        write_day(tmp_path, number, [event])
    refresh_tallies(space, shop)
    said = {"corrected": "has changed", "gone": "is gone", "config": "config has changed"}[change]
    if change == "corrected":
        write_day(tmp_path, 1, [replace(A_LINE_COMES_LATER[1], amount=999)])
    if change == "gone":
        (tmp_path / "events-001.csv").unlink()
    if change == "config":
        shop = shop_of(tmp_path, minor_units=3)
    assert refresh_tallies(space, shop).how == "all"
    assert said in " ".join(capsys.readouterr().err.split())
    daily = merged(space.output, shop)[0]
    assert daily["value"].tolist() == {
        "corrected": [1000, 999], "gone": [1000], "config": [10000, 10000]
    }[change]  # fmt: skip


def test_a_killed_addition_leaves_the_old_and_the_next_one_adds_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, space = shop_of(tmp_path), Workspace(tmp_path / "out")
    write_day(tmp_path, 0, A_LINE_COMES_LATER[:2])
    refresh_tallies(space, shop)
    before = merged(space.output, shop)[0]
    write_day(tmp_path, 1, A_LINE_COMES_LATER[2:3])
    with monkeypatch.context() as killed:

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        killed.setattr(feature_store.Manifest, "save", die)
        with pytest.raises(KeyboardInterrupt):
            update_aggregates.refresh_tallies(space, shop)
    pd.testing.assert_frame_equal(merged(space.output, shop)[0], before)
    assert refresh_tallies(space, shop).how == "added"
    assert merged(space.output, shop)[0]["value"].sum() == 1600
    assert len(list((space.output / "features" / "tallies").glob("segment-*"))) == 2


def test_event_ids_seen_before_are_decided_on_all_rows(tmp_path: Path) -> None:
    plain = shop_of(tmp_path, quarantine={"max_share": 1.0})
    source = plain.sources[0].model_copy(update={"event_id": "order"})
    shop, space = plain.model_copy(update={"sources": (source,)}), Workspace(tmp_path / "out")
    write_day(tmp_path, 0, [bought("a", "2021-03-01", order="e1")])
    refresh_tallies(space, shop)
    write_day(tmp_path, 1, [bought("a", "2021-03-02", order="e2")])
    assert refresh_tallies(space, shop).how == "added"
    copy, new = (bought("a", "2021-03-01", order="e1"), bought("b", "2021-03-03", order="e3"))
    write_day(tmp_path, 2, [copy, new])
    assert refresh_tallies(space, shop).how == "all"
    assert merged(space.output, shop)[0]["count"].sum() == 3
