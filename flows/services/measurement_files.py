"""Files of the measurement: effects, sizes of waves, what must wait, and the history of effects."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from campaigns.measurement import EFFECT_COLUMNS
from features.storage.csv_files import write_csv

MEASUREMENT_FOLDER = "measurement"
_EFFECTS, _HISTORY = "effects.csv", "history.csv"


def write_measurement(
    output: Path,
    effects: pd.DataFrame,
    waves: pd.DataFrame,
    waiting: pd.DataFrame,
    *,
    through: pd.Timestamp,
) -> None:
    """Write the measurement of a day, and add its whole campaigns to the history.

    A second measurement of a day replaces the first.
    """
    folder = output / MEASUREMENT_FOLDER
    folder.mkdir(exist_ok=True)
    write_csv(folder / _EFFECTS, effects)
    write_csv(folder / "waves.csv", waves)
    write_csv(folder / "not_yet_measurable.csv", waiting)
    day = str(through.date())
    today = effects[effects["by"] == "all"].assign(measured_at=day)
    earlier = read_history(output)
    past = earlier[earlier["measured_at"] != day]
    write_csv(
        folder / _HISTORY, pd.concat([past, today], ignore_index=True) if len(past) else today
    )


def read_effects(output: Path) -> pd.DataFrame:
    """Effects of the last measurement; empty without one."""
    return _read(output / MEASUREMENT_FOLDER / _EFFECTS, list(EFFECT_COLUMNS))


def read_history(output: Path) -> pd.DataFrame:
    """Effects of whole campaigns by day of measurement (``measured_at``); empty without any."""
    return _read(output / MEASUREMENT_FOLDER / _HISTORY, [*EFFECT_COLUMNS, "measured_at"])


def _read(file: Path, columns: list[str]) -> pd.DataFrame:
    if not file.is_file():
        return pd.DataFrame(columns=columns)
    texts = dict.fromkeys(("campaign_id", "group", "measured_at", "note"), str)
    frame = pd.read_csv(file, dtype=texts)
    return frame.assign(note=frame["note"].fillna(""))
