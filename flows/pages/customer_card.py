"""What the card of a customer shows: figures, reasons, and the timeline of the last year."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from features.calendar import day_date, day_number, grid_back
from features.contracts import ROLE_WORDS
from features.errors import UserError
from features.lifecycle.stage_engine import stage_at
from features.lifecycle.stage_explanations import stage_reasons
from features.lifecycle.taxonomy import Stage
from features.table.customer_tallies import stored_tallies
from features.table.snapshot_builder import Builder
from flows.report.chart_theme import ACCENT, stage_colours, stages_by_rank
from flows.report.customer_timeline import daily_activity, stage_paths
from flows.report.figure import cell_text
from flows.services.score_events import OpenScorer
from models.explaining.reasons import REASON_SENTENCES, ReasonWords, score_reasons
from models.serving.scoring_input import scoring_columns, stage_late_days

_BACK_DAYS = 364
_EVERY_DAYS = 7


@dataclass(frozen=True)
class CustomerHistory:
    """What the stored events say of a customer.

    Attributes
    ----------
    why
        Why the rules put the customer into the stage.
    reasons
        Sentences on the scores, the strongest first.
    activity
        From `flows.report.customer_timeline.daily_activity`, with role in words and date.
    stays
        stage, start, end (dates) of the last year.
    """

    why: str
    reasons: tuple[str, ...]
    activity: pd.DataFrame
    stays: pd.DataFrame


def customer_history(
    scorer: OpenScorer, output: Path, customer: str, stage_since: dt.date | None
) -> CustomerHistory:
    """Stage, reasons and events of a customer, from the stored tallies of this customer alone.

    Parameters
    ----------
    scorer
        The open scorer of the run.
    output
        The output folder.
    customer
        Id of a customer of the run.
    stage_since
        Start of the present stay, which the weekly grid of earlier ones does not hit.

    Raises
    ------
    UserError
        If the tallies cannot be read, or hold nothing of this customer.
    """
    at = day_number(scorer.run.snapshot_at)
    builder = scorer.scorer.builder_of(stored_tallies(output, [customer], at))
    positions = np.flatnonzero(builder.history.customers == customer)
    if not len(positions):
        raise UserError(
            "the stored events",
            found="no events of this customer",
            expected="those that the scores were made from",
            hint="run `stagecast score` with this output folder",
        )
    codes = stage_at(builder.taxonomy, builder.history, at, positions=positions)
    why = stage_reasons(
        builder.taxonomy, builder.history.take(positions), at, codes,
        minor_units=builder.config.minor_units,
    )  # fmt: skip
    activity = daily_activity(builder, positions, first=at - _BACK_DAYS, at=at)
    words = {role: names[0] for role, names in ROLE_WORDS.items()}
    activity = activity.assign(
        what=activity["role"].map(lambda role: words.get(role, role)),
        date=[day_date(int(day)) for day in activity["day"]],
    )
    return CustomerHistory(
        why[0] if why else "",
        _reasons(scorer, builder, customer, at),
        activity.sort_values("day", ascending=False, kind="stable"),
        _stays(builder, positions, at, stage_since),
    )


def _reasons(scorer: OpenScorer, builder: Builder, customer: str, at: int) -> tuple[str, ...]:
    loaded, config = scorer.scorer.loaded, builder.config
    columns = scoring_columns(builder, at, late_days=stage_late_days(loaded.parts))
    frame = pd.DataFrame(columns)
    frame = frame[frame["customer_id"] == customer]
    words = ReasonWords.of(
        builder.spec, loaded.head["stages"], config.sensitive,
        currency=config.currency, period_days=config.transition.period_days,
    )  # fmt: skip
    rows = score_reasons(loaded.parts, frame, scorer.scorer.scoring_context, words)
    return tuple(
        text for _, row in rows.iterrows() for name in REASON_SENTENCES
        if isinstance(text := row[name], str)
    )  # fmt: skip


def _stays(builder: Builder, positions: Any, at: int, stage_since: dt.date | None) -> pd.DataFrame:
    """Consecutive weeks in one stage as one stay."""
    days = grid_back(at, every_days=_EVERY_DAYS, first=at - _BACK_DAYS)
    rows: list[dict[str, Any]] = []
    codes = stage_paths(builder, positions, days)[0]
    for day, end, code in zip(days, [*days[1:], at], codes, strict=True):
        if code < 0 or day == end:
            continue
        name = builder.taxonomy.names[int(code)]
        if rows and rows[-1]["stage"] == name:
            rows[-1]["end"] = day_date(int(end))
        else:
            rows.append({"stage": name, "start": day_date(int(day)), "end": day_date(int(end))})
    if len(rows) > 1 and stage_since is not None:
        since = max(stage_since, rows[-2]["start"])
        rows[-1]["start"] = rows[-2]["end"] = since
    return pd.DataFrame(rows, columns=["stage", "start", "end"])


def timeline_chart(history: CustomerHistory, stages: Sequence[Stage]) -> Any:
    """Draw stays in stages and days with events, as on the report's card."""
    order, colours = stages_by_rank(stages), stage_colours(stages)
    lanes = ["stage", *dict.fromkeys(history.activity["what"])]
    y = alt.Y("lane:N", title=None, sort=lanes, scale=alt.Scale(domain=lanes))
    axis = alt.Axis(format="%b %y", grid=False, tickCount=6)
    stays = history.stays.assign(
        lane="stage", start=history.stays["start"].astype(str), end=history.stays["end"].astype(str)
    )
    bars = (
        alt.Chart(stays)
        .mark_bar(height={"band": 0.6}, cornerRadius=2)
        .encode(
            x=alt.X("start:T", title=None, axis=axis, scale=alt.Scale(type="utc")),
            x2="end:T",
            y=y,
            color=alt.Color(
                "stage:N",
                legend=alt.Legend(title=None),
                scale=alt.Scale(domain=order, range=[colours[name] for name in order]),
            ),
        )
    )
    if history.activity.empty:
        return bars
    size = history.activity["value"].abs().fillna(history.activity["count"])
    events = pd.DataFrame(
        {
            "lane": history.activity["what"],
            "date": history.activity["date"].astype(str),
            "size": size.astype(float),
        }
    )
    points = (
        alt.Chart(events)
        .mark_point(filled=True, opacity=0.75, color=ACCENT)
        .encode(
            x=alt.X("date:T", title=None, axis=axis, scale=alt.Scale(type="utc")),
            y=y,
            size=alt.Size("size:Q", legend=None, scale=alt.Scale(range=[24, 260])),
        )
    )
    return bars + points


