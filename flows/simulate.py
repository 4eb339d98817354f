"""Simulate customers; needs no data, no server and no earlier step."""

from __future__ import annotations

import json
import re
from pathlib import Path

from features.config import config as configs
from flows.services.console import command_text, step
from flows.services.output_folder import require_writable
from flows.services.progress_bars import progress
from simulator import scenario as scenarios
from simulator import simulate as simulated

# By kind of scenario: the shipped config that reads its tables.
_CONFIGS = {"lifecycle": "simulated.yaml", "btyd": "simulated_btyd.yaml"}
_CONFIG = "simulated.yaml"
_SENDS = "experiments/simulated_sends.yaml"
# Where the shipped config expects the data; its copy beside the data needs no folder.
SIMULATED_FOLDER = "outputs-simulated/"


def simulate(
    customers: int, seed: int, output: Path, scenario: str = "reference", *, workers: int = 2
) -> dict[str, int]:
    """Simulate customers into a folder, with progress, and write a config that reads them.

    Parameters
    ----------
    customers
        How many.
    seed
        Of everything random.
    output
        Folder for the tables, the truth (under ``truth/``) and the config.
    scenario
        `reference`, `btyd`, or the path of a scenario YAML.
    workers
        Processes.

    Returns
    -------
    dict
        Rows by table.

    Raises
    ------
    UserError
        For an unknown scenario, numbers out of range, or a folder that cannot be written to.
    """
    require_writable(output)
    step(f"simulating {customers:,} customers ({scenario}, seed {seed}) -> {output}")
    part_count = len(simulated.block_ranges(customers))
    with progress("parts", part_count) as advance:
        event_rows = simulated.simulate(
            scenario,
            customers=customers,
            seed=seed,
            output=output,
            workers=workers,
            progress=lambda _: advance(),
        )
    config = write_config(output, scenario)
    step(
        f"{event_rows['events']:,} events; next: {command_text(f'stagecast run --config {config}')}"
    )
    return event_rows


def write_config(output: Path, scenario: str) -> Path:
    """Copy the shipped config for a simulation of this scenario; return its path."""
    manifest = json.loads((output / simulated.MANIFEST).read_text(encoding="utf-8"))
    shipped = _CONFIGS[scenarios.load(scenario).kind]
    config_text = configs.find(shipped).read_text(encoding="utf-8").replace(SIMULATED_FOLDER, "")
    config_text = re.sub(
        r"^data_through: .*$", f"data_through: {manifest['last_day']}", config_text, flags=re.M
    )
    config_file = output / _CONFIG
    config_file.write_text(config_text, encoding="utf-8")
    if _SENDS in config_text:
        sends_text = (
            configs.find(_SENDS)
            .read_text(encoding="utf-8")
            .replace(f"../../{SIMULATED_FOLDER}", "../")
        )
        (output / _SENDS).parent.mkdir(exist_ok=True)
        (output / _SENDS).write_text(sends_text, encoding="utf-8")
    return config_file
