"""Damage copies of a logged scorer, and try to load each: run as a process, so that an abort shows.

    python -m tests.models.damaged_scorers FOLDER TAGS KIND SEED COUNT

One line of JSON a copy: what was done to it, and the refusal, or null where it loaded.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from models.registry import registry
from models.registry.artifact_integrity import seal_artifacts
from models.registry.version import Version
from models.scorer.artifacts import load_scorer
from models.scorer.manifest import write_manifest

Damage = Callable[[random.Random, Path], str]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _some(draw: random.Random, folder: Path) -> Path:
    return draw.choice([path for path in _files(folder) if path.stat().st_size])


def flip(draw: random.Random, folder: Path) -> str:
    path = _some(draw, folder)
    content = bytearray(path.read_bytes())
    at = draw.randrange(len(content))
    content[at] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    return f"bit flipped at byte {at} of {path.name}"


def cut(draw: random.Random, folder: Path) -> str:
    path = _some(draw, folder)
    content = path.read_bytes()
    at = draw.randrange(len(content))
    path.write_bytes(content[:at])
    return f"{path.name} cut to {at} bytes"


def swap_bytes(draw: random.Random, folder: Path) -> str:
    path = _some(draw, folder)
    content = bytearray(path.read_bytes())
    for _ in range(1000):
        one, other = draw.randrange(len(content)), draw.randrange(len(content))
        if content[one] != content[other]:
            break
    content[one], content[other] = content[other], content[one]
    path.write_bytes(content)
    return f"bytes {one} and {other} of {path.name} swapped"


def swap_lines(draw: random.Random, folder: Path) -> str:
    path = draw.choice([p for p in _files(folder) if len(set(p.read_bytes().split(b"\n"))) > 2])
    lines = path.read_bytes().split(b"\n")
    one = draw.randrange(len(lines))
    other = next(at for at in range(len(lines)) if lines[at] != lines[one])
    lines[one], lines[other] = lines[other], lines[one]
    path.write_bytes(b"\n".join(lines))
    return f"lines {one} and {other} of {path.name} swapped"


def swap_files(draw: random.Random, folder: Path) -> str:
    one, other = draw.sample(_files(folder), 2)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    return f"{one.name} and {other.name} swapped"


def append(draw: random.Random, folder: Path) -> str:
    path = draw.choice(_files(folder))
    added = draw.choice(["\n", "\nimport os\nprint('ran')\n", "0", "}"])
    path.write_bytes(path.read_bytes() + added.encode())
    return f"{added!r} appended to {path.name}"


def add(draw: random.Random, folder: Path) -> str:
    place = draw.choice([folder, *sorted(p for p in folder.rglob("*") if p.is_dir())])
    name = draw.choice(["numpy.py", "part.json", "extra.txt", ".hidden", "json.pyc", "x/y.py"])
    path = place / name
    while path.exists():
        path = path.with_name(f"_{path.name}")
    path.parent.mkdir(exist_ok=True)
    path.write_text("raise SystemExit('ran')\n", encoding="utf-8")
    return f"{path.relative_to(folder)} added"


def remove(draw: random.Random, folder: Path) -> str:
    # Without MLflow's note of the download nothing is missing.
    path = draw.choice([p for p in _files(folder) if p.name != "registered_model_meta"])
    path.unlink()
    return f"{path.name} removed"


def link(draw: random.Random, folder: Path) -> str:
    path = _some(draw, folder)
    outside = folder.with_name("outside")
    shutil.copy(path, outside)
    path.unlink()
    path.symlink_to(outside)
    return f"{path.name} replaced by a link to its copy"


def _change_json(folder: Path, name: str, change: Callable[[dict[str, object]], None]) -> Path:
    (path,) = [path for path in _files(folder) if path.name == name]
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")
    return path


def not_finite(draw: random.Random, folder: Path) -> str:
    value = draw.choice([float("nan"), float("inf"), -float("inf")])
    _change_json(folder, "part.json", lambda c: c["parameters"].update(coverage=value))
    return f"coverage became {value}"


def reverse_features(_draw: random.Random, folder: Path) -> str:
    _change_json(folder, "part.json", lambda c: c["parameters"]["columns"].reverse())
    return "columns reversed"


def foreign_features(_draw: random.Random, folder: Path) -> str:
    _change_json(folder, "scorer.json", lambda c: c["features"].pop())
    return "a feature taken out of the head"


KINDS: dict[str, Damage] = {
    damage.__name__: damage
    for damage in (
        flip, cut, swap_bytes, swap_lines, swap_files, append, add, remove, link, not_finite,
        reverse_features, foreign_features,
    )
}  # fmt: skip
TREES: dict[str, Damage] = {
    damage.__name__: damage for damage in (flip, cut, swap_bytes, swap_lines, append)
}


def _load(folder: Path, tags: dict[str, str]) -> None:
    registry.load_folder(folder, Version("damaged", 1, "", (), tags, "", 0))


def _load_trees(folder: Path) -> None:
    """Load parts whose manifest was written anew, and predict by each booster."""
    write_manifest(folder)
    parts, _ = load_scorer(folder)
    for part in parts.values():
        for booster in part.boosters.values():
            booster.predict([[0.0] * booster.num_feature()])


def main(source: Path, tags: dict[str, str], kind: str, seed: int, count: int) -> None:
    """Damage and load, as often as asked."""
    for number in range(count):
        draw = random.Random(f"{seed} {number}")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "model"
            shutil.copytree(source, folder)
            damages = TREES if kind == "trees" else KINDS
            damage = list(damages.values())[number % len(damages)]
            refused: str | None = None
            try:
                if kind == "trees":
                    (text,) = folder.rglob("s1.txt")
                    trees = Path(name) / "trees"
                    trees.mkdir()
                    shutil.copy(text, trees / text.name)
                    done = damage(draw, trees)
                    shutil.copy(trees / text.name, text)
                    _load_trees(folder / "artifacts" / "scorer")
                else:
                    done = damage(draw, folder)
                    if kind == "sealed anew":
                        write_manifest(folder / "artifacts" / "scorer")
                        seal_artifacts(folder)
                    _load(folder, tags)
            except Exception as error:
                refused = f"{type(error).__name__}: {error}"
            print(json.dumps({"done": done, "refused": refused}), flush=True)


if __name__ == "__main__":
    main(
        Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
    )
