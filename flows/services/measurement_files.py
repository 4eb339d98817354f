"""Results of the measurement: effects and their history, sizes of waves, what must wait."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from features.storage.csv_files import write_csv
from features.storage.result_tables import (
    CAMPAIGN_EFFECTS,
    CAMPAIGN_EFFECTS_HISTORY,
    MEASUREMENT_FOLDER,
    read_results,
    result_file,
    write_results,
)

_HISTORY_FILE = "history.csv"
_WAITING_FILE = "not_yet_measurable.csv"


def write_measurement(
    output: Path,
    effects: pd.DataFrame,
    waves: pd.DataFrame,
    waiting: pd.DataFrame,
    *,
    through: pd.Timestamp,
) -> None:
    """Write the measurement of a day, and add its whole campaigns to the history.

    A second measurement of a day replaces the first. Effects and history are tables of the store,
    and CSV files for people.
    """
    folder = output / MEASUREMENT_FOLDER
    folder.mkdir(exist_ok=True)
    write_csv(folder / "waves.csv", waves)
    write_csv(folder / _WAITING_FILE, waiting)
    today = effects[effects["by"] == "all"].assign(measured_at=through.normalize())
    earlier = read_history(output)
    past = earlier[earlier["measured_at"] != through.normalize()]
    history = pd.concat([past, today], ignore_index=True) if len(past) else today
    write_results(output, CAMPAIGN_EFFECTS, effects)
    write_results(output, CAMPAIGN_EFFECTS_HISTORY, history)
    write_csv(folder / "effects.csv", read_effects(output))
    write_csv(folder / _HISTORY_FILE, read_history(output))


def read_effects(output: Path) -> pd.DataFrame:
    """Effects of the last measurement; empty without one."""
    return read_results(output, CAMPAIGN_EFFECTS)


def read_waiting(output: Path) -> pd.DataFrame:
    """Campaigns that the last measurement could not measure yet; empty without one.

    Returns
    -------
    DataFrame
        campaign_id, people, measurable_from (date; null: unknown) and reason.
    """
    file = output / MEASUREMENT_FOLDER / _WAITING_FILE
    if not file.is_file():
        return pd.DataFrame(columns=["campaign_id", "people", "measurable_from", "reason"])
    return pd.read_csv(file, dtype={"campaign_id": str, "measurable_from": str, "reason": str})


def read_history(output: Path) -> pd.DataFrame:
    """Effects of whole campaigns by day of measurement (``measured_at``); empty without any.

    What an earlier version measured stands in a CSV file alone: it cannot be measured again.
    """
    file = output / MEASUREMENT_FOLDER / _HISTORY_FILE
    if result_file(output, CAMPAIGN_EFFECTS_HISTORY).is_file() or not file.is_file():
        return read_results(output, CAMPAIGN_EFFECTS_HISTORY)
    history = pd.read_csv(file, dtype={"campaign_id": str, "note": str})
    history = history.rename(columns={"group": "group_name"})
    history["note"] = history["note"].fillna("")
    for column in ("measured_at", "answer_expected_at"):
        history[column] = pd.to_datetime(history[column])
    return history.reindex(columns=CAMPAIGN_EFFECTS_HISTORY.schema.names)
