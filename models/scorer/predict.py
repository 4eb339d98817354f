"""Scored rows from feature rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from .churn import predict_churn
from .clv import predict_clv
from .input_validation import InputRefused, prepared, typed
from .part import Part
from .score_columns import clv_columns, fact_columns, stage_columns, transition_columns
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
    """Scored rows of feature rows of one snapshot, in the order given; row-wise given the context.

    Parameters
    ----------
    parts
        Some or all of stage, transition, churn, clv and uplift. With a single part the rows hold
        the keys and its columns; else the whole scored row, null where a part is lacking.
    frame
        Keys, every feature of ``head["features"]`` in any order, and any pass-through columns.
    context
        Scoring context of the snapshot (`scorer_context`); may hold ``data_through``.
    head
        Content of ``scorer.json``.

    Returns
    -------
    Columns of `SCORED_COLUMNS` and the pass-through columns. ``scorer_version``, ``run_id`` and
    ``scored_at`` are null unless the context holds them.

    Raises
    ------
    InputRefused
        The frame or the context lacks something or holds another type.
    """
    if lacking := sorted(set(head["training_context"]) - set(context)):
        raise InputRefused(f"the scoring context lacks {lacking}; make it with scorer_context")
    names = scored_names(parts, head)
    frame = prepared(frame, head)
    if frame.empty:
        return pd.DataFrame({name: typed([], dtype) for name, dtype in names.items()})
    columns: dict[str, Any] = fact_columns(frame, head)
    rule_stage = columns["stage"]
    if "stage" in parts:
        late = late_inputs(frame)
        known = (frame, context) if late is None else (late, context["late"])
        columns |= stage_columns(predict_stage(parts["stage"], *known), head)
    if "transition" in parts:
        going = likely_moves(parts["transition"], frame, context)
        columns |= transition_columns(going, frame, head)
    if "churn" in parts:
        columns |= predict_churn(parts["churn"], frame, context)
    if "clv" in parts:
        columns |= clv_columns(predict_clv(parts["clv"], frame, context), frame, rule_stage, head)
    if "uplift" in parts:
        columns["uplift"] = uplift_rows(parts["uplift"], frame)
    for name in ("data_through", "scorer_version"):
        if name in context:
            columns[name] = [context[name]] * len(frame)
    passed_through = {name: frame[name] for name in names if name in frame}
    columns |= {"flags": ["[]"] * len(frame), "stage": rule_stage, **passed_through}
    empty = [None] * len(frame)
    return pd.DataFrame(
        {name: typed(columns.get(name, empty), dtype) for name, dtype in names.items()}
    )
