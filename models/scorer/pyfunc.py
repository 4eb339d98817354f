"""The model that MLflow loads, and safe error messages for MLflow's scoring server.

MLflow's server repeats rows of the request in its errors, adds the stack trace, and writes NaN into
its JSON. It offers no hook, so two of its functions are wrapped if it has been imported.
"""

from __future__ import annotations

import functools
import io
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel

from .artifacts import load_scorer
from .input_validation import InputRefused, check_keys_and_dates, prepare_input
from .predict import predict_scores
from .row_scoring import columns_of, score_columns

_SERVER = "mlflow.pyfunc.scoring_server"
_CSV = "text/csv"
_TABLE = (
    "the input is no table: expected JSON with one of dataframe_split and dataframe_records, CSV "
    "with a header line, or parquet"
)

_UNFIT = "the input does not fit the model's signature, or its parameters do not"
_NO_CSV = "the input is CSV, in which MLflow's server reads no dates: send JSON or parquet"


class Scorer(PythonModel):  # type: ignore[misc, unused-ignore]
    """MLflow model: loads the artifact folder ``scorer`` and predicts scored rows."""

    def load_context(self, context: Any) -> None:
        """Read the artifact folder."""
        self.parts, self.head = load_scorer(Path(context.artifacts["scorer"]))
        if _SERVER in sys.modules:
            guard(sys.modules[_SERVER])

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Scored rows; ``params={"scoring_context": JSON}`` replaces the training's context."""
        context_text = (params or {}).get("scoring_context") or ""
        scoring_context = (
            _scoring_context(context_text) if context_text else self.head["training_context"]
        )
        return predict_scores(self.parts, model_input, scoring_context, self.head)

    def score_columns(
        self, columns: Mapping[str, Any], scoring_context: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Scored rows of a few customers without a frame (`row_scoring.score_columns`)."""
        if scoring_context is None:
            scoring_context = self.head["training_context"]
        return score_columns(self.parts, columns, scoring_context, self.head)

    def score_many(
        self,
        rows: Sequence[Mapping[str, Any]],
        scoring_context: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Scored rows of customers, each a mapping of column names and values."""
        return self.score_columns(columns_of(rows, self.head), scoring_context)

    def score_one(
        self,
        row: Mapping[str, Any],
        scoring_context: Mapping[str, Any] | None = None,
        *,
        vector: Any = None,
    ) -> dict[str, Any]:
        """The scored row of one customer.

        Parameters
        ----------
        row
            customer_id, snapshot_at, pass-through columns, and the features unless `vector` has
            them.
        scoring_context
            Statistics of all customers; default: those of the training date.
        vector
            The features as numbers, in the order of ``head["features"]``.

        Raises
        ------
        InputRefused
            If a value is missing or of another type; the message names its column.
        """
        if vector is not None:
            names = [feature["name"] for feature in self.head["features"]]
            if len(vector) != len(names):
                raise InputRefused(f"the vector has {len(vector)} numbers, expected {len(names)}")
            row = {**row, **dict(zip(names, vector, strict=True))}
        return self.score_many([row], scoring_context)[0]


def _scoring_context(text: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise InputRefused("the parameter scoring_context is not a JSON object")
    return parsed


def guard(server: Any) -> None:
    """Wrap MLflow's scoring server: refusals name the column and no row, and NaN becomes null."""
    # Each version of this code in a process wraps once, and handles its own models only.
    guards: frozenset[str] = getattr(server.invocations, "guards", frozenset())
    if __name__ in guards:
        return
    answer_request, write_json = server.invocations, server.predictions_to_json

    @functools.wraps(answer_request)
    def guarded(data: Any, content_type: Any, model: Any, input_schema: Any) -> Any:
        scorer = _scorer_of(model)
        if scorer is None:
            return answer_request(data, content_type, model, input_schema)
        frame = _table(data, str(content_type))
        try:
            if frame is not None:
                # MLflow converts numbers to dates and ids to text before the model sees them.
                check_keys_and_dates(frame, scorer.head)
            return answer_request(data, str(content_type or "none"), model, input_schema)
        except Exception as error:
            message = refusal(error, frame, scorer.head, input_schema)
        if str(content_type).startswith(_CSV) and message == _UNFIT:
            message = _NO_CSV
        # Raised outside the handler, so that it is not chained to the error that shows rows.
        code = BAD_REQUEST if message == _TABLE else INVALID_PARAMETER_VALUE
        raise MlflowException(message, error_code=code)

    @functools.wraps(write_json)
    def strict_json(raw_predictions: Any, *arguments: Any, **named: Any) -> Any:
        return write_json(_with_nulls(raw_predictions), *arguments, **named)

    guarded.guards = guards | {__name__}  # type: ignore[attr-defined]
    server.invocations, server.predictions_to_json = guarded, strict_json


def _scorer_of(model: Any) -> Scorer | None:
    """The scorer in a loaded MLflow model; None for other models and code versions."""
    try:
        scorer = model.unwrap_python_model()
    except MlflowException:
        return None
    return scorer if isinstance(scorer, Scorer) else None


def refusal(
    error: Exception, frame: pd.DataFrame | None, head: Mapping[str, Any], schema: Any
) -> str:
    """Message for a refused request: names columns, and repeats neither MLflow's text nor rows.

    Parameters
    ----------
    error
        The error that MLflow raised.
    frame
        The table of the request, None if there is none.
    head
        Content of ``scorer.json``.
    schema
        The inputs of the model's signature.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InputRefused):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    if frame is None:
        return _TABLE
    try:
        prepare_input(frame, head)
    except InputRefused as refused:
        return str(refused)
    except Exception:
        return _TABLE
    # MLflow is stricter than `prepare_input`. Of its text, repeat only names of our own columns.
    mlflow_reason = str(error).rpartition("Error: ")[2]
    column_types = {column.name: str(column.type) for column in schema.inputs}
    named_columns = [
        name
        for name in column_types
        if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", mlflow_reason)
    ]
    if named_columns:
        name = named_columns[0]
        return f"input column {name}: expected {column_types[name]}, as the model's signature says"
    return _UNFIT


def _table(data: Any, content_type: str) -> pd.DataFrame | None:
    """The table in a request, with inferred types; None if there is none."""
    media_type = content_type.partition(";")[0].strip().lower()
    content = data.encode() if isinstance(data, str) else bytes(data)
    try:
        if media_type == _CSV:
            return pd.read_csv(io.BytesIO(content), dtype={"customer_id": "str"})
        if "parquet" in media_type:
            return pd.read_parquet(io.BytesIO(content))
        payload = json.loads(content)
        if "dataframe_split" in payload:
            table = payload["dataframe_split"]
            return pd.DataFrame(table["data"], columns=table["columns"])
        (rows,) = [payload[name] for name in ("dataframe_records", "instances", "inputs")
                   if name in payload]  # fmt: skip
        return pd.DataFrame(rows)
    except Exception:
        return None


def _with_nulls(predictions: Any) -> Any:
    """Replace missing and infinite values by None, since JSON has neither."""
    if not isinstance(predictions, pd.DataFrame):
        return predictions
    infinite = [float("inf"), float("-inf")]
    is_missing = predictions.isna() | predictions.isin(infinite)
    return predictions.astype(object).mask(is_missing, None)
