"""Preferences: what customers choose of each declared attribute, smoothed by what others choose.

A customer's own share of a value says little after one purchase. So it is drawn toward the
population's share p of the value, as if `weight` more lines had been chosen like everybody:
(n_value + weight p_value) / (n + weight), the mean of a Dirichlet posterior. The weight is learned
for each attribute at each snapshot, from how often two choices of one customer agree: much more
often than those of two strangers, and one's own history soon counts more than everybody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from features.arrays import Array
from features.history.history import Choices

LEAST_WEIGHT, MOST_WEIGHT = 0.5, 1000.0  # lines
USUAL_WEIGHT = 4.0  # where too few customers chose twice to learn it
MIN_REPEATS = 30  # choices beyond customers' first ones, from which it is learned


@dataclass(frozen=True)
class Choosing:
    """All choices of one kind that a snapshot knows.

    One group is a customer, an attribute and a value; one cell is a customer and an attribute.

    Attributes
    ----------
    cell
        Of each group: its cell.
    attribute, choice
        Of each group: codes of the attribute and the value.
    count
        Of each group: lines, more than 0.
    position, cell_attribute
        Of each cell: the customer's position, and the attribute.
    total, top, distinct
        Of each cell: lines, lines of the most frequent value, and number of values.
    names
        Values by code.
    attributes
        Attribute names by code.
    """

    cell: Array
    attribute: Array
    choice: Array
    count: Array
    position: Array
    cell_attribute: Array
    total: Array
    top: Array
    distinct: Array
    names: Array
    attributes: Array

    def of(self, attribute: str) -> Array:
        """Cells of an attribute."""
        code = np.flatnonzero(self.attributes == attribute)
        return np.flatnonzero(self.cell_attribute == code[0]) if len(code) else np.zeros(0, int)


@dataclass(frozen=True)
class Population:
    """Choices of all customers: additive over customers up to the division, so that shards can add.

    Attributes
    ----------
    shares
        Share of every value (columns) of every attribute (rows); 0 where never chosen.
    weight
        Lines that the population counts for beside a customer's own, by attribute.
    """

    shares: Array
    weight: Array


@dataclass(frozen=True)
class Likely:
    """The likeliest value of each cell, and its smoothed share."""

    choice: Array
    share: Array


def choosing(choices: Choices, at: int) -> Choosing:
    """Choices past and known at a snapshot day."""
    counts = choices.counts_at(at)
    known_groups = np.flatnonzero(counts > 0)
    count, position = counts[known_groups], choices.position[known_groups]
    attribute, choice = choices.attribute[known_groups], choices.choice[known_groups]
    # Groups are sorted by customer and attribute, so that a cell is a run of them.
    cell_key = position * len(choices.attributes) + attribute
    cell_starts = np.flatnonzero(
        np.concatenate([[True], cell_key[1:] != cell_key[:-1]])[: len(cell_key)]
    )
    cell_sizes = np.diff(np.append(cell_starts, len(cell_key)))
    return Choosing(
        cell=np.repeat(np.arange(len(cell_starts)), cell_sizes),
        attribute=attribute,
        choice=choice,
        count=count,
        position=position[cell_starts],
        cell_attribute=attribute[cell_starts],
        total=_reduced(np.add, count, cell_starts),
        top=_reduced(np.maximum, count, cell_starts),
        distinct=cell_sizes.astype(np.float64),
        names=choices.choices,
        attributes=choices.attributes,
    )


def _reduced(function: Any, values: Array, cell_starts: Array) -> Array:
    return function.reduceat(values, cell_starts) if len(cell_starts) else np.zeros(0)


def recoded(choosing: Choosing, names: Array, attributes: Array) -> Choosing:
    """The same choices in codes of other lists of names, which rise and hold all of the old."""
    new_attribute_codes = np.searchsorted(attributes, choosing.attributes)
    return replace(
        choosing,
        attribute=new_attribute_codes[choosing.attribute],
        choice=np.searchsorted(names, choosing.names)[choosing.choice],
        cell_attribute=new_attribute_codes[choosing.cell_attribute],
        names=names,
        attributes=attributes,
    )


def population(choosing: Choosing) -> Population:
    """Shares of all values at the snapshot, and how much they count beside one's own choices.

    The weight solves P(two lines of one customer agree) = s + (1 - s) / (weight + 1), where s is
    the same for two strangers: what a Dirichlet of that weight implies.
    """
    return _population(*_counted(choosing))


def _counted(choosing: Choosing) -> tuple[Array, Array, Array]:
    """Lines by attribute and value, and by attribute agreeing pairs and repeated choices."""
    value_count, attribute_count = len(choosing.names), len(choosing.attributes)
    lines = np.bincount(
        choosing.attribute * value_count + choosing.choice,
        choosing.count,
        attribute_count * value_count,
    )
    # Agreeing pairs over the customer's lines: who chose much must not drown who chose twice.
    agreeing_pairs = choosing.count * (choosing.count - 1.0) / choosing.total[choosing.cell]
    agreed = np.bincount(choosing.attribute, agreeing_pairs, attribute_count)
    repeats = np.bincount(choosing.cell_attribute, choosing.total - 1.0, attribute_count)
    return lines.reshape(attribute_count, value_count), agreed, repeats


def _population(lines: Array, agreed: Array, repeats: Array) -> Population:
    shares = lines / np.maximum(lines.sum(axis=1, keepdims=True), 1.0)
    own_agreement = agreed / np.maximum(repeats, 1.0)
    stranger_agreement = (shares**2).sum(axis=1)
    learned_weight = (1.0 - own_agreement) / np.maximum(own_agreement - stranger_agreement, 1e-9)
    weight = np.clip(learned_weight, LEAST_WEIGHT, MOST_WEIGHT)
    return Population(shares, np.where(repeats >= MIN_REPEATS, weight, USUAL_WEIGHT))


@dataclass(frozen=True)
class ChoiceSums:
    """What `population` is made of, additive over customers: shards of them can be added up.

    Attributes
    ----------
    lines
        By attribute and value.
    agreed, repeats
        By attribute: agreeing pairs (over a customer's lines), and choices beyond the first.
    """

    lines: Mapping[str, Mapping[str, float]]
    agreed: Mapping[str, float]
    repeats: Mapping[str, float]

    @classmethod
    def of(cls, choosing: Choosing) -> ChoiceSums:
        """Sums of some customers."""
        lines, agreed, repeats = _counted(choosing)
        names, attributes = choosing.names.tolist(), choosing.attributes.tolist()
        return cls(
            {
                attribute: {names[at]: float(row[at]) for at in np.flatnonzero(row)}
                for attribute, row in zip(attributes, lines, strict=True)
            },
            dict(zip(attributes, agreed.tolist(), strict=True)),
            dict(zip(attributes, repeats.tolist(), strict=True)),
        )

    def plus(self, other: ChoiceSums) -> ChoiceSums:
        """Sums of both."""
        return ChoiceSums(
            {
                name: added(self.lines.get(name, {}), other.lines.get(name, {}))
                for name in (*self.lines, *other.lines)
            },
            added(self.agreed, other.agreed),
            added(self.repeats, other.repeats),
        )

    def population(self) -> tuple[list[str], list[str], Population]:
        """Attributes, values, and how all the customers choose."""
        attributes = sorted(self.lines)
        value_names = sorted({value for each in self.lines.values() for value in each})
        lines = np.array([[self.lines[a].get(v, 0.0) for v in value_names] for a in attributes])
        agreed, repeats = (
            np.array([each[a] for a in attributes]) for each in (self.agreed, self.repeats)
        )
        shape = (len(attributes), len(value_names))
        return attributes, value_names, _population(lines.reshape(shape), agreed, repeats)


def added(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Sums by name."""
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in (*one, *other)}


def likely(choosing: Choosing, population: Population) -> Likely:
    """Most likely value of each cell: from own choices, or from those of all if own ones are few.

    Ties go to a value of one's own, and of those to the first by name.
    """
    weight = population.weight[choosing.cell_attribute]
    own_score = (
        choosing.count
        + weight[choosing.cell] * population.shares[choosing.attribute, choosing.choice]
    )
    best_own_score = np.full(len(choosing.position), -np.inf)
    np.maximum.at(best_own_score, choosing.cell, own_score)
    best_groups = np.flatnonzero(own_score == best_own_score[choosing.cell])[::-1]
    own_choice = np.zeros(len(best_own_score), dtype=np.int64)
    own_choice[choosing.cell[best_groups]] = choosing.choice[
        best_groups
    ]  # the first group of a cell is written last
    most_common = population.shares.argmax(axis=1) if population.shares.size else np.zeros(0, int)
    common_choice = most_common[choosing.cell_attribute]
    common_score = weight * population.shares[choosing.cell_attribute, common_choice]
    common_wins = common_score > best_own_score * (1 + 1e-12)
    share = np.where(common_wins, common_score, best_own_score) / (choosing.total + weight)
    return Likely(np.where(common_wins, common_choice, own_choice), share)
