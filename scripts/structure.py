"""Measure how the product reads: public names, circles, chains, local names, lines.

Run `uv run python scripts/structure.py`; with a folder, that checkout is measured instead.
`tests/architecture/test_structure.py` holds the bars.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("features", "models", "campaigns", "simulator", "flows", "stagecast")
# Words that say nothing of what a variable holds.
VAGUE = frozenset(
    [
        "found",
        "told",
        "made",
        "each",
        "given",
        "there",
        "around",
        "everybody",
        "said",
        "asked",
        "kept",
        "held",
        "other",
        "others",
        "thing",
        "things",
        "what",
        "whom",
        "who",
        "where",
        "here",
        "then",
        "that",
        "this",
        "those",
        "these",
        "it",
        "its",
        "one",
        "ones",
        "some",
        "such",
        "all",
        "both",
        "much",
        "many",
        "something",
        "everything",
        "nothing",
        "done",
        "left",
        "gone",
        "seen",
        "known",
        "taken",
        "used",
    ]
)
ROOT = Path(__file__).parents[1]

Graph = Mapping[str, set[str]]


@dataclass(frozen=True)
class Structure:
    """Figures of a checkout; `docs/architecture.md` says what each is for.

    Attributes
    ----------
    files, lines, largest
        Python files of the product, their lines, and the lines of the longest file.
    public_names, shared_names
        Names that modules define without an underscore; how many stand in several modules.
    longest_chain
        Modules on the longest path of imports that run when a module is imported.
    folder_circles, module_circles
        Groups of folders, and of modules, that import each other.
    mean_local_length, vague_share
        Letters of a local name in the mean of all bindings; share of bindings that say nothing.
    """

    files: int
    lines: int
    largest: int
    public_names: int
    shared_names: int
    longest_chain: int
    folder_circles: int
    module_circles: int
    mean_local_length: float
    vague_share: float


def measure(root: Path = ROOT) -> Structure:
    """Figures of the checkout at `root`."""
    modules = {module_name(path, root): path for path in sources(root)}
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in modules.items()}
    imports = import_graph(modules, trees)
    lengths = [len(path.read_text(encoding="utf-8").splitlines()) for path in modules.values()]
    defined = Counter(name for tree in trees.values() for name in set(public_names(tree)))
    local_names = [name for tree in trees.values() for name in locals_of(tree)]
    named = [name.strip("_") for name in local_names]
    return Structure(
        files=len(modules),
        lines=sum(lengths),
        largest=max(lengths),
        public_names=sum(defined.values()),
        shared_names=sum(count > 1 for count in defined.values()),
        longest_chain=longest_chain(import_graph(modules, trees, at_import)),
        folder_circles=len(circles(folder_graph(imports, modules, root))),
        module_circles=len(circles(imports)),
        mean_local_length=sum(map(len, named)) / len(named),
        vague_share=sum(name in VAGUE for name in named) / len(named),
    )


def sources(root: Path) -> list[Path]:
    """Python files of the product's packages that exist in this checkout."""
    return [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]


def module_name(path: Path, root: Path) -> str:
    """Dotted name of a module; of a package for its `__init__`."""
    dotted = ".".join(path.relative_to(root).with_suffix("").parts)
    return dotted.removesuffix(".__init__")


def public_names(tree: ast.Module) -> Iterator[str]:
    """Functions, classes and constants that a module defines without an underscore."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            names = []
        yield from (name for name in names if not name.startswith("_"))


def locals_of(tree: ast.Module) -> Iterator[str]:
    """Every name that a function or comprehension binds; parameters are left out."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            bound = {
                node.id
                for node in ast.walk(function)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            }
            yield from (name for name in bound if name.strip("_"))


def import_graph(
    modules: Mapping[str, Path],
    trees: Mapping[str, ast.Module],
    nodes: Callable[[ast.Module], Iterable[ast.AST]] = ast.walk,
) -> Graph:
    """Which modules of ours each module imports, also inside functions; or by some nodes only."""
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for name, tree in trees.items():
        package = name if modules[name].name == "__init__.py" else name.rpartition(".")[0]
        for node in nodes(tree):
            targets: list[str] = []
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, node.module or ""]) if node.level else node.module
                base = (base or "").strip(".")
                for alias in node.names:
                    below = f"{base}.{alias.name}"
                    targets.append(below if below in modules else base)
            graph[name] |= {target for target in targets if target in modules and target != name}
    return graph


def at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """Statements that run when a module is imported, without those for type checkers."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If):
            waiting += node.orelse if "TYPE_CHECKING" in ast.unparse(node.test) else node.body
        elif isinstance(node, ast.Try):
            waiting += node.body
        else:
            yield node


def folder_graph(imports: Graph, modules: Mapping[str, Path], root: Path) -> Graph:
    """Which folders import which other folders."""
    graph: dict[str, set[str]] = defaultdict(set)
    for name, targets in imports.items():
        here = str(modules[name].parent.relative_to(root))
        there = {str(modules[target].parent.relative_to(root)) for target in targets}
        graph[here] |= there - {here}
    return graph


def circles(graph: Graph) -> list[list[str]]:
    """Groups of nodes that reach each other (strongly connected components of two or more)."""
    reach = {node: _reachable(graph, node) for node in graph}
    groups = {
        tuple(sorted(other for other in reach[node] if node in reach.get(other, set())))
        for node in graph
    }
    return [list(group) for group in sorted(groups) if len(group) > 1]


def _reachable(graph: Graph, start: str) -> set[str]:
    visited: set[str] = set()
    waiting = list(graph.get(start, ()))
    while waiting:
        node = waiting.pop()
        if node not in visited:
            visited.add(node)
            waiting += graph.get(node, ())
    return visited


def longest_chain(graph: Graph) -> int:
    """Modules on the longest path of imports; circles are walked once."""
    depth: dict[str, int] = {}

    def depth_of(node: str, path: frozenset[str]) -> int:
        if node not in depth:
            below = [depth_of(t, path | {node}) for t in graph[node] if t not in path]
            depth[node] = 1 + max(below, default=0)
        return depth[node]

    return max(depth_of(node, frozenset()) for node in graph)


def main() -> None:
    """Print the figures, one a line."""
    figures = measure(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT)
    for name, value in vars(figures).items():
        print(f"{name:20s} {value:,.3f}" if isinstance(value, float) else f"{name:20s} {value:,}")


if __name__ == "__main__":
    main()
