"""Damaged and foreign artifacts are refused before anything of them is parsed or run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest

from features.errors import UserError
from models.registry import registry
from models.registry.artifact_integrity import MANIFEST_TAG, SIGNING_KEY
from models.registry.tracking import Tracking
from models.registry.version import Version
from models.scorer.manifest import DamagedArtifact
from models.scorer.part import FORMAT, ForeignFormat, Part
from models.scorer.tree_text import check_tree_text
from tests.models.damaged_scorers import KINDS
from tests.models.registry.test_registry import HEAD, expected, make_frame, make_part

ROOT = Path(__file__).parents[3]
DAMAGES = 96  # eight of every kind
SEED = 20_261_129


def logged(store: Tracking, name: str) -> Version:
    with store.run("fit") as run:
        return registry.log_version(
            run, name, {"churn": make_part(0)}, head=HEAD, description="", tags={}
        )


@pytest.fixture(scope="module")
def version(store: Tracking) -> Version:
    return logged(store, "sealed")


@pytest.fixture(scope="module")
def folder(store: Tracking, version: Version) -> Path:
    return registry.artifacts(store, version.name, version.version)


def outcomes(folder: Path, tags: dict[str, str], kind: str, count: int) -> list[dict[str, str]]:
    """What became of damaged copies; a process that ended early has aborted."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.damaged_scorers",
         str(folder), json.dumps(tags), kind, str(SEED), str(count)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-500:]}\n{done.stderr[-3000:]}"
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(rows) == count
    assert "ran" not in done.stdout.splitlines()
    return rows


def test_every_damage_is_refused_and_none_ends_the_process(version: Version, folder: Path) -> None:
    rows = outcomes(folder, version.tags, "any", DAMAGES)
    assert [row["done"] for row in rows if row["refused"] is None] == []
    assert {row["refused"].split(":")[0] for row in rows} == {"DamagedArtifact"}
    assert all("\n" not in row["refused"] for row in rows)


def test_a_manifest_written_anew_is_refused_by_the_registry(version: Version, folder: Path) -> None:
    rows = outcomes(folder, version.tags, "sealed anew", 2 * len(KINDS))
    accepted = [row["done"] for row in rows if row["refused"] is None]
    # To write the manifest anew repairs a manifest that was damaged itself.
    assert [done for done in accepted if not done.endswith("manifest.json")] == []


def test_no_damaged_tree_text_ends_the_process_even_where_the_hash_fits(folder: Path) -> None:
    rows = outcomes(folder, {}, "trees", 200)
    cuts = [row for row in rows if " cut to " in row["done"]]
    assert len(cuts) == 40
    (text,) = folder.rglob("s1.txt")
    # What LightGBM notes of itself behind the trees is not read, so it may be lost.
    notes = text.read_bytes().index(b"end of trees") + len(b"end of trees\n")
    whole = [int(row["done"].split(" ")[-2]) for row in cuts if row["refused"] is None]
    assert all(at >= notes for at in whole)
    assert len(whole) < 30
    assert all("s1.txt" in row["refused"] for row in cuts if row["refused"])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("Tree=1\n", "Tree=7\n"), "cut or is missing"),
        (("max_feature_idx=1", "max_feature_idx=0"), "input columns"),
        (("num_leaves=5", "num_leaves=6"), "agree|cut"),
        (("left_child=", "left_child=0 "), "agree|cut"),
        (("split_gain=", "split_gain=-"), "does not write|cut"),
        (("tree_sizes=", "tree_sizes=9 "), "cut or is missing"),
        (("end of trees", "end of woods"), "trees"),
        (("tree\nversion", "three\nversion"), "not a LightGBM"),
    ],
)
def test_a_wrong_tree_text_is_refused(wrong: tuple[str, str], told: str) -> None:
    text = make_part(0).boosters["s1"].model_to_string()
    check_tree_text(text)
    assert wrong[0] in text
    with pytest.raises(ValueError, match=told):
        check_tree_text(text.replace(*wrong, 1))


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_leaf_that_is_no_number_is_refused(value: str) -> None:
    text = make_part(0).boosters["s1"].model_to_string()
    leaf = text.split("leaf_value=")[1].split(" ")[0]
    with pytest.raises(ValueError, match="does not write"):
        check_tree_text(text.replace(leaf, value.ljust(len(leaf)), 1))


