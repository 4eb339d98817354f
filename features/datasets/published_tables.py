"""Published figures with their sources, and where the data are that they were computed from."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

_FOLDER = Path(__file__).resolve().parents[2] / "configs" / "published"
_CDNOW_SAMPLE = ["master_customer", "customer", "day", "cds", "amount"]


@dataclass(frozen=True)
class PublishedFigure:
    """A published number, and how close a fit must come to it.

    Attributes
    ----------
    model, figure
        Names, as in the table of `stagecast bench`.
    published
        The number; None if no source of it is at hand.
    within
        Largest difference, as a number, a share of the published one ("10%"), or ``interval``: the
        interval of the fit must cover it.
    source
        Where it was published.
    """

    model: str
    figure: str
    published: float | None
    within: float | str
    source: str


@dataclass(frozen=True)
class PublishedTable:
    """Figures of one data set, and the files of its data.

    Attributes
    ----------
    title, figures
        As in the table of `stagecast bench`.
    files
        Kind of each column, by the name of a file that the project does not ship; empty if a
        package brings the data.
    found_in
        Where the data are published.
    settings
        What else the fits need: dates and numbers of periods.
    """

    title: str
    figures: list[PublishedFigure]
    files: dict[str, dict[str, str]]
    found_in: str
    settings: dict[str, Any]


def published_table(name: str) -> PublishedTable:
    """The figures of `configs/published/NAME.yaml`."""
    content = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    figures = [
        PublishedFigure(
            model["model"], row["figure"], row["published"], row["within"], model["source"]
        )
        for model in content.pop("models")
        for row in model["figures"]
    ]
    files, found_in = content.pop("files", {}), content.pop("found_in", "")
    return PublishedTable(content.pop("title"), figures, files, found_in, content)


def cdnow_sample() -> pd.DataFrame | None:
    """Purchase days of the CDNOW 1/10 sample: customer, day, amount; None without `lifetimes`."""
    package = importlib.util.find_spec("lifetimes")
    if package is None or package.origin is None:
        return None
    file = Path(package.origin).parent / "datasets" / "CDNOW_sample.txt"
    rows = pd.read_csv(file, sep=r"\s+", header=None, names=_CDNOW_SAMPLE)
    rows["day"] = pd.to_datetime(rows["day"].astype(str), format="%Y%m%d")
    return rows.groupby(["customer", "day"], as_index=False)["amount"].sum()
