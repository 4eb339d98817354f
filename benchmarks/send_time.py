"""Do own send times beat the best time of all? Simulated rhythms, and real grocery shopping.

`uv run python -m benchmarks.send_time [customers]` takes some minutes; the second part reads the
example data set (completejourney). Each part learns from a year and is judged on the last 28 days.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from campaigns.send_time import send_times
from features.aggregates.daily_aggregates import tally
from features.calendar import day_number
from features.config.config import Config
from features.storage.output_lock import exclusive
from features.table import feature_store
from features.table.activity_hours import activity_hours
from features.table.campaign_outcomes import data_through
from flows.services.workspace import latest_event_day, prepare_workspace
from flows.simulate import write_config
from simulator import simulate

SCENARIO = Path("configs/scenarios/reference.yaml")
SHIFTS = (0, 2, 4, 7)  # standard deviation of the customers' daily rhythms, hours


def judge(name: str, config: Path, output: Path) -> None:
    """Print the tests of hours and weekdays of one data set."""
    space = prepare_workspace(output, str(config), ())
    data: Config = space.config()
    with exclusive(output, "benchmark"):
        tallies, _ = tally(data, latest=latest_event_day(), quarantine=output / "quarantine")
        feature_store.store(output, data, tallies, [])
    activity = activity_hours(output, data, at=day_number(data_through(output, data)) + 1)
    learned = send_times(
        activity.customers,
        (activity.hours, activity.later_hours),
        (activity.weekdays, activity.later_weekdays),
    )
    for test in learned.tests:
        print(
            f"{name} | {test.kind} | {len(activity.customers):,} | {test.strength:.1f} | "
            f"{test.people:,} | {test.own_share:.1%} | {test.common_share:.1%} | "
            f"{100 * test.gain:+.1f} ({100 * test.low:+.1f} to {100 * test.high:+.1f}) | "
            f"{test.log_gain:+.4f} ({test.log_low:+.4f}) | {'yes' if test.used else 'no'}",
            flush=True,
        )


def main(customers: int = 20_000) -> None:
    """Print one line a data set and kind of time."""
    with tempfile.TemporaryDirectory() as folder:
        for shift in SHIFTS:
            home = Path(folder) / f"shift{shift}"
            home.mkdir()
            scenario = home / "scenario.yaml"
            text = SCENARIO.read_text(encoding="utf-8")
            scenario.write_text(
                text.replace("  order_shape:", f"  hour_shift_sd: {shift}\n  order_shape:"),
                encoding="utf-8",
            )
            simulate.write_simulation(
                str(scenario), customers=customers, seed=11, output=home / "shop", workers=1
            )
            config = write_config(home / "shop", "reference")
            judge(f"simulated, rhythms {shift} h apart", config, home / "out")
        judge("completejourney", Path("configs/completejourney.yaml"), Path(folder) / "grocery")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
