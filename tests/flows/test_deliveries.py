"""What a source may do overnight: another schema, late, twice, empty; no row lost or doubled."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from features.errors import UserError
from features.table.feature_store import read_tallies, stored_manifest
from flows.services.update_aggregates import ReadCounts, refresh_tallies
from flows.services.workspace import Workspace, prepare_workspace, settle_config
from tests.flows.shop import orders, write_shop

SPLIT = "2020-11-01"


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    """A shop whose orders come in files; those before November have been read."""
    config = write_shop(tmp_path, customers=40)
    (tmp_path / "orders.csv").unlink()
    config.write_text(config.read_text().replace("orders.csv", "orders-*.csv"))
    deliver(tmp_path, "a", rows().query("at < @SPLIT"))
    space = prepare_workspace(tmp_path / "out", str(config), ())
    settle_config(space.output, keep=True)
    refresh_tallies(space, space.config())
    return space


def rows() -> pd.DataFrame:
    return orders(40, 7)


def new() -> pd.DataFrame:
    return rows().query("at >= @SPLIT")


def deliver(folder: Path, name: str, frame: pd.DataFrame) -> Path:
    path = folder / f"orders-{name}.csv"
    frame.to_csv(path, index=False)
    return path


def read(space: Workspace) -> ReadCounts:
    return refresh_tallies(space, space.config())


def daily(space: Workspace) -> pd.DataFrame:
    keys = ["customer_id", "event_type", "day", "known_day"]
    table = read_tallies(space.output).daily.to_pandas()
    table = table.astype({"customer_id": str, "event_type": str})
    return table.sort_values(keys, ignore_index=True)


def expected(space: Workspace, folder: Path) -> pd.DataFrame:
    """Tallies of all orders, delivered properly into a folder of their own."""
    folder.mkdir()
    deliver(folder, "all", rows())
    text = (space.output.parent / "shop.yaml").read_text()
    (folder / "shop.yaml").write_text(text)
    whole = prepare_workspace(folder / "out", str(folder / "shop.yaml"), ())
    settle_config(whole.output, keep=True)
    refresh_tallies(whole, whole.config())
    return daily(whole)


def test_a_file_delivered_twice_counts_once_and_is_named(
    shop: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = deliver(tmp_path, "b", new())
    shutil.copyfile(path, tmp_path / "orders-b-again.csv")
    assert read(shop).how == "added"
    assert "delivered twice, counted once" in " ".join(capsys.readouterr().err.split())
    whole = expected(shop, tmp_path / "whole")
    pd.testing.assert_frame_equal(daily(shop), whole)
    # And once more a night later, under a name that sorts before all others.
    shutil.copyfile(path, tmp_path / "orders-0.csv")
    read(shop)
    pd.testing.assert_frame_equal(daily(shop), whole)


def test_a_file_that_comes_late_counts_as_if_it_had_come_in_time(
    shop: Workspace, tmp_path: Path
) -> None:
    later = new()
    deliver(tmp_path, "c", later.query("at >= '2020-12-15'"))
    assert read(shop).how == "added"
    deliver(tmp_path, "b", later.query("at < '2020-12-15'"))
    assert read(shop).how == "added"
    pd.testing.assert_frame_equal(daily(shop), expected(shop, tmp_path / "whole"))


def test_an_empty_file_changes_nothing(shop: Workspace, tmp_path: Path) -> None:
    before = daily(shop)
    deliver(tmp_path, "b", new().head(0))
    assert read(shop).rows_read in (0, len(rows().query("at < @SPLIT")))
    pd.testing.assert_frame_equal(daily(shop), before)
    assert read(shop).how == "nothing"
    deliver(tmp_path, "c", new())
    read(shop)
    pd.testing.assert_frame_equal(daily(shop), expected(shop, tmp_path / "whole"))


def test_a_file_of_no_bytes_is_refused_or_changes_nothing(shop: Workspace, tmp_path: Path) -> None:
    before, named = daily(shop), stored_manifest(shop.output)
    (tmp_path / "orders-b.csv").write_bytes(b"")
    with pytest.raises(UserError, match="orders"):
        read(shop)
    pd.testing.assert_frame_equal(daily(shop), before)
    assert stored_manifest(shop.output) == named


@pytest.mark.parametrize(
    ("column", "name"), [("amount", "total"), ("customer", "client"), ("at", "date")]
)
def test_a_renamed_column_stops_the_run_and_leaves_what_is_stored(
    shop: Workspace, tmp_path: Path, column: str, name: str
) -> None:
    before, named = daily(shop), stored_manifest(shop.output)
    path = deliver(tmp_path, "b", new().rename(columns={column: name}))
    with pytest.raises(UserError):
        read(shop)
    pd.testing.assert_frame_equal(daily(shop), before)
    assert stored_manifest(shop.output) == named
    deliver(tmp_path, "b", new())  # fixed under the same name
    assert path.is_file()
    read(shop)
    pd.testing.assert_frame_equal(daily(shop), expected(shop, tmp_path / "whole"))


def test_a_new_column_and_another_order_of_columns_are_fine(
    shop: Workspace, tmp_path: Path
) -> None:
    frame = new().assign(note="x")
    deliver(tmp_path, "b", frame[sorted(frame.columns, reverse=True)])
    read(shop)
    pd.testing.assert_frame_equal(daily(shop), expected(shop, tmp_path / "whole"))


def test_values_of_another_type_are_set_aside_and_too_many_stop_the_run(
    shop: Workspace, tmp_path: Path
) -> None:
    before = daily(shop)
    deliver(tmp_path, "b", new().assign(amount="12,50 EUR"))
    with pytest.raises(UserError, match="bad rows"):
        read(shop)
    pd.testing.assert_frame_equal(daily(shop), before)
