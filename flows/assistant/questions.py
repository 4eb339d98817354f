"""What an assistant may ask: a closed list of questions, each with choices from closed lists.

No argument is a date, an id or a condition of the caller's own, so no two questions can be chosen
to differ by one person. Nothing that a customer wrote or did is quoted; all texts come from the
config, the playbooks and the project.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.errors import UserError
from features.metrics.stage_metrics import FEWEST
from features.storage import scores_store
from features.storage.row_reader import RowReader, open_reader
from features.storage.runs import PublishedRun
from flows.assistant import campaigns, definitions, population
from flows.assistant.disclosure import (
    hidden_groups,
    hidden_shares,
    rounded_count,
    significant,
    tells_of_few,
)
from flows.services.workspace import Workspace

RULE_OF_HIDING = (
    f"Counts are multiples of {FEWEST}, means have two significant digits. Null means hidden: "
    f"{population.HIDDEN}. Answers describe groups only; nothing about a single customer can be "
    "asked. Use `stagecast explain` on the machine of the data for that."
)


@dataclass(frozen=True)
class Question:
    """A question, which the protocol calls a tool.

    Attributes
    ----------
    name, description
        For the assistant.
    answer
        Computes the answer from the chosen values.
    choices
        Allowed values by parameter; a parameter that is left out is null.
    """

    name: str
    description: str
    answer: Callable[..., Any]
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the arguments."""
        properties = {
            name: {"type": ["string", "null"], "enum": [*values, None]}
            for name, values in self.choices.items()
        }
        return {"type": "object", "properties": properties, "additionalProperties": False}


@dataclass
class Answers:
    """Answers about the current run of an output folder; computed once per run.

    Attributes
    ----------
    output
        The output folder, absolute.
    """

    output: Path
    _reader: RowReader = field(init=False, repr=False)
    _run: PublishedRun | None = field(default=None, init=False, repr=False)
    _known: dict[tuple[Any, ...], Any] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)

    def __post_init__(self) -> None:
        """Open the store's reader, which knows at once whether another run is current."""
        self._reader = open_reader(self.output)

    def questions(self) -> list[Question]:
        """Return the questions that the current run can answer.

        Raises
        ------
        UserError
            If no run is published, or the store cannot be read.
        """
        run_id = self._reader.current_run_id()
        with self._lock:
            if self._run is None or self._run.run_id != run_id:
                self._run, self._known = scores_store.current_run(self.output), {}
        return list(self._of_run("questions"))

    def _questions(self) -> list[Question]:
        plans = [plan["campaign_id"] for plan in self._of_run("plans")]
        stages = [stage["stage"] for stage in self._of_run("rules")["stages"]]
        names = tuple(self._of_run("meanings"))
        return [
            Question(
                "overview",
                "What the data set is, the date of the scores, which stages, groups and campaigns "
                "there are, and what is hidden. Ask this first.",
                self._overview,
            ),
            Question(
                "stage_counts",
                "Number of customers in each life-cycle stage at the date of the scores.",
                lambda: self._of_run("sizes"),
            ),
            Question(
                "stage_trend",
                "Number of customers in each stage at the last scores of every month.",
                lambda: self._of_run("trend"),
            ),
            Question(
                "forecast",
                "Expected spend, risk that customers do not come back, chance of a change of "
                "stage, and expected orders: of all customers, and by group.",
                lambda by=None: self._of_run("forecast", by or population.ALL),
                {"by": (population.ALL, *population.DIVISIONS)},
            ),
            Question(
                "stage_metrics",
                "Metrics of the stages by calendar month, such as retention, conversion or NPS. "
                "Without a stage: of all customers together.",
                self._metrics,
                {"stage": tuple(stages), "metric": tuple(m for m in names if self._is_metric(m))},
            ),
            Question(
                "campaign_plans",
                "Campaigns of the current run: offer, channel, size, expected value and cost.",
                lambda campaign=None: self._plans(campaign),
                {"campaign": tuple(plans)},
            ),
            Question(
                "campaign_results",
                "What campaigns changed: treatment against control, with 95 % intervals. Past "
                "campaigns and the global hold-out, too.",
                lambda campaign=None: self._of_run("effects", campaign),
                {"campaign": tuple(dict.fromkeys([*plans, *self._of_run("measured")]))},
            ),
            Question(
                "prediction_accuracy",
                "Past predictions against what came, once their horizon had passed.",
                lambda: self._of_run("accuracy"),
            ),
            Question(
                "stage_rules",
                "Why a customer is in a stage: the rules of the stages, in the order in which they "
                "are tried, with their parameters.",
                lambda stage=None: self._rules(stage),
                {"stage": tuple(stages)},
            ),
            Question(
                "definition",
                "How a metric or a column of the scores is defined.",
                lambda name=None: self._definition(name),
                {"name": names},
            ),
            Question(
                "model_card",
                "What a model predicts, from which data, how good it was when it was tested, and "
                "its limits.",
                lambda model=None: self._card(model),
                {"model": ("scorer", "stage", "transition", "churn", "clv")},
            ),
        ]

    def _of_run(self, name: str, *arguments: Any) -> Any:
        """A result about the run that `questions` has looked up last, computed once."""
        with self._lock:
            key = (name, *arguments)
            if key not in self._known:
                assert self._run is not None
                self._known[key] = self._computed(name, self._run, *arguments)
            return self._known[key]

    def _computed(self, name: str, run: PublishedRun, *arguments: Any) -> Any:
        compute: dict[str, Callable[..., Any]] = {
            "questions": self._questions,
            "sizes": lambda: population.stage_sizes(self.output, run),
            "trend": lambda: [
                population.stage_sizes(self.output, past)
                for past in population.trend_runs(scores_store.published_runs(self.output))
            ],
            "forecast": lambda by: population.forecast(self.output, run, by),
            "metrics": lambda: _metric_rows(self.output),
            "plans": lambda: campaigns.campaign_plans(self.output, run),
            "measured": lambda: campaigns.measured_campaigns(self.output),
            "effects": lambda campaign: campaigns.campaign_effects(self.output, campaign),
            "accuracy": lambda: campaigns.past_accuracy(self.output),
            "rules": lambda: definitions.stage_rules(Workspace(self.output).config()),
            "meanings": definitions.meanings,
            "cards": lambda: definitions.model_cards(self.output),
        }
        return compute[name](*arguments)

    def _is_metric(self, name: str) -> bool:
        return bool(self._of_run("meanings")[name]["kind"] == "metric")

    def _overview(self) -> dict[str, Any]:
        config, sizes = Workspace(self.output).config(), self._of_run("sizes")
        return {
            "data_set": config.name,
            "description": config.description,
            "date": sizes["date"],
            "customers": sizes["customers"],
            "currency": config.currency,
            "stages": [stage["stage"] for stage in self._of_run("rules")["stages"]],
            "groups": list(population.DIVISIONS),
            "campaigns": {p["campaign_id"]: p["title"] for p in self._of_run("plans")},
            "hidden": RULE_OF_HIDING,
        }

    def _metrics(self, stage: str | None = None, metric: str | None = None) -> list[dict[str, Any]]:
        return [
            row
            for row in self._of_run("metrics")
            if row["stage"] == stage and metric in (None, row["metric"])
        ]

    def _plans(self, campaign: str | None) -> Any:
        plans = self._of_run("plans")
        return [plan for plan in plans if campaign in (None, plan["campaign_id"])]

    def _rules(self, stage: str | None) -> Any:
        rules = self._of_run("rules")
        stages = [row for row in rules["stages"] if stage in (None, row["stage"])]
        return {**rules, "stages": stages}

    def _definition(self, name: str | None) -> Any:
        known = self._of_run("meanings")
        return known if name is None else known[name]

    def _card(self, model: str | None) -> dict[str, str]:
        cards, name = self._of_run("cards"), model or "scorer"
        if name not in cards or self._of_run("sizes")["customers"] is None:
            raise UserError(
                "model", found="no card", expected="a model of the champion",
                hint="`stagecast models` on the machine of the data lists the versions",
            )  # fmt: skip
        return {"model": name, "card": cards[name]}


