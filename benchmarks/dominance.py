"""The served models against the best baseline, on every data set at hand and at three dates each.

    uv run python -m benchmarks.dominance --data FOLDER --work build/dominance   # hours
    uv run python -m benchmarks.dominance --work build/dominance --write         # table again

Every case is the product's own commands: `stagecast init` (or an example's config) and `stagecast
backtest`. The baseline is the best of all at hand, chosen after the fact: a bar that no single
baseline reaches. Differences are paired, with 95 % intervals over customers drawn again. Figures of
data sets that are not in FOLDER are kept from the last run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.quality import put
from models.tasks.all_tasks import TASKS

HERE = Path(__file__).parent
BEGIN, END = "<!-- dominance: begin -->", "<!-- dominance: end -->"
METRICS = {
    "churn": ("log_loss",),
    "clv": ("rmse", "tweedie"),
    "stage": ("log_loss",),
    "transition": ("log_loss",),
}
CLI = [sys.executable, "-m", "flows.commands.cli"]


@dataclass(frozen=True)
class Case:
    """A data set and the dates to train at.

    Attributes
    ----------
    name
        Of the row; for an example its config in configs/.
    origins
        Dates, as the command takes them; empty for those of the config.
    file
        Table under the data folder that `init` reads; empty for an example.
    scenario
        Scenario to simulate; empty for none.
    """

    name: str
    origins: str
    file: str = ""
    scenario: str = ""


CASES = [
    Case("completejourney", "2017-09-02,2017-10-01,2017-11-01"),
    Case("cdnow", "1997-11-02,1998-01-01,1998-04-01"),
    Case("gifts", "2023-10-01,2024-02-01,2024-06-01", "shops/gifts.csv"),
    Case("office_supplies", "2021-06-01,2021-12-01,2022-06-01", "shops/office_supplies.csv"),
    Case("bicycles", "2020-04-01,2020-05-15,2020-07-01", "shops/bicycles.csv"),
    Case("retail_panel", "2013-09-01,2014-03-01,2014-09-01", "shops/retail_panel.csv"),
    Case("simulated_reference", "", scenario="reference"),
    Case("simulated_btyd", "", scenario="btyd"),
]
CUSTOMERS = 2_000  # of a simulation


def run(case: Case, data: Path | None, work: Path) -> None:
    """Run a case's commands and keep its means."""
    config = HERE.parent / "configs" / f"{case.name}.yaml"
    if case.file:
        if data is None or not (data / case.file).is_file():
            return
        config = work / f"{case.name}.yaml"
        _command("init", str(data / case.file), "--output", str(config), "--force")
    elif case.scenario:
        folder = work / f"{case.name}.data"
        if not folder.is_dir():
            _command("simulate", "--scenario", case.scenario, "--output", str(folder),
                     "--customers", str(CUSTOMERS), "--seed", "1")  # fmt: skip
        config = next(folder.glob("*.yaml"))
    output = work / case.name
    origins = ["--origins", case.origins] if case.origins else []
    _command("backtest", "--config", str(config), "--output", str(output), *origins)
    means = json.loads((output / "backtest" / "means.json").read_text(encoding="utf-8"))
    deciding = [mean for mean in means if mean["subset"] == "all" and _decides(mean)]
    (work / "means").mkdir(exist_ok=True)
    (work / "means" / f"{case.name}.json").write_text(json.dumps(deciding), encoding="utf-8")


def _command(*arguments: str) -> None:
    ended = subprocess.run([*CLI, *arguments], check=False, cwd=HERE.parent)
    if ended.returncode:
        sys.exit(f"{' '.join(arguments)}: ended with {ended.returncode}")


def _decides(mean: dict[str, Any]) -> bool:
    return mean["metric"] in METRICS.get(mean["model"], ())


def table(work: Path) -> str:
    """One line a data set, model and loss, then a summary, as Markdown."""
    lines = [
        "| data | model | loss | dates | served | best baseline | difference | 95 % | verdict |",
        "|---|---|---|---:|---:|---|---:|---|---|",
    ]
    relative: dict[str, list[float]] = defaultdict(list)
    verdicts: dict[str, int] = defaultdict(int)
    for case in CASES:
        file = work / "means" / f"{case.name}.json"
        if not file.is_file():
            continue
        means = json.loads(file.read_text(encoding="utf-8"))
        for model, metrics in METRICS.items():
            for metric in metrics:
                losses = [m for m in means if (m["model"], m["metric"]) == (model, metric)]
                served = next((m for m in losses if m["method"] == "champion"), None)
                # What a simulation's truth allows stands beside them and is no baseline.
                rivals = [m for m in losses if m["method"] in TASKS[model].baselines]
                if served is None or not rivals:
                    continue
                best = min(rivals, key=lambda mean: float(mean["value"]))
                change = 100 * best["difference"] / (served["value"] - best["difference"])
                verdict = _verdict(change, best)
                relative[model].append(change)
                verdicts[verdict] += 1
                lines.append(
                    f"| {case.name} | {model} | {metric} | {served['origins']} | "
                    f"{served['value']:.4g} | {best['value']:.4g} ({best['method']}) | "
                    f"{change:+.1f} % | {_interval(best)} | {verdict} |"
                )
    summary = ", ".join(
        f"{model} {sum(changes) / len(changes):+.1f} %" for model, changes in relative.items()
    )
    counts = ", ".join(f"{verdict}: {count}" for verdict, count in sorted(verdicts.items()))
    return "\n".join([*lines, "", f"Mean difference: {summary}. Lines {counts}."])


def _interval(mean: dict[str, Any]) -> str:
    low, high = mean["difference_low"], mean["difference_high"]
    return "" if low is None else f"{low:+.3g} to {high:+.3g}"


def _verdict(change: float, mean: dict[str, Any]) -> str:
    """Better or worse beyond chance (and worse by more than a percent), else as good."""
    low, high = mean["difference_low"], mean["difference_high"]
    if high is not None and high < 0:
        return "better"
    if change > 1 and (low is None or low > 0):
        return "worse"
    return "as good"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with shops/*.csv; else examples only")
    parser.add_argument("--cases", nargs="*", choices=[case.name for case in CASES])
    parser.add_argument("--work", type=Path, default=Path("build/dominance"))
    parser.add_argument("--write", action="store_true", help="into benchmarks/README.md")
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    chosen = arguments.cases
    if chosen is None:
        chosen = [] if arguments.data is None else [case.name for case in CASES]
    for case in CASES:
        if case.name in chosen:
            run(case, arguments.data and arguments.data.absolute(), work)
    text = table(work)
    print(text)
    if arguments.write:
        put(text, HERE / "README.md", BEGIN, END)


if __name__ == "__main__":
    main()
