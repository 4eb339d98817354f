"""Quality: what must be reached on completejourney and CDNOW, beside what was.

    uv run python -m benchmarks.quality --run all --work build/quality     # back-tests: an hour
    uv run python -m benchmarks.quality --work build/quality               # tables from them
    uv run python -m benchmarks.quality --work build/quality --btyd        # BTYD beside its peers
    uv run python -m benchmarks.quality --records some/backtest.json       # generic gates, any data

Every case is one `stagecast backtest`; its records are kept in WORK/records and read from there.
``--write`` puts the tables into benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import quality_btyd
from benchmarks.quality_bars import BARS, Bar, Measured, measured
from flows.services.oracle_bounds import oracle_gaps
from models.evaluation.backtest_gates import evaluate_gates
from models.evaluation.warnings import backtest_warnings

HERE = Path(__file__).parent
BEGIN, END = "<!-- quality: begin -->", "<!-- quality: end -->"
TENS = "2017-09-02,2017-09-12,2017-09-22,2017-10-02,2017-10-12,2017-10-22,2017-11-01"


@dataclass(frozen=True)
class Case:
    """One back-test.

    Attributes
    ----------
    name
        Of its records; what stands before the first dot is the data set.
    models, origins
        As the command takes them.
    settings
        KEY=VALUE.
    variant
        Tells figures apart that would otherwise have the same name (the truth of the stage).
    folder
        Output folder under the work folder: cases of one folder share tallies and features.
    """

    name: str
    models: str
    origins: str
    settings: tuple[str, ...] = ()
    variant: str = ""
    folder: str = ""

    @property
    def data(self) -> str:
        return self.name.split(".")[0]


CASES = [
    Case("completejourney.one", "stage,transition,churn,clv", "2017-10-01"),
    Case("completejourney.churn_60", "churn", TENS),
    Case("completejourney.clv_60", "clv", "2017-09-02,2017-11-01"),
    Case("completejourney.at_90", "churn,clv", "2017-10-01", folder="completejourney.at_90",
         settings=("churn.horizon_days=90", "clv.horizon_days=90", "activity_days=90")),
    Case("completejourney.churn_30", "churn", f"{TENS},2017-11-11,2017-11-21,2017-12-01",
         settings=("churn.horizon_days=30",)),
    Case("completejourney.naive", "stage", "2017-10-01", ("stage.truth=naive",), "naive"),
    Case("completejourney.late", "stage", "2017-10-01",
         ("stage.truth=late", "stage.late_days=7"), "late"),
    Case("cdnow.one", "stage,transition,churn,clv", "1998-01-01"),
    Case("cdnow.clv", "clv", "1997-11-02,1997-12-02"),
]  # fmt: skip
SIMULATED = {"btyd": 4_000, "reference": 3_000}  # scenario: customers


@dataclass
class Found:
    """Records of all cases of a data set."""

    records: list[dict[str, Any]] = field(default_factory=list)

    def add(self, content: Iterable[dict[str, Any]], case: Case | None) -> None:
        told = {"variant": case.variant if case else "", "own": not (case and case.settings)}
        self.records += [{**record, **told} for record in content]


def run(case: Case, work: Path) -> None:
    """Run a case and keep its records, and the processor seconds it took."""
    output = work / (case.folder or case.data)
    command = [sys.executable, "-m", "flows.commands.cli", "backtest", "--config",
               f"configs/{case.data}.yaml", "--output", str(output), "--models", case.models,
               "--origins", case.origins]  # fmt: skip
    for setting in case.settings:
        command += ["--set", setting]
    _timed(command, case.name, output, work)


def _timed(command: list[str], name: str, output: Path, work: Path) -> None:
    before, start = os.times(), time.monotonic()
    done = subprocess.run(command, check=False, cwd=HERE.parent)
    if done.returncode:
        sys.exit(f"{name}: the back-test ended with {done.returncode}")
    after = os.times()
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    (work / "records").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(output / "backtest.json", work / "records" / f"{name}.json")
    print(f"{name}: {time.monotonic() - start:.0f} s, {used:.0f} processor s", flush=True)


def run_simulated(scenario: str, work: Path) -> None:
    """Simulate a scenario and back-test it beside its truth."""
    data, name = work / f"simulated_{scenario}", f"simulated_{scenario}.one"
    if not data.is_dir():
        subprocess.run(
            [sys.executable, "-m", "flows.commands.cli", "simulate", "--scenario", scenario,
             "--output", str(data), "--customers", str(SIMULATED[scenario]), "--seed", "1"],
            check=True, cwd=HERE.parent,
        )  # fmt: skip
    config = next(data.glob("*.yaml"))
    output = work / f"simulated_{scenario}.out"
    command = [sys.executable, "-m", "flows.commands.cli", "backtest", "--config", str(config),
               "--output", str(output)]  # fmt: skip
    _timed(command, name, output, work)


def read(work: Path) -> dict[str, Found]:
    """Records under a work folder by data set."""
    cases = {case.name: case for case in CASES}
    found: dict[str, Found] = {}
    for file in sorted((work / "records").glob("*.json")):
        data = file.stem.split(".")[0]
        content = json.loads(file.read_text(encoding="utf-8"))
        found.setdefault(data, Found()).add(content, cases.get(file.stem))
    return found


def tables(found: dict[str, Found]) -> str:
    """All tables as Markdown."""
    lines: list[str] = []
    for data, bars in BARS.items():
        if data in found:
            lines += [f"### {data}", "", *_bars(bars, found[data].records), ""]
    for data, content in found.items():
        if data in BARS:
            own = [record for record in content.records if record["own"]]  # the config as it stands
            lines += [f"### Generic gates on {data}", "", *gate_lines(own), ""]
        if data.startswith("simulated"):
            lines += [f"### Beside the truth: {data}", "", *_oracle(content.records), ""]
    return "\n".join(lines)


def _bars(bars: list[Bar], records: list[dict[str, Any]]) -> list[str]:
    head = "| what | metric | ours | 95 % | best baseline | must | stretch | reached |"
    lines = [head, "|---|---|---:|---|---|---:|---:|---|"]
    for bar in bars:
        got = measured(bar, records)
        lines.append(
            _line(bar, got) if got else f"| {bar.what} | {bar.metric} | not run | | | | | |"
        )
    return lines


def _line(bar: Bar, got: Measured) -> str:
    interval = "" if got.low is None else f"{got.low:.3f} to {got.high:.3f}"
    stretch = "" if bar.stretch is None else f"{bar.sign} {bar.stretch:g}"
    must = f"{bar.sign} {bar.must:g}"
    if bar.sign == "in":
        must, stretch = f"{bar.must:g} to {bar.stretch:g}", ""
    return (
        f"| {bar.what} | {bar.metric} | {got.value:.4g} | {interval} | {got.baseline} | "
        f"{must} | {stretch} | {bar.mark(got.value)} |"
    )


def gate_lines(records: list[dict[str, Any]]) -> list[str]:
    """Generic gates on the means over dates, then the back-test's own warnings."""
    lines = [f"- {gate.sentence}" for gate in evaluate_gates(plain_means(records))]
    return [*lines, *(f"- warning: {sentence}" for sentence in backtest_warnings(records))]


