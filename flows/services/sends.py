"""Randomised sends from the experiments of a config, as input of the uplift part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.config.config import Config
from features.errors import Problems, UserError
from features.sources.experiments import ExperimentTable, load_experiment


@dataclass(frozen=True)
class RandomisedSends:
    """Rows of a randomised history, still without features: one per person and send.

    Attributes
    ----------
    name, campaigns
        The experiment or campaign, and the playbooks its effect applies to.
    rows
        customer_id, day (day number of the send), treatment, propensity (of treatment), response.
    days
        Days after the send in which a response counts; None if unknown.
    """

    name: str
    campaigns: tuple[str, ...]
    rows: pd.DataFrame
    days: int | None = None


def configured_sends(config: Config) -> list[RandomisedSends]:
    """Load all experiments of the config.

    Raises
    ------
    UserError
        The problems of all experiments in one error.
    """
    problems, all_sends = Problems(), []
    for path in config.experiments:
        with problems.collect():
            all_sends.append(_experiment(load_experiment(path, timezone=config.timezone), path))
    names = [sent.name for sent in all_sends]
    if len(set(names)) < len(names):
        problems.add(
            UserError("experiments", found="the same name twice", expected="different names")
        )
    problems.refuse()
    return all_sends


def _experiment(table: ExperimentTable, path: str) -> RandomisedSends:
    experiment = table.spec
    if table.customers is None or table.sent_on is None:
        raise UserError(
            f"{path}: sent_at",
            found="no `customer_id` or no `sent_at`",
            expected="both: the scorer learns from features of the day of the send",
        )
    if not np.isin(table.outcome, (0.0, 1.0)).all():
        raise UserError(
            f"{path}: outcome",
            found="values other than 0 and 1",
            expected="0 or 1, whether the person ordered: uplift is a difference of probabilities",
        )
    rows = pd.DataFrame(
        {
            "customer_id": table.customers,
            "day": table.sent_on,
            "treatment": table.treatment,
            "propensity": table.propensity,
            "response": table.outcome,
        }
    )
    return RandomisedSends(experiment.name, experiment.campaigns or (experiment.name,), rows)
