"""Mutants of a module by the operators of mutmut, and how one takes the place of the live code.

mutmut itself rewrites a module and starts the tests anew for every mutant; importing numpy, pandas
and this package takes longer than most of our tests. Here the code objects of the functions that
are already imported are replaced, so that a forked process can test a mutant at once, and methods
with decorators have mutants, too.
"""

from __future__ import annotations

import ast
import difflib
import gc
import random
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import MutationVisitor
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

ROOT = Path(__file__).parents[1]
REACHED: set[tuple[str, int]] = set()  # module and first line of probed functions


@dataclass(frozen=True)
class Mutant:
    """One change of one function.

    Attributes
    ----------
    module
        File, relative to the root of the repository.
    lines
        First and last line of the outermost function that holds the change.
    line
        Line of the change.
    text
        The whole module with the change.
    change
        The lines that differ, before and after.
    """

    module: str
    lines: tuple[int, int]
    line: int
    text: str
    change: str


class _Visitor(MutationVisitor):
    """Mutates decorated functions as well, and no texts that are meant for people."""

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef) and node.decorators:
            return bool(super()._skip_node_and_children(node.with_changes(decorators=[])))
        # A default is a part of the function object and not of its code.
        if isinstance(node, cst.Param | cst.Decorator | cst.FormattedString):
            return True
        if isinstance(node, cst.SimpleString) and " " in node.value:
            return True  # a message; how it is worded is not for a test to say
        return bool(super()._skip_node_and_children(node))


def mutants(module: str, *, most: int, seed: int) -> tuple[int, list[Mutant]]:
    """How many mutants the functions of a module have, and some drawn (`most` 0: all), by line."""
    source = (ROOT / module).read_text(encoding="utf-8")
    visitor = _Visitor(mutation_operators, IgnoredCode(set(), set(), set()))
    wrapper = MetadataWrapper(cst.parse_module(source))
    tree = wrapper.visit(visitor)
    places = wrapper.resolve(PositionProvider)
    # Constants of modules and classes are read at import: they have no mutants.
    inside = [
        mutation
        for mutation in visitor.mutations
        if isinstance(mutation.contained_by_top_level_function, cst.FunctionDef)
    ]
    found: list[Mutant] = []
    for mutation in random.Random(seed).sample(inside, len(inside)):
        if len(found) == (most or len(inside)):
            break
        function = mutation.contained_by_top_level_function
        text = tree.deep_replace(mutation.original_node, mutation.mutated_node).code
        if text == source or not _compiles(text):
            continue
        span, change = places[function], _changed(source, text)
        place = places.get(mutation.original_node)
        line = span.start.line if place is None else place.start.line
        found.append(Mutant(module, (span.start.line, span.end.line), line, text, change))
    return len(inside), sorted(found, key=lambda mutant: mutant.line)


def unchanged(module: str) -> Mutant:
    """A mutant without a change: every test must pass on it."""
    source = (ROOT / module).read_text(encoding="utf-8")
    return Mutant(module, (1, source.count("\n") + 1), 1, source, "")


def probed(module: str) -> Mutant:
    """A mutant whose functions only tell that they were reached: in the set `REACHED`."""
    source = (ROOT / module).read_text(encoding="utf-8")
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            note = (
                f"__import__({__name__!r}, fromlist=['_']).REACHED.add({(module, node.lineno)!r})"
            )
            node.body.insert(0, ast.parse(note).body[0])
    return Mutant(module, (1, source.count("\n") + 1), 1, ast.unparse(tree), "")


def _compiles(text: str) -> bool:
    try:
        compile(text, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def _changed(before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return "\n".join(line for line in list(lines)[2:] if not line.startswith("@@"))


def _outermost(code: types.CodeType) -> Iterator[types.CodeType]:
    """Code of the functions and methods of a module or class."""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            if constant.co_flags & 2:  # a function has locals of its own; a class body has not
                yield constant
            else:
                yield from _outermost(constant)


def apply(mutant: Mutant) -> None:
    """Put the mutant's functions in the place of those that this process has imported."""
    path = str(ROOT / mutant.module)
    source = Path(path).read_text(encoding="utf-8")
    before, after = (
        list(_outermost(compile(text, path, "exec", dont_inherit=True)))
        for text in (source, mutant.text)
    )
    changed = {
        (old.co_qualname, old.co_firstlineno): new
        for old, new in zip(before, after, strict=True)
        if old.co_firstlineno <= mutant.lines[1]
    }
    swapped = 0
    for function in gc.get_objects():
        if isinstance(function, types.FunctionType) and function.__code__.co_filename == path:
            new = changed.get((function.__code__.co_qualname, function.__code__.co_firstlineno))
            if new is not None:
                function.__code__ = new
                swapped += 1
    assert swapped, f"{mutant.module} is not imported"
