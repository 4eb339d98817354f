"""BTYD beside its peers on the same inputs, each in an environment of its own (`quality.py`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from models.fitting.btyd import BGNBD

PEERS = Path(__file__).parent / "peers"
NAMES = {
    "btyd_ours": "stagecast",
    "btyd_lifetimes": "lifetimes",
    "btyd_pymc": "pymc-marketing, MAP under flat priors",
}
PEER_NAMES = [name for name in NAMES if name != "btyd_ours"]
END = pd.Timestamp("1997-09-30")  # 39 weeks of calibration, as in the papers


def orders(file: str, names: list[str]) -> pd.DataFrame:
    """Purchase days of a CDNOW file: customer, day, amount."""
    from importlib.util import find_spec

    folder = Path(str(find_spec("lifetimes").origin)).parent / "datasets"
    header = 0 if "master" in file else None
    rows = pd.read_csv(folder / file, sep=r"\s+", header=header, names=names)
    rows["day"] = pd.to_datetime(rows["day"].astype(str))
    days = rows[rows["day"] <= END].groupby(["customer", "day"], as_index=False)
    return days["amount"].sum()


def inputs(days: pd.DataFrame) -> pd.DataFrame:
    """Repeat days, recency and age in weeks, and the mean value of repeat days, a customer."""
    first = days.groupby("customer")["day"].transform("min")
    repeats = days[(days["day"] > first) & (days["amount"] > 0)].groupby("customer")["amount"]
    seen = days.groupby("customer")["day"].agg(["min", "max", "size"])
    return pd.DataFrame(
        {
            "x": seen["size"] - 1,
            "t_x": (seen["max"] - seen["min"]).dt.days / 7,
            "T": (END - seen["min"]).dt.days / 7,
            "n": repeats.size().reindex(seen.index).fillna(0).astype(int),
            "value": repeats.mean().reindex(seen.index).fillna(0.0),
        }
    )


def cases(work: Path) -> dict[str, Path]:
    """The published sample and the whole cohort, as files that every engine reads."""
    work.mkdir(parents=True, exist_ok=True)
    sample = orders("CDNOW_sample.txt", ["master", "customer", "day", "number", "amount"])
    cohort = orders("CDNOW_master.txt", ["customer", "day", "number", "amount"])
    found = {}
    for name, days in (("CDNOW 1/10 sample", sample), ("CDNOW cohort", cohort)):
        frame = inputs(days)
        found[f"{name}, {len(frame):,} customers"] = work / f"btyd-{len(frame)}.csv"
        frame.to_csv(work / f"btyd-{len(frame)}.csv", index=False)
    return found


def log_likelihood(path: Path, parameters: list[float]) -> float:
    """BG/NBD log likelihood of a file's customers: one formula for the fits of all engines."""
    life = BGNBD()
    life.r_, life.alpha_, life.a_, life.b_ = parameters
    rows = pd.read_csv(path)[["x", "t_x", "T"]].to_numpy()
    return life.score(rows) * len(rows)


def environment(peer: str, work: Path) -> Path:
    """Python of an engine: ours, or that of a peer's own environment, made where it is missing."""
    if peer == "btyd_ours":
        return Path(sys.executable)
    folder = work / "environments" / peer
    python, ready = folder / "bin" / "python", folder / "ready"
    if not ready.is_file():
        make = ["uv", "venv", "-q", "--clear", "--python", sys.executable, str(folder)]
        subprocess.run(make, check=True)
        wanted = ["-r", str(PEERS / f"{peer}.txt")]
        install = ["uv", "pip", "install", "-q", "--no-config", "--python", str(python), *wanted]
        subprocess.run(install, check=True, cwd=work)  # away from the project's own pins
        ready.touch()
    return python


def theirs(peer: str, path: Path, work: Path) -> dict[str, Any] | str:
    """A peer's fits of a file, or the last line of what went wrong."""
    python = environment(peer, work)
    # One thread of linear algebra, as the command line sets it: these are many tiny problems.
    clean = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    clean["PYTHONPATH"] = str(PEERS.parents[1]) if peer == "btyd_ours" else ""
    done = subprocess.run(
        [str(python), "-W", "ignore", str(PEERS / f"{peer}.py"), str(path)],
        capture_output=True, text=True, check=False, env=clean,
    )  # fmt: skip
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no word"])[-1][:120]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def table(work: Path, peers: list[str]) -> list[str]:
    """Parameters, log likelihood and processor seconds of every engine, as Markdown."""
    lines = [
        "| inputs | engine | r | alpha | a | b | log likelihood | s | p | q | v | s |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, path in cases(work).items():
        for peer in ("btyd_ours", *peers):
            lines.append(_line(name, path, NAMES[peer], theirs(peer, path, work)))
    return lines


def _line(name: str, path: Path, engine: str, found: dict[str, Any] | str) -> str:
    if isinstance(found, str):
        return f"| {name} | {engine} | failed: {found} | | | | | | | | | |"
    life = " | ".join(f"{value:.4f}" for value in found["bg_nbd"])
    money = " | ".join(f"{value:.3f}" for value in found["gamma_gamma"])
    likely = f"{log_likelihood(path, found['bg_nbd']):.2f} | {found['seconds']:.2f}"
    return f"| {name} | {engine} | {life} | {likely} | {money} | {found['seconds_value']:.2f} |"
