from __future__ import annotations

from pathlib import Path

import pytest

from features.config import config as configs
from features.config.config import find, load
from flows.services.config_changes import changed_origin, config_changes, origin_line
from flows.services.workspace import Workspace, prepare_workspace, settle_config
from tests.flows.shop import write_shop


def _prepared(output: Path, config: str | None, *settings: str) -> None:
    prepare_workspace(output, config, settings)
    settle_config(output, keep=True)


def test_changes_name_keys_with_old_and_new_values() -> None:
    file = find("configs/cdnow.yaml")
    before, after = load(file), load(file, ("churn.horizon_days=33", "seed=7"))
    assert config_changes(before, before) == ""
    text = config_changes(before, after)
    assert f"churn.horizon_days {before.churn.horizon_days} -> 33" in text
    assert f"seed {before.seed} -> 7" in text


def test_a_config_that_differs_from_the_folders_copy_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, output = str(write_shop(tmp_path)), tmp_path / "out"
    _prepared(output, config)
    _prepared(output, config)
    assert "differs" not in capsys.readouterr().err
    _prepared(output, config, "churn.horizon_days=30")
    assert "churn.horizon_days 45 -> 30" in " ".join(capsys.readouterr().err.split())


def test_a_file_that_changed_after_the_copy_was_made_is_reported_until_it_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, output = write_shop(tmp_path), tmp_path / "out"
    _prepared(output, str(config))
    _prepared(output, None)
    _prepared(output, None, "seed=3")  # an override of the copy keeps the name of the file
    assert "changed" not in capsys.readouterr().err
    config.write_text(config.read_text(encoding="utf-8") + "seed: 5\n", encoding="utf-8")
    _prepared(output, None)
    # The width of the terminal may part a long path anywhere.
    assert "shop.yamlhaschangedsince" in "".join(capsys.readouterr().err.split())
    _prepared(output, str(config))
    capsys.readouterr()
    _prepared(output, None)
    assert "changed" not in capsys.readouterr().err
    assert Workspace(output).config().seed == 5


def test_a_copy_without_the_line_or_without_the_file_says_nothing(tmp_path: Path) -> None:
    config = write_shop(tmp_path)
    copy = tmp_path / "config.yaml"
    assert changed_origin(copy) is None
    configs.dump(load(config), copy)
    assert changed_origin(copy) is None
    copy.write_text(origin_line(config) + copy.read_text(encoding="utf-8"), encoding="utf-8")
    assert changed_origin(copy) is None
    config.unlink()
    assert changed_origin(copy) is None
