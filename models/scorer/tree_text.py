"""Check LightGBM's text models before LightGBM reads them: some malformed ones end the process.

LightGBM parses text without checks, in several threads: a character that is not a number aborts the
process, and a child index that is not a node reads outside the array. All text that LightGBM will
parse is therefore matched against its own grammar; text that predictions do not need (notes after
the trees) is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_INTEGER = r"-?\d{1,9}"
_NUMBER = r"-?\d{1,400}(?:\.\d{1,40})?(?:e[+-]?\d{1,3})?"
# Infinite thresholds are valid: they send all known values left and missing ones right.
_WIDE = rf"(?:{_NUMBER}|-?inf)"
_NAME = r"[^\s=\[\]{}:,\"]+"


def _list(value: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{value}(?: {value})*)? ?")


# Fields of a tree and the pattern of their values: one value per node, or one per leaf.
_NODE_FIELDS = {
    "split_feature": _list(_INTEGER),
    "split_gain": _list(_WIDE),
    "threshold": _list(_WIDE),
    "decision_type": _list(_INTEGER),
    "left_child": _list(_INTEGER),
    "right_child": _list(_INTEGER),
    "internal_value": _list(_NUMBER),
    "internal_weight": _list(_NUMBER),
    "internal_count": _list(_INTEGER),
}
_LEAF_FIELDS = {
    "leaf_value": _list(_NUMBER),
    "leaf_weight": _list(_NUMBER),
    "leaf_count": _list(_INTEGER),
}
_PLAIN_FIELDS = {
    "num_leaves": re.compile(r"\d{1,6}"),
    "num_cat": re.compile("0"),
    "is_linear": re.compile("0"),
    "shrinkage": re.compile(_NUMBER),
}
_TREE_FIELDS = {**_NODE_FIELDS, **_LEAF_FIELDS, **_PLAIN_FIELDS}
_HEAD_FIELDS = {
    "version": re.compile(r"v\d"),
    "num_class": re.compile(r"\d{1,4}"),
    "num_tree_per_iteration": re.compile(r"\d{1,4}"),
    "label_index": re.compile(r"\d{1,6}"),
    "max_feature_idx": re.compile(r"\d{1,6}"),
    "objective": re.compile(r"[a-z_0-9]+(?: [a-z_]+(?::[\w.+-]+)?)*"),
    "feature_names": _list(_NAME),
    "monotone_constraints": _list(_INTEGER),
    "feature_infos": _list(rf"(?:none|\[{_WIDE}:{_WIDE}\])"),
    "tree_sizes": _list(r"\d{1,9}"),
}
_NEEDED = ("num_class", "num_tree_per_iteration", "max_feature_idx", "feature_infos", "tree_sizes")
_NOTES = "\n\nfeature_importances:\n\nparameters:\n\nend of parameters\n\npandas_categorical:null\n"
_END = "end of trees"


def check_tree_text(text: str) -> str:
    """Check every character of a LightGBM text model; return the text that predictions need.

    Raises
    ------
    ValueError
        If a field is missing or malformed, or the nodes of a tree do not form a tree.
    """
    head_text, separator, _ = text.partition("\n\n")
    if not head_text.startswith("tree\n") or not separator:
        raise ValueError("not a LightGBM text model")
    lines = [line for line in head_text.splitlines()[1:] if line != "average_output"]
    head = _fields(lines, _HEAD_FIELDS, "the head")
    columns, sizes = _columns_and_sizes(head)
    start = len(head_text) + 2
    for number, size in enumerate(sizes):
        block = text[start : start + size]
        start += size
        if size < 1 or not block.startswith(f"Tree={number}\n") or not block.endswith("\n\n\n"):
            raise ValueError(f"tree {number} of {len(sizes)} is cut or is missing")
        where = f"tree {number}"
        _check_tree(_fields(block[:-3].split("\n")[1:], _TREE_FIELDS, where), columns, where)
    if not text.startswith(f"{_END}\n", start):
        raise ValueError(f"the text ends before, or goes on after, its {len(sizes)} trees")
    return text[: start + len(_END)] + _NOTES


def _fields(
    lines: Sequence[str], known: Mapping[str, re.Pattern[str]], where: str
) -> dict[str, str]:
    """Lines NAME=VALUES, each with a known name and valid values, no name twice."""
    fields: dict[str, str] = {}
    for line in lines:
        name, sign, values = line.partition("=")
        if not sign or name in fields or name not in known or not known[name].fullmatch(values):
            raise ValueError(f"{where}: a line that LightGBM does not write")
        fields[name] = values
    return fields


def _columns_and_sizes(head: Mapping[str, str]) -> tuple[int, list[int]]:
    """Number of input columns, and size of every tree in characters."""
    if missing := [name for name in _NEEDED if name not in head]:
        raise ValueError(f"the head lacks {missing[0]}")
    classes, per_iteration = int(head["num_class"]), int(head["num_tree_per_iteration"])
    objective_classes = re.findall(r" num_class:(\S+)", head.get("objective", ""))
    columns = int(head["max_feature_idx"]) + 1
    sizes = [int(size) for size in head["tree_sizes"].split()]
    if classes < 1 or per_iteration != classes or objective_classes not in ([], [str(classes)]):
        raise ValueError("the head does not agree with itself on the number of classes")
    if len(sizes) % per_iteration:
        raise ValueError("a tree is missing: there are not equally many of every class")
    for name in ("feature_names", "feature_infos", "monotone_constraints"):
        if name in head and len(head[name].split()) != columns:
            raise ValueError(f"the head does not agree with itself on the input columns ({name})")
    return columns, sizes


def _check_tree(tree: Mapping[str, str], columns: int, where: str) -> None:
    """Check one tree: number of values per node and leaf, and that every node is reached once."""
    try:
        leaves = int(tree["num_leaves"])
        lengths = {len(tree[name].split()) for name in _NODE_FIELDS}
        split_columns, decisions, left_children, right_children = (
            [int(value) for value in tree[name].split()]
            for name in ("split_feature", "decision_type", "left_child", "right_child")
        )
        leaf_values = len(tree["leaf_value"].split())
    except KeyError as error:
        raise ValueError(f"{where}: no {error.args[0]}") from None
    optional_lengths = {
        len(tree[name].split()) for name in ("leaf_weight", "leaf_count") if name in tree
    }
    is_complete = leaves > 0 and leaf_values == leaves and lengths == {leaves - 1}
    if not is_complete or not optional_lengths <= ({0, 1} if leaves == 1 else {leaves}):
        raise ValueError(f"{where}: its fields do not agree on the number of leaves")
    if any(not 0 <= column < columns for column in split_columns):
        raise ValueError(f"{where}: splits a column that is none of the inputs")
    # Bit 1: a category; bits 2 and 3: how missing values are treated (3 is none of the ways).
    if any(decision & 1 or decision >> 2 not in (0, 1, 2) for decision in decisions):
        raise ValueError(f"{where}: a decision of an unknown kind")
    # Every leaf (-1, -2, ...) and every node but the root (0) hangs below exactly one node, and
    # below an earlier one: then the nodes are one tree, and no walk goes in a circle.
    if leaves > 1 and sorted(left_children + right_children) != [
        *range(-leaves, 0),
        *range(1, leaves - 1),
    ]:
        raise ValueError(f"{where}: its nodes are no tree")
    for children in (left_children, right_children):
        if any(0 <= child <= parent for parent, child in enumerate(children)):
            raise ValueError(f"{where}: its nodes go in a circle")
