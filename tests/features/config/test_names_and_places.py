"""No name becomes another place: paths out of their folder, links, web addresses, variables."""

from __future__ import annotations

import datetime as dt
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from campaigns.export_schema import TargetMap
from campaigns.playbook_parts import CampaignName
from features.config import config as configs
from features.config.retention import Retention
from features.config.yaml_loading import override, parse_yaml
from features.errors import UserError
from features.sources.experiments import ExperimentFile
from features.storage.atomic_write import remove_path
from features.storage.duckdb_store import STORE_FILE
from features.storage.retention import apply_retention
from features.storage.scores_store import RunRecord, read_current, run_folder
from tests.features.storage.test_scores_store import MOMENT, publish_example, record
from tests.oracles.orders import GOOD, HEADER, csv, refusal, shop

PARTS = (
    "..",
    ".",
    "/",
    "\\",
    "a",
    "etc",
    "%2e%2e",
    "%2f",
    "~",
    "~root",
    "\x00",
    "\n",
    " ",
    "C:",
    "//",
    "é",
    "-",
)
outside = st.lists(st.sampled_from(PARTS), min_size=1, max_size=5).map("".join)
COLUMN = {"name": "id", "from": "customer_id"}


def harmless(name: str) -> bool:
    """Whether a name is one entry of a folder, and the same one for whoever reads it."""
    return Path(name).name == name and name not in (".", "..") and name.isprintable()


@given(outside)
def test_no_declared_name_leaves_its_folder(name: str) -> None:
    takes = {
        "config": lambda: shop("orders.csv", name=name),
        "campaign": lambda: TypeAdapter(CampaignName).validate_python(name),
        "target": lambda: TargetMap.model_validate(
            {"target": name, "title": "x", "columns": [COLUMN]}
        ),
        "experiment": lambda: ExperimentFile.model_validate(
            {"name": name, "table": "x.csv", "treatment": "t", "outcome": "o"}
        ),
        "run": lambda: RunRecord(
            run_id=name,
            dataset="shop",
            snapshot_at=dt.date(2020, 1, 1),
            scorer_version="1",
            started_at=MOMENT,
            finished_at=MOMENT,
        ),
    }
    for take in takes.values():
        try:
            take()
        except ValidationError:
            continue
        assert harmless(name)


def test_a_store_that_is_a_link_is_replaced_and_what_it_led_to_stays(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    output = tmp_path / "out"
    output.mkdir()
    publish_example(output, record("r1"), ["a"])
    (output / STORE_FILE).unlink()
    (output / STORE_FILE).symlink_to(victim)
    try:
        publish_example(output, record("r2"), ["a"])
    except UserError:  # it is no database
        assert victim.read_text() == "mine"
        return
    assert victim.read_text() == "mine"
    assert read_current(output).run.run_id == "r2"


@pytest.mark.parametrize("name", ["exports", "report", "report.html", "summary.md"])
def test_what_is_removed_in_the_output_folder_never_follows_a_link(
    name: str, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "letter.txt").write_text("mine")
    output = tmp_path / "out"
    for number, day in enumerate((dt.date(2017, 1, 1), dt.date(2017, 10, 1))):
        publish_example(output, record(f"r{number}", day), ["a"])
    (run_folder(output, "r0") / name).symlink_to(victim)
    assert apply_retention(output, Retention(exports_days=10))["exports"] == 1
    assert not (run_folder(output, "r0") / name).is_symlink()
    assert (victim / "letter.txt").read_text() == "mine"


def test_a_link_to_nowhere_is_removed_too(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    remove_path(tmp_path / "link")
    remove_path(tmp_path / "link")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """Address of a server that nobody may ask, and what it has been asked for."""
    paths: list[str] = []

    class Noted(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Noted) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", paths
        server.shutdown()


@pytest.mark.parametrize("scheme", ["http", "https", "s3", "gs", "ftp", "file", "hf", "azure"])
@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_a_web_address_is_no_file_and_nobody_is_asked(
    scheme: str, ending: str, tmp_path: Path, asked: tuple[str, list[str]]
) -> None:
    host, paths = asked
    address = f"{scheme}://{host}/x.{ending}"
    assert "no such file" in refusal(shop(address), tmp_path)
    beside = csv(tmp_path, HEADER + GOOD)
    lookup = [{"table": address, "key": "customer"}]
    assert "no such file" in refusal(shop(beside, source_lookups=lookup), tmp_path)
    assert paths == []


@pytest.mark.parametrize("scheme", ["http", "https", "ftp", "file", "s3"])
def test_a_url_of_no_database_is_refused_and_nobody_is_asked(
    scheme: str, tmp_path: Path, asked: tuple[str, list[str]]
) -> None:
    host, paths = asked
    events = {"url": f"{scheme}://{host}/x.parquet", "table": "x"}
    assert f"{scheme}://... table x" in refusal(shop("x.csv", source_events=events), tmp_path)
    assert paths == []


def test_variables_of_the_environment_come_into_no_text_of_a_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", "s3cret")
    spellings = ("${PLANTED}", "$PLANTED", "%PLANTED%", "{PLANTED}", "`echo $PLANTED`", "~")
    path = tmp_path / "shop.yaml"
    for spelling in spellings:
        content = {
            "name": "shop",
            "description": spelling,
            "notice": spelling,
            "sources": [
                {
                    "events": f"{spelling}.csv",
                    "event_type": "purchase",
                    "columns": {
                        "customer_id": spelling,
                        "occurred_at": {"column": spelling, "zone": "UTC"},
                    },
                }
            ],
            "stages": {"buying_stage": "a", "stages": [spelling]},
        }
        path.write_text(yaml.safe_dump(content))
        config = configs.load(path)
        configs.dump(config, tmp_path / "config.yaml")
        assert config.description == spelling
        assert "s3cret" not in (tmp_path / "config.yaml").read_text()
        assert str(Path.home()) not in (tmp_path / "config.yaml").read_text()


BROKEN = (
    "a: [s3cret",
    "a: 's3cret",
    "s3cret: b: c",
    "a: @s3cret",
    "a: &s3cret\n  - *b",
    "s3cret\n\tx: 1",
)


@pytest.mark.parametrize("text", BROKEN)
def test_a_line_that_is_no_yaml_is_named_and_not_shown(text: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"store: postgresql://ann:s3cret@db/x\n{text}\n")
    with pytest.raises(UserError) as caught:
        parse_yaml(path)
    assert "s3cret" not in str(caught.value)
    assert "line" in str(caught.value)


@pytest.mark.parametrize("value", ["[s3cret", "'s3cret", "@s3cret", "s3cret: b: c"])
def test_a_setting_that_is_no_yaml_is_named_and_not_shown(value: str) -> None:
    with pytest.raises(UserError) as caught:
        override({}, f"store={value}")
    assert "s3cret" not in str(caught.value)
    assert "--set store" in str(caught.value)
