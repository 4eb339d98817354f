"""What the scorer may learn effects from, and what purchases earn, on the simulated shop."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from features.errors import UserError
from features.storage.runs import run_folder
from features.table.campaign_outcomes import outcomes
from features.table.feature_store import open_archive
from features.table.product_margins import Margins, margin_shares
from flows.services import uplift_history
from flows.services.campaign_plan import ALL_CAMPAIGNS, plan_run
from flows.services.sends import configured_sends
from flows.services.workspace import Workspace
from flows.target import write_plan
from models.tasks.uplift import shortage
from tests.flows.planned import made_up_scores, publish, published, simulated_shop, with_tallies

AT = dt.date(2024, 10, 21)  # the day of the send C6
DAY = (AT - dt.date(1970, 1, 1)).days


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A small shop with one published plan, ten weeks before the data end."""
    folder = tmp_path_factory.mktemp("history")
    config = simulated_shop(folder / "shop", customers=500)
    made = with_tallies(config, folder / "out", "experiments=[]")
    published(made, "r1", made_up_scores(made, AT))
    write_plan(made, "r1", plan_run(made, "r1", confirm=(ALL_CAMPAIGNS,)))
    publish(made, "r1")
    return made


def send(space: Workspace, folder: Path, **changes: object) -> str:
    """A declared experiment on one of the simulated sends."""
    content = {
        "name": "autumn",
        "table": str(space.output.parent / "shop" / "experiments" / "*.parquet"),
        "where": {"campaign_id": "C6-autumn-sale"},
        "customer_id": "customer_id",
        "sent_at": {"column": "sent_at"},
        "treatment": "treatment",
        "outcome": "responded",
        "propensity": "propensity",
        "campaigns": ["win_back"],
        **changes,
    }
    path = folder / "autumn.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def test_own_campaigns_count_once_their_time_has_passed(space: Workspace) -> None:
    found = {
        s.name: s
        for s in uplift_history._own_campaigns(uplift_history._own_entries(space, space.config()))
    }
    audience = pd.read_parquet(run_folder(space.output, "r1") / "audience.parquet")
    mine = audience[audience["campaign_id"] == "win_back"].set_index("customer_id")
    sent = found["win_back"].rows.set_index("customer_id")
    assert set(sent.index) == set(mine.index)
    arms = mine["arm"].reindex(sent.index)
    assert (sent["treatment"] == (arms == "treatment").astype(float)).all()
    assert set(sent["propensity"]) == {0.8}
    assert 0 < sent["response"].mean() < 1
    history = uplift_history._with_features(found["win_back"], space.archive())
    assert "500 of each are needed" in shortage(history)
    # Never held out, nobody learns what they change; nor whom nobody is written to.
    assert not {"service_recovery", "loyal_feedback_survey", "look_alike_seed"} & set(found)


def test_a_declared_send_gets_the_features_of_its_day(space: Workspace, tmp_path: Path) -> None:
    config = space.config().model_copy(update={"experiments": (send(space, tmp_path),)})
    (sent,) = configured_sends(config)
    day = int(sent.rows["day"].iloc[0])
    assert (sent.rows["day"] == day).all()
    assert sent.campaigns == ("win_back",)
    assert day == DAY
    archive = open_archive(space.output, config)
    history = uplift_history._with_features(sent, archive)
    features = archive.features(day).set_index("customer_id")
    first = history.experiment.covariates.iloc[0]
    expected = features.loc[sent.rows["customer_id"].iloc[0], first.index].astype(float)
    pd.testing.assert_series_equal(first, expected, check_names=False)
    assert not [name for name in first.index if "year_ago" in name]


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"sent_at": None}, "sent_at"),
        ({"customer_id": None}, "customer_id"),
        ({"outcome": "spend"}, "0 and 1"),
    ],
)
def test_a_send_that_the_scorer_cannot_use_is_refused(
    space: Workspace, tmp_path: Path, changes: dict[str, object], part: str
) -> None:
    config = space.config().model_copy(update={"experiments": (send(space, tmp_path, **changes),)})
    with pytest.raises(UserError, match=part):
        configured_sends(config)


def test_margins_are_those_of_the_products_bought(space: Workspace) -> None:
    config = space.config()
    margins = Margins.of(config, AT)
    assert margins is not None
    shop = space.output.parent / "shop"
    products = pd.read_parquet(shop / "products.parquet")
    by_value = products.groupby(margins.attribute)["margin"].mean()
    pd.testing.assert_series_equal(
        margins.shares.sort_index(), by_value.sort_index(), check_names=False
    )
    shares = margin_shares(space.output, config, at=DAY, day=AT)
    events = pd.concat(pd.read_parquet(p) for p in sorted((shop / "events").glob("*.parquet")))
    lines = events[(events["event_type"] == "purchase") & (events["known_at"] < str(AT))]
    share = lines[margins.attribute].astype(str).map(by_value)
    own = share.groupby(lines["customer_id"].astype(str)).agg(["sum", "count"])
    expected = (own["sum"] + 5 * share.mean()) / (own["count"] + 5)
    pd.testing.assert_series_equal(
        shares.sort_index(), expected.sort_index(), check_names=False, check_exact=False
    )


def test_measured_margins_are_those_of_what_was_bought(space: Workspace) -> None:
    config = space.config()
    margins = Margins.of(config, AT)
    assert margins is not None
    shop = space.output.parent / "shop"
    events = pd.concat(pd.read_parquet(p) for p in sorted((shop / "events").glob("*.parquet")))
    entries = pd.DataFrame(
        {
            "customer_id": sorted(events["customer_id"].astype(str).unique()),
            "entered_at": pd.Timestamp(AT),
            "within_days": 60,
            "role": "purchase",
        }
    )
    found = outcomes(space.output, config, entries, margin=0.9).set_index(entries["customer_id"])
    at = events["occurred_at"].dt.tz_localize(None)
    bought = events[
        (events["event_type"] == "purchase")
        & (at >= pd.Timestamp(AT))
        & (at < pd.Timestamp(AT) + pd.Timedelta(days=60))
    ]
    share = bought[margins.attribute].astype(str).map(margins.shares)
    expected = share.groupby(bought["customer_id"].astype(str)).mean()
    some = found[found["revenue"] > 0]
    assert len(some) > 20
    assert np.allclose(some["margin"] / some["revenue"], expected.reindex(some.index))
    # Products without margins leave the config's share.
    plain = config.model_copy(update={"products": None})
    other = outcomes(space.output, plain, entries, margin=0.9)
    assert np.allclose(other["margin"], 0.9 * other["revenue"])