def plain_means(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over dates from records alone; intervals where there is one date only."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for one in records:
        if one["value"] is not None:
            names = ("model", "method", "horizon_days", "subset", "metric")
            groups.setdefault(tuple(one[name] for name in names), []).append(one)
    found = []
    for mine in groups.values():
        # The same date may have been tested in two cases.
        dates = {one["snapshot_at"]: one for one in mine}
        size = abs if mine[0]["metric"] == "bias_pct" else float
        values = [size(one["value"]) for one in dates.values()]
        mean = {**mine[-1], "value": sum(values) / len(values), "origins": len(values)}
        if len(values) > 1:
            mean |= {"low": None, "high": None, "difference_low": None, "difference_high": None}
        found.append(mean)
    return found


def _oracle(records: list[dict[str, Any]]) -> list[str]:
    lines = ["| model | date | metric | ours | best baseline | best possible | way reached |",
             "|---|---|---|---:|---|---:|---:|"]  # fmt: skip
    for row in oracle_gaps(records):
        best = next((row[n] for n in ("posterior", "latent_truth", "sees_latents") if row[n]), None)
        reached = "" if row["reached"] is None else f"{row['reached']:.0%}"
        baseline = "" if row["baseline"] is None else f"{row['baseline_value']:.4g}"
        lines.append(
            f"| {row['model']} | {row['snapshot_at']} | {row['metric']} | {row['champion']:.4g} | "
            f"{baseline} ({row['baseline']}) | {'' if best is None else f'{best:.4g}'} | "
            f"{reached} |"
        )
    return lines


def put(text: str, page: Path, begin: str = BEGIN, end: str = END) -> None:
    """Replace what stands between two marks of a page."""
    content = page.read_text(encoding="utf-8")
    head, rest = content.split(begin, 1)
    page.write_text(f"{head}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [case.name for case in CASES] + [f"simulated_{name}" for name in SIMULATED]
    parser.add_argument("--run", nargs="*", default=[], choices=["all", *names])
    parser.add_argument("--work", type=Path, default=Path("build/quality"))
    parser.add_argument("--records", type=Path, nargs="*", help="gates of these backtest.json")
    parser.add_argument("--btyd", action="store_true", help="BTYD beside lifetimes, pymc-marketing")
    parser.add_argument("--peers", nargs="*", choices=list(quality_btyd.PEER_NAMES))
    parser.add_argument("--write", action="store_true", help="into benchmarks/README.md")
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    if arguments.records:
        for file in arguments.records:
            print(f"{file}:", *gate_lines(json.loads(file.read_text(encoding="utf-8"))), sep="\n")
        return
    if arguments.btyd:
        peers = arguments.peers or quality_btyd.PEER_NAMES
        text = "\n".join(quality_btyd.table(work, peers))
        print(text)
        if arguments.write:
            put(text, HERE / "README.md", "<!-- btyd: begin -->", "<!-- btyd: end -->")
        return
    wanted = names if "all" in arguments.run else arguments.run
    for case in CASES:
        if case.name in wanted:
            run(case, work)
    for scenario in SIMULATED:
        if f"simulated_{scenario}" in wanted:
            run_simulated(scenario, work)
    text = tables(read(work))
    print(text)
    if arguments.write:
        put(text, HERE / "README.md")


if __name__ == "__main__":
    main()
