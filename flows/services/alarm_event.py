"""Alarms of the monitor as an event of Prefect's, on which automations can act."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.services.console import warn
from flows.services.prefect_artifacts import in_a_run

EVENT = "stagecast.monitor.alarm"
MOST = 100  # alarms written out in one event: Prefect limits its size
FIGURES = (
    "check", "subject", "measure", "value", "expected", "limit", "p_value", "note",
)  # fmt: skip
ABOUT = ("snapshot_at", "run_id", "scorer_version", "mlflow_run_id", "page", "summary")


def emit(dataset: str, output: str, found: Mapping[str, Any], told: Sequence[str]) -> None:
    """Tell Prefect of the alarms of a monitor run; outside of a run, or without any, do nothing.

    A server that is out of reach, or refuses, is a warning and never ends the run.

    Parameters
    ----------
    dataset
        Name of the data set, of which the event's resource is named.
    output
        The output folder.
    found
        What the monitor found: ``alarms``, ``findings`` and what they are about.
    told
        Lines of the alarms that are new, or are told again because they have lasted.
    """
    if not found["alarms"] or not in_a_run():
        return
    from prefect.events import emit_event

    try:
        emit_event(
            EVENT,
            resource_of(dataset, found["alarms"], told),
            payload=payload_of(output, found, told),
        )
    except Exception as error:  # whatever the server or the way to it has
        warn(f"the alarm is no event in Prefect: {type(error).__name__}")


def resource_of(dataset: str, alarms: int, told: Sequence[str]) -> dict[str, str]:
    """Labels by which an automation chooses: ``stagecast.news`` is yes where a person should hear.

    Returns
    -------
    dict
        ``prefect.resource.id``, the same from day to day, and labels.
    """
    return {
        "prefect.resource.id": f"stagecast.monitor.{dataset}",
        "prefect.resource.name": f"monitor of {dataset}",
        "stagecast.alarms": str(alarms),
        "stagecast.news": "yes" if told else "no",
    }


def payload_of(output: str, found: Mapping[str, Any], told: Sequence[str]) -> dict[str, Any]:
    """What the event says: the alarms with their figures, and nothing of any customer."""
    rows = [row for row in found["findings"] if row["alarm"]]
    return {
        "output": output,
        **{name: found.get(name) for name in ABOUT},
        "told": list(told[:MOST]),
        "alarms": [{name: row[name] for name in FIGURES} for row in rows[:MOST]],
        "alarms_in_all": found["alarms"],
    }
