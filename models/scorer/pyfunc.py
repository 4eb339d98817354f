"""The model that MLflow loads, and what its scoring server answers where it must refuse.

MLflow's server repeats the request's rows in its errors, adds the stack trace, and writes NaN into
its JSON. It offers no hook, so that two of its functions are wrapped where it has been imported.
"""

from __future__ import annotations

import functools
import io
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel

from .artifacts import load_scorer
from .input_validation import InputRefused, check_keys_and_dates, prepared
from .predict import predict_scores

SERVER = "mlflow.pyfunc.scoring_server"
CSV = "text/csv"
TABLE = (
    "the input is no table: expected JSON with one of dataframe_split and dataframe_records, CSV "
    "with a header line, or parquet"
)

UNFIT = "the input does not fit the model's signature, or its parameters do not"
NO_CSV = "the input is CSV, in which MLflow's server reads no dates: send JSON or parquet"


class Scorer(PythonModel):  # type: ignore[misc, unused-ignore]
    """What MLflow loads: the parts of the folder ``scorer`` among the artifacts, and `predict`."""

    def load_context(self, context: Any) -> None:
        """Read the artifact folder."""
        self.parts, self.head = load_scorer(Path(context.artifacts["scorer"]))
        if SERVER in sys.modules:
            guard(sys.modules[SERVER])

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Scored rows; ``params={"scoring_context": JSON}``, by default that of the training."""
        text = (params or {}).get("scoring_context") or ""
        scoring = _scoring_context(text) if text else self.head["training_context"]
        return predict_scores(self.parts, model_input, scoring, self.head)


def _scoring_context(text: str) -> Mapping[str, Any]:
    try:
        scoring = json.loads(text)
    except (ValueError, RecursionError):
        scoring = None
    if not isinstance(scoring, dict):
        raise InputRefused("the parameter scoring_context is not a JSON object")
    return scoring


def guard(server: Any) -> None:
    """Wrap MLflow's scoring server: refusals name the column and no row, and NaN becomes null."""
    # Each version of this code that a process loads wraps once, and answers for its own models.
    guards: frozenset[str] = getattr(server.invocations, "guards", frozenset())
    if __name__ in guards:
        return
    answer, write_json = server.invocations, server.predictions_to_json

    @functools.wraps(answer)
    def guarded(data: Any, content_type: Any, model: Any, input_schema: Any) -> Any:
        scorer = _scorer_of(model)
        if scorer is None:
            return answer(data, content_type, model, input_schema)
        frame = _table(data, str(content_type))
        try:
            if frame is not None:
                # MLflow makes a date of any number, and a text of any id, before we see them.
                check_keys_and_dates(frame, scorer.head)
            return answer(data, str(content_type or "none"), model, input_schema)
        except Exception as error:
            message = refusal(error, frame, scorer.head, input_schema)
        if str(content_type).startswith(CSV) and message == UNFIT:
            message = NO_CSV
        # Outside the handler: the refusal must not carry the error that shows the rows.
        code = BAD_REQUEST if message == TABLE else INVALID_PARAMETER_VALUE
        raise MlflowException(message, error_code=code)

    @functools.wraps(write_json)
    def strict_json(raw_predictions: Any, *arguments: Any, **named: Any) -> Any:
        return write_json(_with_nulls(raw_predictions), *arguments, **named)

    guarded.guards = guards | {__name__}  # type: ignore[attr-defined]
    server.invocations, server.predictions_to_json = guarded, strict_json


def _scorer_of(model: Any) -> Scorer | None:
    """The scorer behind what MLflow loaded; None for another model, or another version's code."""
    try:
        scorer = model.unwrap_python_model()
    except MlflowException:
        return None
    return scorer if isinstance(scorer, Scorer) else None


def refusal(
    error: Exception, frame: pd.DataFrame | None, head: Mapping[str, Any], schema: Any
) -> str:
    """Why a request was refused: our own words about columns, nothing of MLflow's or the rows.

    Parameters
    ----------
    error
        What MLflow raised.
    frame
        The request's table, None where it holds none.
    head
        Content of ``scorer.json``.
    schema
        The inputs of the model's signature.
    """
    own: BaseException | None = error
    while own is not None:
        if isinstance(own, InputRefused):
            return str(own)
        own = own.__cause__ or own.__context__
    if frame is None:
        return TABLE
    try:
        prepared(frame, head)
    except InputRefused as refused:
        return str(refused)
    except Exception:
        return TABLE
    # MLflow is stricter than we are. Of what it says, only names of our own columns are repeated.
    reason = str(error).rpartition("Error: ")[2]
    types = {column.name: str(column.type) for column in schema.inputs}
    named = [name for name in types if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", reason)]
    if named:
        return f"input column {named[0]}: expected {types[named[0]]}, as the model's signature says"
    return UNFIT


def _table(data: Any, content_type: str) -> pd.DataFrame | None:
    """The table in a request, its types guessed; None where there is none."""
    kind = content_type.partition(";")[0].strip().lower()
    body = data.encode() if isinstance(data, str) else bytes(data)
    try:
        if kind == CSV:
            return pd.read_csv(io.BytesIO(body), dtype={"customer_id": "str"})
        if "parquet" in kind:
            return pd.read_parquet(io.BytesIO(body))
        payload = json.loads(body)
        if "dataframe_split" in payload:
            table = payload["dataframe_split"]
            return pd.DataFrame(table["data"], columns=table["columns"])
        (rows,) = [payload[name] for name in ("dataframe_records", "instances", "inputs")
                   if name in payload]  # fmt: skip
        return pd.DataFrame(rows)
    except Exception:
        return None


def _with_nulls(predictions: Any) -> Any:
    """A frame with None where there is no value or no finite one: JSON knows no NaN."""
    if not isinstance(predictions, pd.DataFrame):
        return predictions
    infinite = [float("inf"), float("-inf")]
    missing = predictions.isna() | predictions.isin(infinite)
    return predictions.astype(object).mask(missing, None)