def customer_tiles(
    row: Mapping[str, Any], churn_days: int, value_days: int, currency: str
) -> list[tuple[str, str, str]]:
    """The figures of a card: label, value and a hint; those without a value are left out."""

    def money(name: str) -> str:
        return cell_text(row.get(name), "money", currency)

    def percent(name: str) -> str:
        return cell_text(row.get(name), "percent")

    def text(name: str) -> str:
        return str(row.get(name) or "").replace("_", " ")

    def known(name: str) -> bool:
        return row.get(name) is not None

    since = cell_text(row.get("stage_since"), "date") if known("stage_since") else ""
    sub_stage = f" ({text('sub_stage')})" if known("sub_stage") else ""
    candidates = (
        ("stage", "Stage", text("stage") + sub_stage, f"since {since}" if since else ""),
        ("stage_predicted", "Most likely stage by the model", text("stage_predicted"),
         f"{percent('stage_confidence')} probability"),
        ("p_churn", f"Churn risk, {churn_days} days", percent("p_churn"),
         f"{text('churn_band')} compared with similar customers"),
        ("clv", f"Expected spend, {value_days} days", money("clv"),
         f"8 of 10 such customers: {money('clv_low')} to {money('clv_high')}"),
        ("next_stage", "Next stage, if it changes", text("next_stage"),
         f"{percent('p_move')} chance of a change"),
        ("p_first_purchase", f"Chance of a first purchase, {value_days} days",
         percent("p_first_purchase"), f"lead band {text('lead_band')} (A is best)"),
        ("p_reactivate", f"Chance of coming back, {value_days} days", percent("p_reactivate"), ""),
        ("expected_next_order_at", "Next order expected by",
         cell_text(row.get("expected_next_order_at"), "date"), ""),
        ("lapses_at_if_silent", "Lapses on", cell_text(row.get("lapses_at_if_silent"), "date"),
         "if nothing else happens"),
        ("historic_clv", "Spent so far", money("historic_clv"), f"value tier {text('value_tier')}"),
    )  # fmt: skip
    return [(label, value, hint) for name, label, value, hint in candidates if known(name)]
