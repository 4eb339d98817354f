"""How many customers each stage will have in the next months, as things are and if they change."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from features.calendar import day_date
from features.lifecycle.taxonomy import Stage
from features.table.snapshot_builder import Builder
from flows.report.chart_theme import numbers_axis
from flows.report.figure import Column, DataTable, Figure, cell_text, date_text
from flows.report.purchase_history import PurchaseDays
from models.forecasting.stage_forecast import StageForecast, forecast_stages
from models.forecasting.stage_moves import GRID_DAYS
from models.forecasting.stage_states import STEP_DAYS, stage_states

AS_IS = "nothing changes"
_MORE, _FEWER = "20 % more silent customers return", "20 % fewer silent customers return"
_LESS = "active customers order 10 % less often"
_MOST_CUSTOMERS = 50_000  # beyond that, a random sample
_MOST_DATES = 110  # of the grid: three years
_PAST_MONTHS = 6  # drawn before the forecast
OUTLOOK_COLUMNS = ["scenario", "at", "months", "stage", "expected", "low", "high"]


def stage_outlook(builder: Builder, at: int, *, seed: int) -> pd.DataFrame:
    """Forecast the counts by stage, and what other courses of events would change.

    Parameters
    ----------
    builder
        Taxonomy and history.
    at
        Day number of the scores.
    seed
        Of the random sample of large populations.

    Returns
    -------
    DataFrame
        scenario (`AS_IS`, or a change), at (date), months (ahead; 0 and below: counted, the same in
        all scenarios), stage, expected, low, high (customers; 80 % interval). Empty if the past is
        too short to know the errors of a forecast.
    """
    count, positions = len(builder.history.customers), None
    if count > _MOST_CUSTOMERS:
        generator = np.random.default_rng(seed)
        positions = np.sort(generator.choice(count, size=_MOST_CUSTOMERS, replace=False))
    first = max(builder.span.first, at - _MOST_DATES * GRID_DAYS)
    days = list(range(at, first, -GRID_DAYS))[::-1]
    states = stage_states(builder.taxonomy, builder.history, days, positions)
    forecast = forecast_stages(states) if len(days) else None
    if forecast is None:
        return pd.DataFrame(columns=OUTLOOK_COLUMNS)
    past = _counted(forecast)
    silent = [stage.name for stage in builder.taxonomy.stages if stage.silent is not None]
    blocks = [
        pd.concat([past, table.table()]).assign(scenario=name)
        for name, table in _courses(forecast, silent)
    ]
    outlook = pd.concat(blocks, ignore_index=True)[OUTLOOK_COLUMNS]
    if positions is not None:
        outlook[["expected", "low", "high"]] *= count / _MOST_CUSTOMERS
    return outlook


def _courses(forecast: StageForecast, silent: Sequence[str]) -> list[tuple[str, StageForecast]]:
    """Name and forecast of every course of events; that without a change comes last."""
    courses = [(AS_IS, forecast)]
    active = [name for name in forecast.steps.names if name not in silent]
    if silent and active:
        courses += [
            (_LESS, forecast.what_if(0.9, active)),
            (_FEWER, forecast.what_if(0.8, silent)),
            (_MORE, forecast.what_if(1.2, silent)),
        ]
    return courses[::-1]


def _counted(forecast: StageForecast) -> pd.DataFrame:
    """Counts of the months before the forecast, in the columns of its table."""
    steps, rows = forecast.steps, []
    counts = steps.counts(steps.sizes)
    for month in range(_PAST_MONTHS, 0, -1):
        place = np.flatnonzero(steps.grid == forecast.day - month * STEP_DAYS)
        for code, stage in enumerate(steps.names if len(place) else ()):
            number = float(counts[place[0], code])
            rows.append(
                (day_date(forecast.day - month * STEP_DAYS), -month, stage, number, number, number)
            )
    return pd.DataFrame(rows, columns=OUTLOOK_COLUMNS[1:])


def monthly_spend(days: PurchaseDays, at: int, active: int) -> float:
    """Spend of an active customer in 30 days, from the orders of the last 90; NaN without any."""
    recent = float(days.spent[days.day >= at - 3 * STEP_DAYS].sum())
    return recent / 3 / active if active else float("nan")


def outlook_sentences(
    outlook: pd.DataFrame, stages: Sequence[Stage], spend: float, currency: str
) -> list[str]:
    """Say what is expected in three months, and the price of silence.

    Parameters
    ----------
    outlook
        From `stage_outlook`.
    stages
        The taxonomy's stages.
    spend
        From `monthly_spend`.
    currency
        Of the spend.
    """
    if outlook.empty:
        return []
    silent = [stage.name for stage in stages if stage.silent is not None]
    highest = max(stages, key=lambda stage: stage.rank).name
    plain = outlook[outlook["scenario"] == AS_IS]
    month = min(3, int(plain["months"].max()))
    then = plain[plain["months"] == month].set_index("stage")
    now = plain[plain["months"] == 0].set_index("stage")["expected"]
    parts = [
        f"{_number(then.loc[name, 'low'])} to {_number(then.loc[name, 'high'])} customers are "
        f"expected in {name} ({_number(now[name])} today)"
        for name in dict.fromkeys([highest, *silent])
    ]
    day = date_text(plain.loc[plain["months"] == month, "at"].iloc[0])
    sentences = [f"On {day}, {' and '.join(parts)}."]
    if silent and (outlook["scenario"] == _FEWER).any():
        sentences.append(_price_of_silence(outlook, silent, spend, currency))
    return sentences


def _price_of_silence(
    outlook: pd.DataFrame, silent: Sequence[str], spend: float, currency: str
) -> str:
    """Say what fewer returning customers would cost, at what an active customer spends now."""
    last = outlook[outlook["months"] == outlook["months"].max()]
    active = last[~last["stage"].isin(silent)].groupby("scenario")["expected"].sum()
    lost, won = active[AS_IS] - active[_FEWER], active[_MORE] - active[AS_IS]
    text = (
        f"The price of silence: if 20 % fewer silent customers came back, {_number(lost)} fewer "
        f"customers would be active after {int(last['months'].iloc[0])} months"
    )
    if np.isfinite(spend) and spend > 0:
        money = cell_text(lost * spend, "money", currency)
        text += f" ({money} a month at what an average active customer spends)"
    return f"{text}; if 20 % more came back, {_number(won)} more."


def _number(value: float) -> str:
    return cell_text(value, "int")


def outlook_figure(outlook: pd.DataFrame, colours: dict[str, str], notes: Sequence[str]) -> Figure:
    """Draw `stage_outlook`: the last months, the expected counts, and their 80 % intervals."""
    base = alt.Chart().encode(
        x=alt.X(
            "at:T",
            title=None,
            scale=alt.Scale(type="utc"),
            axis=alt.Axis(format="%b %y", tickCount=6, grid=False, labelOverlap=True),
        ),
        color=alt.Color(
            "stage:N",
            scale=alt.Scale(domain=list(colours), range=list(colours.values())),
            legend=alt.Legend(title=None, symbolOpacity=1),
        ),
    )
    tooltips = [
        alt.Tooltip("stage:N"),
        alt.Tooltip("at:N", title="date"),
        alt.Tooltip("expected:Q", title="customers", format=",.0f"),
        alt.Tooltip("low:Q", title="80 % interval from", format=",.0f"),
        alt.Tooltip("high:Q", title="to", format=",.0f"),
    ]
    # The past is the same in all courses: drawn from one set, listed with the course as it is.
    is_past = (outlook["scenario"] == AS_IS) & (outlook["months"] <= 0)
    listed = outlook[is_past | (outlook["months"] >= 0)].reset_index(drop=True)
    past = base.properties(data=alt.NamedData("past"))
    coming = base.properties(data=alt.NamedData("outlook")).transform_filter("datum.months >= 0")
    band = coming.mark_area(opacity=0.22).encode(
        y=alt.Y("low:Q", title="customers", axis=numbers_axis()), y2="high:Q", tooltip=tooltips
    )
    lines = [
        past.mark_line(strokeWidth=2).encode(y="expected:Q", tooltip=tooltips),
        coming.mark_line(strokeWidth=2, strokeDash=[5, 4]).encode(y="expected:Q", tooltip=tooltips),
        coming.mark_point(filled=True, size=28).encode(y="expected:Q", tooltip=tooltips),
    ]
    plain = outlook[outlook["scenario"] == AS_IS]
    last = plain[plain["months"] == plain["months"].max()]
    said = ", ".join(
        f"{row.stage} {_number(row.expected)} ({_number(row.low)} to {_number(row.high)})"
        for row in last.itertuples()
    )
    return Figure(
        key="outlook",
        title="Stages in the next months",
        caption="Dashed lines continue the moves of the last months; the shaded range should hold "
        "the count in 4 of 5 cases, because it is as wide as the errors of such forecasts in the "
        "past. Choose what changes, and compare.",
        alt=f"Lines of customers by stage, past and expected. On {last['at'].iloc[0]}: {said}.",
        chart=alt.layer(band, *lines),
        data={"outlook": listed, "past": outlook[is_past].reset_index(drop=True)},
        table=DataTable(
            "outlook",
            (
                Column("scenario", "If"),
                Column("at", "Date", "date"),
                Column("stage", "Stage"),
                Column("expected", "Customers", "int"),
                Column("low", "From", "int"),
                Column("high", "To", "int"),
            ),
        ),
        choice=("scenario", "If"),
        height=340,
        wide=True,
        notes=notes,
    )