def test_missing_values_alone_on_one_side_are_whole_trees() -> None:
    """LightGBM writes an infinite threshold where all known values go left."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 2))
    x[rng.random(2000) < 0.5, 0] = np.nan
    y = np.isnan(x[:, 0]).astype(float)
    settings = {"objective": "binary", "num_threads": 1, "verbose": -1, "num_leaves": 4}
    text = lgb.train(settings, lgb.Dataset(x, y), num_boost_round=3).model_to_string()
    assert "inf" in text.split("threshold=")[1].split("\n")[0]
    kept = check_tree_text(text)
    assert text.startswith(kept[: kept.index("end of trees")])
    again = lgb.Booster(model_str=kept)
    np.testing.assert_array_equal(again.predict(x), lgb.Booster(model_str=text).predict(x))
    assert check_tree_text(again.model_to_string()) == kept


def test_damage_in_the_registry_is_one_message(store: Tracking) -> None:
    made = logged(store, "cut")
    (text,) = registry.artifacts(store, "cut", made.version).rglob("s1.txt")
    text.write_bytes(text.read_bytes()[:-700])
    with pytest.raises(UserError, match=r"s1\.txt: changed after") as caught:
        registry.load(store, "cut", version=made.version)
    assert str(text.parent) not in str(caught.value)


def test_a_replaced_manifest_does_not_fit_the_registry(version: Version, folder: Path) -> None:
    other = Version("sealed", 1, "", (), {MANIFEST_TAG: "0" * 64}, "", 0)
    with pytest.raises(DamagedArtifact, match="registry"):
        registry.load_folder(folder, other)


def test_a_version_without_check_sums_is_of_an_earlier_stagecast(store: Tracking) -> None:
    made = logged(store, "earlier")
    store.client.delete_model_version_tag("earlier", str(made.version), MANIFEST_TAG)
    with pytest.raises(UserError, match=r"earlier version(.|\n)*train again"):
        registry.load(store, "earlier", version=made.version)


def test_parts_of_another_format_say_how_to_go_on(tmp_path: Path) -> None:
    make_part(0).save(tmp_path)
    head = json.loads((tmp_path / "part.json").read_text())
    (tmp_path / "part.json").write_text(json.dumps({**head, "format": FORMAT - 1}))
    with pytest.raises(ForeignFormat, match="train again"):
        Part.load(tmp_path)


def test_a_part_with_a_number_that_is_not_finite_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        Part("churn", {"weight": float("nan")}).save(tmp_path)


def test_signed_artifacts(store: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = make_frame()
    plain = logged(store, "unsigned")
    monkeypatch.setenv(SIGNING_KEY, "a long secret")
    signed = logged(store, "signed")
    loaded = registry.load(store, "signed", version=signed.version)
    assert loaded.predict(frame).equals(expected(0, frame))
    with pytest.raises(UserError, match="not signed"):
        registry.load(store, "unsigned", version=plain.version)
    monkeypatch.setenv(SIGNING_KEY, "another secret")
    with pytest.raises(UserError, match="another key"):
        registry.load(store, "signed", version=signed.version)
    monkeypatch.delenv(SIGNING_KEY)
    registry.load(store, "signed", version=signed.version)


def test_loading_leaves_the_import_path_and_the_artifacts_as_they_were(
    store: Tracking, version: Version, folder: Path
) -> None:
    before, files = list(sys.path), sorted(folder.rglob("*"))
    registry.load(store, version.name, version=version.version)
    assert sys.path == before
    assert sorted(folder.rglob("*")) == files
