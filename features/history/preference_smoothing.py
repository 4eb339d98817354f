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
    """How everybody chooses: additive over customers up to the division, so that shards can add.

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
    there = np.flatnonzero(counts > 0)
    count, position = counts[there], choices.position[there]
    attribute, choice = choices.attribute[there], choices.choice[there]
    # Groups are sorted by customer and attribute, so that a cell is a run of them.
    key = position * len(choices.attributes) + attribute
    begins = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])[: len(key)])
    sizes = np.diff(np.append(begins, len(key)))
    return Choosing(
        cell=np.repeat(np.arange(len(begins)), sizes),
        attribute=attribute,
        choice=choice,
        count=count,
        position=position[begins],
        cell_attribute=attribute[begins],
        total=_reduced(np.add, count, begins),
        top=_reduced(np.maximum, count, begins),
        distinct=sizes.astype(np.float64),
        names=choices.choices,
        attributes=choices.attributes,
    )


def _reduced(function: Any, values: Array, begins: Array) -> Array:
    return function.reduceat(values, begins) if len(begins) else np.zeros(0)


def recoded(made: Choosing, names: Array, attributes: Array) -> Choosing:
    """The same choices in codes of other lists of names, which rise and hold all of the old."""
    attribute = np.searchsorted(attributes, made.attributes)
    return replace(
        made,
        attribute=attribute[made.attribute],
        choice=np.searchsorted(names, made.names)[made.choice],
        cell_attribute=attribute[made.cell_attribute],
        names=names,
        attributes=attributes,
    )


def population(made: Choosing) -> Population:
    """Shares of all values at the snapshot, and how much they count beside one's own choices.

    The weight solves P(two lines of one customer agree) = s + (1 - s) / (weight + 1), where s is
    the same for two strangers: what a Dirichlet of that weight implies.
    """
    return _population(*_counted(made))


def _counted(made: Choosing) -> tuple[Array, Array, Array]:
    """Lines by attribute and value, and by attribute agreeing pairs and repeated choices."""
    size, n = len(made.names), len(made.attributes)
    lines = np.bincount(made.attribute * size + made.choice, made.count, n * size)
    # Agreeing pairs over the customer's lines: who chose much must not drown who chose twice.
    agreeing = made.count * (made.count - 1.0) / made.total[made.cell]
    agreed = np.bincount(made.attribute, agreeing, n)
    repeats = np.bincount(made.cell_attribute, made.total - 1.0, n)
    return lines.reshape(n, size), agreed, repeats


def _population(lines: Array, agreed: Array, repeats: Array) -> Population:
    shares = lines / np.maximum(lines.sum(axis=1, keepdims=True), 1.0)
    own = agreed / np.maximum(repeats, 1.0)
    strangers = (shares**2).sum(axis=1)
    learned = (1.0 - own) / np.maximum(own - strangers, 1e-9)
    weight = np.clip(learned, LEAST_WEIGHT, MOST_WEIGHT)
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
    def of(cls, made: Choosing) -> ChoiceSums:
        """Sums of some customers."""
        lines, agreed, repeats = _counted(made)
        names, attributes = made.names.tolist(), made.attributes.tolist()
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
        names = sorted({value for each in self.lines.values() for value in each})
        lines = np.array([[self.lines[a].get(v, 0.0) for v in names] for a in attributes])
        agreed, repeats = (
            np.array([each[a] for a in attributes]) for each in (self.agreed, self.repeats)
        )
        shape = (len(attributes), len(names))
        return attributes, names, _population(lines.reshape(shape), agreed, repeats)


def added(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Sums by name."""
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in (*one, *other)}


def likely(made: Choosing, everybody: Population) -> Likely:
    """Likeliest value of each cell: one's own or, where one's own tell too little, everybody's.

    Ties go to a value of one's own, and of those to the first by name.
    """
    weight = everybody.weight[made.cell_attribute]
    score = made.count + weight[made.cell] * everybody.shares[made.attribute, made.choice]
    best = np.full(len(made.position), -np.inf)
    np.maximum.at(best, made.cell, score)
    hit = np.flatnonzero(score == best[made.cell])[::-1]
    choice = np.zeros(len(best), dtype=np.int64)
    choice[made.cell[hit]] = made.choice[hit]  # the first group of a cell is written last
    favourite = everybody.shares.argmax(axis=1) if everybody.shares.size else np.zeros(0, int)
    common = favourite[made.cell_attribute]
    rival = weight * everybody.shares[made.cell_attribute, common]
    theirs = rival > best * (1 + 1e-12)
    share = np.where(theirs, rival, best) / (made.total + weight)
    return Likely(np.where(theirs, common, choice), share)