def _metric_rows(output: Path) -> list[dict[str, Any]]:
    """Metrics by month and stage, without those of groups that are too small, and by source."""
    from flows.services.life_cycle_metrics import stage_metrics

    table = stage_metrics(output, first=None, to=None, every=None)
    known = table[table["key"].notna() & table["source"].isna()]
    rows = []
    for (start, key), lines in known.groupby(["period_start", "key"], sort=False):
        stages = lines[lines["stage"].notna()]
        total = int(lines.loc[lines["stage"].isna(), "n"].sum())
        hidden = hidden_groups(stages["n"].astype(int).tolist(), total)
        by_stage = dict(zip(stages["stage"], hidden, strict=True))
        is_share = bool((lines["unit"] == "share").all())
        whole = float(lines.loc[lines["stage"].isna(), "value"].astype(float).sum())
        telling = (
            hidden_shares(
                stages["value"].astype(float).tolist(), stages["n"].astype(int).tolist(),
                whole, total,
            )
            if is_share
            else [False] * len(stages)
        )  # fmt: skip
        share_by_stage = dict(zip(stages["stage"], telling, strict=True))
        for row in lines.to_dict("records"):
            stage = row["stage"] if isinstance(row["stage"], str) else None
            is_hidden = row["n"] < FEWEST if stage is None else by_stage[stage]
            if stage is not None:
                is_telling = share_by_stage[stage]
            else:
                is_telling = is_share and not is_hidden and tells_of_few(row["value"], row["n"])
            rows.append(
                {
                    "month": str(start)[:7],
                    "stage": stage,
                    "metric": key,
                    "value": None if is_hidden or is_telling else significant(float(row["value"])),
                    "unit": row["unit"],
                    "n": None if is_hidden else rounded_count(row["n"]),
                }
            )
    return rows
