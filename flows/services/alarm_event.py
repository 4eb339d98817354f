"""Emit the monitor's alarms as a Prefect event that automations can react to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.services.console import warn
from flows.services.prefect_artifacts import in_a_run

EVENT_NAME = "stagecast.monitor.alarm"
_MOST_ALARMS = 100  # alarms listed in one event: Prefect limits its size
ALARM_FIELDS = (
    "check", "subject", "measure", "value", "expected", "limit", "p_value", "note",
)  # fmt: skip
_RUN_FIELDS = ("snapshot_at", "run_id", "scorer_version", "mlflow_run_id", "page", "summary")


def emit_alarm_event(
    dataset: str, output: str, monitor_result: Mapping[str, Any], alarm_lines: Sequence[str]
) -> None:
    """Send the alarms of a monitor run to Prefect; do nothing outside a run or without alarms.

    If the server is unreachable or refuses the event, warn and go on.

    Parameters
    ----------
    dataset
        Name of the data set; part of the name of the event's resource.
    output
        The output folder.
    monitor_result
        Result of the monitor flow: ``alarms`` (count), ``findings`` and the run they describe.
    alarm_lines
        One line per alarm that is new, or repeated as a reminder.
    """
    if not monitor_result["alarms"] or not in_a_run():
        return
    from prefect.events import emit_event

    try:
        emit_event(
            EVENT_NAME,
            _event_resource(dataset, monitor_result["alarms"], alarm_lines),
            payload=event_payload(output, monitor_result, alarm_lines),
        )
    except Exception as error:  # any failure of the server or the network
        warn(f"the alarm could not be sent to Prefect as an event: {type(error).__name__}")


def _event_resource(dataset: str, alarms: int, alarm_lines: Sequence[str]) -> dict[str, str]:
    """Labels for automations; ``stagecast.news`` is yes if a person should be notified.

    Returns
    -------
    dict
        ``prefect.resource.id``, the same every day, and labels.
    """
    return {
        "prefect.resource.id": f"stagecast.monitor.{dataset}",
        "prefect.resource.name": f"monitor of {dataset}",
        "stagecast.alarms": str(alarms),
        "stagecast.news": "yes" if alarm_lines else "no",
    }


def event_payload(
    output: str, monitor_result: Mapping[str, Any], alarm_lines: Sequence[str]
) -> dict[str, Any]:
    """Payload of the event: the alarms with their figures, without customer data."""
    alarm_rows = [row for row in monitor_result["findings"] if row["alarm"]]
    return {
        "output": output,
        **{name: monitor_result.get(name) for name in _RUN_FIELDS},
        "told": list(alarm_lines[:_MOST_ALARMS]),
        "alarms": [{name: row[name] for name in ALARM_FIELDS} for row in alarm_rows[:_MOST_ALARMS]],
        "alarms_in_all": monitor_result["alarms"],
    }
