"""Predict scored rows from feature rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .churn import predict_churn
from .clv import predict_clv
from .coherence import agreeing_moves, order_chances
from .feature_rows import FeatureRows
from .input_validation import InputRefused, convert_column, prepare_input
from .part import Part
from .score_columns import clv_columns, current_stage_columns, fact_columns, transition_columns
from .scored_row import scored_names
from .scoring_context import late_inputs
from .stage import predict_stage
from .transition import likely_moves
from .uplift import uplift_rows


def predict_scores(
    parts: Mapping[str, Part],
    frame: pd.DataFrame,
    context: Mapping[str, Any],
    head: Mapping[str, Any],
) -> pd.DataFrame:
    """Scored rows of one snapshot, in the order of the input; rows are independent of each other.

    Parameters
    ----------
    parts
        Some or all of stage, transition, churn, clv and uplift. With a single part the rows hold
        the keys and its columns; else the whole scored row, with nulls for missing parts.
    frame
        Keys, every feature of ``head["features"]`` in any order, and any pass-through columns.
    context
        Scoring context of the snapshot (`scorer_context`); may hold ``data_through``.
    head
        Content of ``scorer.json``.

    Returns
    -------
    Columns of ``head["scored_row"]`` and the pass-through columns. ``scorer_version``, ``run_id``
    and ``scored_at`` are null unless the context holds them.

    Raises
    ------
    InputRefused
        If the frame or the context lacks an entry or has another type.
    """
    refuse_context(context, head)
    names = scored_names(parts, head)
    rows, passed = prepare_input(frame, head)
    if not len(rows):
        return pd.DataFrame({name: convert_column([], dtype) for name, dtype in names.items()})
    columns = predict_columns(parts, rows, context, head) | passed
    nulls = [None] * len(rows)
    return pd.DataFrame(
        {name: convert_column(columns.get(name, nulls), dtype) for name, dtype in names.items()}
    )


def refuse_context(context: Mapping[str, Any], head: Mapping[str, Any]) -> None:
    """Refuse a scoring context that lacks what the models need.

    Raises
    ------
    InputRefused
        It names the entries.
    """
    if missing_keys := sorted(set(head["training_context"]) - set(context)):
        raise InputRefused(f"the scoring context lacks {missing_keys}; make it with scorer_context")


def predict_columns(
    parts: Mapping[str, Part],
    frame: FeatureRows,
    context: Mapping[str, Any],
    head: Mapping[str, Any],
) -> dict[str, Any]:
    """Columns of the scored row that facts and models fill, one value a row.

    Parameters
    ----------
    parts, context, head
        As for `predict_scores`.
    frame
        Checked keys and features of at least one row.

    Returns
    -------
    dict
        Arrays or lists by column; columns that are passed through come on top of them.
    """
    columns: dict[str, Any] = fact_columns(frame, head)
    rule_stage = columns["stage"]
    if "stage" in parts:
        late_frame = late_inputs(frame)
        stage_inputs = (frame, context) if late_frame is None else (late_frame, context["late"])
        columns |= current_stage_columns(predict_stage(parts["stage"], *stage_inputs), head)
    churn = predict_churn(parts["churn"], frame, context) if "churn" in parts else {}
    columns |= churn
    clv: dict[str, Any] = {}
    if "clv" in parts:
        p_order = order_chances(parts["clv"], parts.get("churn"), churn)
        clv = predict_clv(parts["clv"], frame, context, p_order=p_order)
        columns |= clv_columns(clv, frame, rule_stage, head)
    if "transition" in parts:
        likely = likely_moves(parts["transition"], frame, context)
        if clv:
            grid = parts["transition"].parameters
            likely = agreeing_moves(
                likely,
                clv,
                frame,
                lapsed=np.asarray(rule_stage == head["lapsed_stage"]),
                reach_days=grid["periods"] * grid["period_days"],
            )
        columns |= transition_columns(likely, frame, head)
    if "uplift" in parts:
        columns["uplift"] = uplift_rows(parts["uplift"], frame)
    for name in ("data_through", "scorer_version"):
        if name in context:
            columns[name] = [context[name]] * len(frame)
    return columns | {"flags": ["[]"] * len(frame), "stage": rule_stage}
