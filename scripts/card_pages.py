"""Model cards for the site: figures from the tables of benchmarks/README.md, data from configs/.

Called by `scripts/pages.py`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from features.config.config import Config, load
from features.config.tasks import TrainGrid
from scripts.card_texts import CARDS, CardText

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks" / "README.md"
DATA = ("completejourney", "cdnow")
HIGHER = {"auc", "spearman", "gini", "top10", "top1_movers"}
IN_A_RANGE = {"coverage", "width_ratio"}
WORDS = {
    "log_loss": "log loss",
    "integrated_brier": "integrated Brier score",
    "top1_movers": "likeliest stage is right, of movers",
    "median_time_mae": "error of the median time, periods",
    "auc": "AUC",
    "ece": "calibration error (ECE)",
    "mae": "mean error a customer (MAE)",
    "rmse": "RMSE",
    "bias_pct": "total off by, %",
    "spearman": "rank correlation",
    "gini": "share of the best gains (Gini)",
    "top10": "truly top 10 % found",
    "decile_error": "error of deciles",
    "width_ratio": "width of the interval over mean spend",
    "coverage": "share within the 80 % interval",
}
MARK = "<!-- made by scripts/pages.py from benchmarks/README.md and configs/: change those -->"


@dataclass(frozen=True)
class Row:
    """One row of a quality table."""

    what: str
    metric: str
    ours: str
    interval: str
    baseline: str
    must: str
    reached: str

    def baseline_is_better(self) -> bool:
        """Whether the best baseline has the better figure, however little."""
        if not self.baseline or self.metric in IN_A_RANGE:
            return False
        ours, theirs = float(self.ours), float(self.baseline.split()[0])
        return theirs > ours if self.metric in HIGHER else theirs < ours


def quality(data: str) -> list[Row]:
    """All rows of a data set's quality table."""
    text = BENCHMARKS.read_text(encoding="utf-8")
    section = text.split(f"\n### {data}\n", 1)[1].split("\n### ", 1)[0]
    rows = []
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) >= 8 and cells[1] in WORDS:
            rows.append(Row(*cells[:6], cells[7]))
    return rows


def warnings(data: str, model: str) -> list[str]:
    """Generic gates that fail, and warnings, of one model."""
    text = BENCHMARKS.read_text(encoding="utf-8")
    section = text.split(f"\n### Generic gates on {data}\n", 1)[1]
    lines = re.split(r"\n(?:###|<!--) ", section)[0].splitlines()
    mine = [line for line in lines if re.match(rf"- (warning: )?{model}\b", line)]
    return [line[2:] for line in mine if line.startswith("- warning") or "FAILS" in line]


def card(text: CardText) -> str:
    """One page."""
    parts = [
        f"# Model card: {text.title}\n\n{MARK}",
        f"**Tells.** {text.tells}",
        f"**Of whom.** {text.of}",
        f"**Columns.** {text.columns} ([the scored row](../scored-row.md)).",
        f"**How.** {text.how}",
        f"**Use.** {text.use}",
        "## Figures",
        *_figures(text),
        "## Limits",
        "\n".join(f"- {limit}" for limit in text.limits),
        "Every trained version has a card of its own beside the model in MLflow, with the figures "
        "of its own data. [The back-test](../backtest.md) makes the figures here for yours.",
    ]
    return "\n\n".join(parts) + "\n"


def _figures(text: CardText) -> list[str]:
    if text.key == "uplift":
        return _uplift()
    if text.key == "lead":
        return [
            "None on public data. In completejourney and CDNOW nobody is known before the first "
            "purchase, so there are no leads to test on. On simulated data, and on yours, "
            "`stagecast backtest` tells AUC, log loss, calibration error and lift beside the "
            f"baseline: {text.baseline}."
        ]
    found = [
        f"Baseline: {text.baseline}, trained on the same snapshots. *Asked for* is the bar that "
        "this project set itself. An interval is that of one date, customers drawn "
        "again."
    ]
    for data in DATA:
        found += [f"### {data}", _data(data, text.task), *_table(data, text.key)]
    return found


def _data(data: str, task: str) -> str:
    """Where the figures come from: data, horizon, training snapshots."""
    config = load(ROOT / "configs" / f"{data}.yaml")
    block = {"stage": config.stage, "transition": config.transition,
             "churn": config.churn, "clv": config.clv}[task]  # fmt: skip
    return (
        f"{config.description}. {_ahead(config, task)} Training snapshots: "
        f"{_grid(block.train, config.snapshots.every_days)}, each only where its label had matured "
        "by the test date. The dates in the table are the snapshots tested."
    )


def _ahead(config: Config, task: str) -> str:
    if task == "stage":
        return f"A silence is confirmed after {config.stage.confirm_days} days."
    if task == "transition":
        task_config = config.transition
        return f"Horizon: {task_config.periods} periods of {task_config.period_days} days."
    days = config.churn.horizon_days if task == "churn" else config.clv.horizon_days
    return f"Horizon: {days} days, where the table says no other."


def _grid(grid: TrainGrid, every: int) -> str:
    since = f" from {grid.from_}" if grid.from_ else ""
    most = f", the latest {grid.at_most} at most" if grid.at_most else ""
    return f"every {grid.every_days or every} days{since}{most}"


def _table(data: str, model: str) -> list[str]:
    rows = [row for row in quality(data) if re.match(rf"{model}\b", row.what)]
    run = [row for row in rows if row.ours != "not run"]
    lines = ["| what | figure | ours | 95 % | baseline | asked for | reached |",
             "|---|---|---:|---|---|---:|---|"]  # fmt: skip
    for row in run:
        reached = {"must": "yes", "stretch": "yes, and the stretch"}.get(row.reached, "**no**")
        lines.append(
            f"| {row.what} | {WORDS[row.metric]} | {row.ours} | {row.interval} | {row.baseline} "
            f"| {row.must} | {reached} |"
        )
    found = ["\n".join(lines)]
    if len(run) < len(rows):
        missing = dict.fromkeys(row.what for row in rows if row.ours == "not run")
        found.append(f"Not measured yet: {'; '.join(missing)}.")
    better = [f"{WORDS[row.metric]} ({row.what})" for row in run if row.baseline_is_better()]
    if better:
        found.append(f"**The baseline is better in:** {'; '.join(better)}.")
    if told := warnings(data, model):
        found.append("The back-test says:\n\n" + "\n".join(f"- {line}" for line in told))
    return found


def _uplift() -> list[str]:
    """The section on uplift as it stands, without its command."""
    text = BENCHMARKS.read_text(encoding="utf-8")
    section = re.split(r"\n## Whom a message moves[^\n]*\n", text)[1].split("\n## ", 1)[0]
    without = re.sub(r"```.*?```\n\n?", "", section, flags=re.S).strip()
    return [
        "Measured on simulated customers, where every effect is known; completejourney and CDNOW "
        "hold no randomised send.",
        without,
    ]


CARD_PAGES: dict[str, Callable[[], str]] = {
    f"model-cards/{text.key}.md": partial(card, text) for text in CARDS
}
