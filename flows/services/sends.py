"""Randomised sends that a config lists as experiments, ready for the uplift part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.config.config import Config
from features.errors import Problems, UserError
from features.sources.experiments import ExperimentTable, load_experiment


@dataclass(frozen=True)
class Sent:
    """Rows of a randomised history before their features are known: one a person and send.

    Attributes
    ----------
    name, campaigns
        The experiment or campaign, and the playbooks it speaks for.
    rows
        customer_id, day (number; the send), treatment, propensity (of treatment), response.
    days
        In which a response counted; None: not told.
    """

    name: str
    campaigns: tuple[str, ...]
    rows: pd.DataFrame
    days: int | None = None


def listed_experiments(config: Config) -> list[Sent]:
    """Sends that the config lists.

    Raises
    ------
    UserError
        The problems of all experiments in one answer.
    """
    problems, found = Problems(), []
    for path in config.experiments:
        with problems.collect():
            found.append(_experiment(load_experiment(path, timezone=config.timezone), path))
    names = [sent.name for sent in found]
    if len(set(names)) < len(names):
        problems.add(UserError("experiments", found="one name twice", expected="a name each"))
    problems.refuse()
    return found


def _experiment(table: ExperimentTable, path: str) -> Sent:
    spec = table.spec
    if table.customers is None or table.sent_on is None:
        raise UserError(
            f"{path}: sent_at",
            found="no `customer_id` or no `sent_at`",
            expected="both: the scorer learns from the features of the day of the send",
        )
    if not np.isin(table.outcome, (0.0, 1.0)).all():
        raise UserError(
            f"{path}: outcome",
            found="values beside 0 and 1",
            expected="whether the person ordered: the scored row tells an added chance",
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
    return Sent(spec.name, spec.campaigns or (spec.name,), rows)
