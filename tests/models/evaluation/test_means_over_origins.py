"""Means over origins, the calibration rule on a back-test, its plots and its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from features.errors import UserError
from models.evaluation import origin_page
from models.evaluation.backtest import require_earned_calibration
from models.evaluation.evaluate import Figure, compared, ends
from models.evaluation.means_over_origins import Chances, calibration_choice, means
from models.plots import origin_plots

DATES = ("2021-03-01", "2021-06-01")


def figure(method: str, metric: str, date: str, value: float | None, spread: float = 0.1) -> Figure:
    sample = None if value is None else value + spread * np.linspace(-1, 1, 201)
    low, high = ends(sample)
    return Figure("churn", method, date, 60, "all", metric, value, 500, low, high, sample=sample)


def test_the_mean_over_dates_draws_the_same_customers_at_each() -> None:
    own = [
        figure("champion", "auc", date, value)
        for date, value in zip(DATES, (0.7, 0.8), strict=True)
    ]
    base = [
        figure("rfm", "auc", date, value) for date, value in zip(DATES, (0.6, 0.75), strict=True)
    ]
    champion, rfm = means([*own, *base])
    assert (champion.value, champion.origins) == (pytest.approx(0.75), 2)
    # Errors of the same sign at both dates do not cancel.
    assert champion.high - champion.low == pytest.approx(own[0].high - own[0].low)
    assert rfm.difference == pytest.approx(0.075)
    assert [rfm.difference_low, rfm.difference_high] == pytest.approx([0.075, 0.075])
    assert champion.difference is None


def test_biases_of_opposite_sign_do_not_cancel_and_a_gap_is_left_out() -> None:
    found = means(
        [
            figure("champion", "bias_pct", DATES[0], -20.0),
            figure("champion", "bias_pct", DATES[1], 10.0),
            figure("champion", "auc", DATES[0], None),
            figure("champion", "auc", DATES[1], 0.7),
        ]
    )
    assert [(one.metric, one.value, one.origins) for one in found] == [
        ("bias_pct", 15.0, 2),
        ("auc", 0.7, 1),
    ]


def test_a_difference_is_of_the_dates_that_both_have() -> None:
    own = [
        figure("champion", "auc", date, value)
        for date, value in zip(DATES, (0.9, 0.8), strict=True)
    ]
    (_, rfm) = means([*own, figure("rfm", "auc", DATES[1], 0.75)])
    assert rfm.difference == pytest.approx(0.05)


def test_a_bias_is_compared_by_its_size() -> None:
    own = figure("champion", "bias_pct", DATES[0], -10.0)
    told = compared(figure("rfm", "bias_pct", DATES[0], 4.0), own)
    assert told.difference == pytest.approx(6.0)
    assert told.difference_low is not None
    assert told.difference_low > 0


def test_what_most_draws_leave_undefined_has_no_interval() -> None:
    half = np.where(np.arange(100) < 50, np.nan, 1.0)
    assert ends(half) == (None, None)
    assert ends(np.where(np.arange(100) < 49, np.nan, 1.0)) == (1.0, 1.0)


def origin(at: int, shift: float, seed: int = 0) -> Chances:
    random = np.random.default_rng(seed + at)
    p = random.uniform(0.05, 0.6, 3000)
    y = (random.random(3000) < 1 / (1 + np.exp(-(np.log(p / (1 - p)) + shift)))).astype(float)
    return Chances(at, y, p)


def test_a_map_is_adopted_only_where_it_won_at_three_later_origins() -> None:
    always = [origin(30 * number, 1.0) for number in range(6)]
    choice = calibration_choice(always, matures_after=60)
    assert choice.trials == 4
    assert choice.kind in ("platt", "beta", "isotonic")
    assert choice.wins["platt"] == 4
    assert calibration_choice(always[:4], matures_after=60).kind == "raw"
    assert "raw" in calibration_choice(always[:2], matures_after=60).told


def test_a_map_sees_only_labels_that_had_matured() -> None:
    # Off by a shift that changes its sign: what the day before could teach hurts a season later.
    turning = [origin(30 * n, (-1.0) ** (n // 2)) for n in range(8)]
    choice = calibration_choice(turning, matures_after=60)
    assert choice.trials == 6
    assert choice.kind == "raw"
    assert calibration_choice(turning, matures_after=1000).trials == 0


def records() -> list[dict[str, Any]]:
    rates = {"actual_rate": 0.2, "known_rate": 0.25, "rate": 0.24}
    rates |= {"known_rate_least": 0.2, "known_rate_most": 0.3}
    found = [
        figure(method, metric, date, value)
        for date in DATES
        for method, value in (("rfm", 0.7), ("champion", 0.8))
        for metric in ("auc", "log_loss", "bias_pct")
    ]
    found += [figure("champion", name, date, v) for date in DATES for name, v in rates.items()]
    return [one.as_dict() for one in found]


def test_a_record_is_plain_and_keeps_no_draws() -> None:
    one = figure("champion", "auc", DATES[0], 0.7).as_dict()
    assert "sample" not in one
    assert set(one) >= {"low", "high", "difference", "difference_low", "difference_high"}


def test_lines_over_origins_show_the_champion_first_and_every_date() -> None:
    data = origin_plots.over_origins_data(records(), "churn", ["auc", "bias_pct"])
    assert (
        data["method"].tolist() == ["champion"] * 2 + ["rfm"] * 2 + ["champion"] * 2 + ["rfm"] * 2
    )
    assert (data["low"] < data["value"]).all()
    FigureCanvasAgg(origin_plots.over_origins(records(), "churn", ["auc", "bias_pct"])).draw()
    one_date = [r for r in records() if r["snapshot_at"] == DATES[0]]
    FigureCanvasAgg(origin_plots.over_origins(one_date, "churn", ["auc"])).draw()


def test_base_rates_are_drawn_from_what_came_was_known_and_was_said() -> None:
    data = origin_plots.drift_data(records(), "churn").set_index(["method", "snapshot_at"])
    first = data.xs(DATES[0], level="snapshot_at")
    assert first["value"].to_dict() == {"came": 0.2, "known by then": 0.25, "predicted": 0.24}
    assert first.loc["known by then", ["low", "high"]].tolist() == [0.2, 0.3]
    assert len(origin_plots.drift_data(records(), "clv")) == 0
    FigureCanvasAgg(origin_plots.drift(records(), ["churn", "clv"])).draw()


def test_the_page_shows_sure_differences_bold_and_every_warning() -> None:
    own = [figure("champion", "auc", date, 0.8, 0.01) for date in DATES]
    base = [figure("rfm", "auc", date, 0.7, 0.01) for date in DATES]
    text = origin_page.page(
        "shop", means([*own, *base]), warnings=["beware"], skipped=["late"], calibration=None
    )
    assert "## churn, 60 days, 2 origins" in text
    assert "**+0.1 (+0.1 to +0.1)**" in text
    assert "- beware" in text
    assert "- left out: late" in text
    assert "Calibration" not in text


def test_a_map_is_served_only_where_the_back_test_adopts_it(tmp_path: Path) -> None:
    require_earned_calibration(tmp_path, "raw")
    with pytest.raises(UserError, match="there is none yet"):
        require_earned_calibration(tmp_path, "platt")
    (tmp_path / "backtest").mkdir()
    choice = calibration_choice([origin(30 * n, 1.0) for n in range(6)], matures_after=60)
    (tmp_path / "backtest" / "calibration.json").write_text(json.dumps(choice.as_dict()))
    require_earned_calibration(tmp_path, choice.kind)
    other = next(kind for kind in ("platt", "isotonic") if kind != choice.kind)
    with pytest.raises(UserError, match=choice.kind):
        require_earned_calibration(tmp_path, other)
