"""Passwords of a store and a source are in no byte that a run leaves, nor in what it prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import psycopg
import pytest
import yaml
from psycopg import sql

from features.config.config import load
from features.config.sources import UrlTable
from features.config.store_location import CONFIG_FILE, VARIABLE
from features.errors import UserError
from features.sources.remote_tables import open_remote_table
from features.storage import fault_injection
from features.storage.runs import run_folder, write_parquet
from features.storage.scores_store import publish_run, published_runs
from tests.features.storage.test_scores_store import audience_table, record, scores_table
from tests.flows.shop import stagecast, write_shop
from tests.postgres_server import postgres_server

pytestmark = [pytest.mark.services, pytest.mark.slow]

STORE = "Zq7planted/xK9planted#s?t@[o]%41re:&=+ sup3rS3cret ü日"
SOURCE = "Wv5planted@pL8planted/shop:[x]%2F ünd?#=&+sec0ndS3cret"
# None stands in an encoded picture by chance; a password that was cut or encoded shows one.
PIECES = (
    "Zq7planted", "xK9planted", "sup3rS3cret", "Wv5planted", "pL8planted", "sec0ndS3cret",
)  # fmt: skip
HOSTILE = [
    STORE, SOURCE, "/", "#", "?", "@", "[", "]", "%", ":", "&", "=", "+", " ", "%41", "${HOME}",
    "a b", "p@ss:w/rd?x=1#y", "\\'\"`;--", "pässwörd 日本", "tab\tnew\nline", "[::1]",
    "user:pw@host",
]  # fmt: skip


@dataclass(frozen=True)
class Guarded:
    """A PostgreSQL that lets the user `shop` in by a password only."""

    socket: str
    admin: str

    def password(self, text: str) -> None:
        with psycopg.connect(self.admin) as con:
            con.execute(sql.SQL("ALTER ROLE shop PASSWORD {}").format(sql.Literal(text)))


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    with postgres_server() as server:
        uri = server.get_uri()
        with psycopg.connect(uri) as con:
            con.execute("CREATE ROLE shop LOGIN")
            con.execute("GRANT ALL ON DATABASE postgres TO shop")
            con.execute("GRANT ALL ON SCHEMA public TO shop")
            (place,) = con.execute("SHOW hba_file").fetchone() or ("",)
            rules = Path(place)
            rules.write_text("local all shop scram-sha-256\n" + rules.read_text())
            con.execute("SELECT pg_reload_conf()")
        yield Guarded(parse_qs(urlsplit(uri).query)["host"][0], uri)


def into_database(frame: pd.DataFrame, place: str) -> None:
    columns = ", ".join(f'"{name}" {"float8" if name == "amount" else "text"}' for name in frame)
    with psycopg.connect(place) as con:
        con.execute("DROP TABLE IF EXISTS orders")
        con.execute(f"CREATE TABLE orders ({columns})")
        con.execute("GRANT SELECT ON orders TO shop")
        with con.cursor().copy("COPY orders FROM STDIN (FORMAT csv)") as copy:
            copy.write(frame.to_csv(index=False, header=False))


STORE_LINE = "postgresql://shop:${STORE_PASSWORD}@/postgres?host=${STORE_SOCKET}&schema="
SOURCE_LINE = "postgres://shop:${SHOP_PASSWORD}@/postgres?host=${SHOP_SOCKET}"


@pytest.mark.parametrize("password", HOSTILE)
def test_a_real_server_lets_in_whom_it_knows_whatever_the_password(
    guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    guarded.password(password)
    into_database(pd.DataFrame({"customer": ["a"], "amount": [1.5]}), guarded.admin)
    monkeypatch.delenv(VARIABLE, raising=False)
    for kind in ("STORE", "SHOP"):
        monkeypatch.setenv(f"{kind}_PASSWORD", password)
        monkeypatch.setenv(f"{kind}_SOCKET", guarded.socket)
    schema = f"hostile{HOSTILE.index(password)}"
    (tmp_path / CONFIG_FILE).write_text(f'store: "{STORE_LINE}{schema}"\n', encoding="utf-8")
    run = record("r1")
    folder = run_folder(tmp_path, "r1")
    scores = write_parquet(folder / "s.parquet", scores_table(run, ["a"], 1.0))
    audience = write_parquet(folder / "a.parquet", audience_table(run, {}))
    publish_run(tmp_path, run, scores=[scores], audience=audience)
    assert [run.run_id for run in published_runs(tmp_path)] == ["r1"]
    with open_remote_table(UrlTable(url=SOURCE_LINE, table="orders")) as rows:
        assert rows.to_pyarrow().to_pylist() == [{"customer": "a", "amount": 1.5}]
    monkeypatch.setenv("STORE_PASSWORD", f"{password}x")
    with pytest.raises(UserError, match="authentication failed") as told:
        published_runs(tmp_path)
    if len(password) > 5:
        assert password not in f"{told.value} {told.value.__cause__!r}"


def places_with(folder: Path, pieces: tuple[str, ...]) -> list[str]:
    """Every file under a folder with one of the pieces in its bytes."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert len(files) > 20
    return [
        f"{path.relative_to(folder)}: {piece}"
        for path in files
        for piece in pieces
        if piece.encode() in path.read_bytes()
    ]


def test_planted_passwords_are_in_no_byte_of_the_output_after_killed_runs_too(
    guarded: Guarded, tmp_path: Path
) -> None:
    guarded.password(STORE)
    with psycopg.connect(guarded.admin) as con:
        con.execute("DROP ROLE IF EXISTS reader")
    config = write_shop(tmp_path / "shop")
    into_database(pd.read_csv(tmp_path / "shop" / "orders.csv", dtype=str), guarded.admin)
    content: dict[str, Any] = yaml.safe_load(config.read_text())
    content["sources"][0]["events"] = {"url": SOURCE_LINE, "table": "orders"}
    content["store"] = f"{STORE_LINE}planted"
    config.write_text(yaml.safe_dump(content))
    output, said = tmp_path / "out", []
    right = {
        "STORE_PASSWORD": STORE,
        "SHOP_PASSWORD": STORE,
        "STORE_SOCKET": guarded.socket,
        "SHOP_SOCKET": guarded.socket,
    }

    def command(*arguments: str | Path, **changed: str) -> int:
        done = stagecast(*arguments, "--output", output, env={**right, **changed})
        said.append(done.stdout + done.stderr)
        return done.returncode

    assert command("run", "--config", config) == 0, said
    assert command("score") == 0, said
    nowhere = str(tmp_path / "nowhere")
    for changed in (
        {"STORE_SOCKET": nowhere},
        {"SHOP_SOCKET": nowhere},
        {"STORE_PASSWORD": f"{STORE}x"},
        {"SHOP_PASSWORD": SOURCE},
        {VARIABLE: f"postgresql://shop:{STORE}@127.0.0.1:1/postgres"},
        {VARIABLE: "postgresql://shop:Zq7planted/xK9sup3rS3cret@127.0.0.1:1/postgres"},
    ):
        assert command("score", **changed) == 2, said[-1]
        assert "Traceback" not in said[-1]
    for reader in ("doctor", "leads", "report"):
        assert command(reader, STORE_SOCKET=nowhere) == 2, said[-1]
    for point in ("run described", "scores written", "before commit", "committed"):
        assert command("score", **{fault_injection.VARIABLE: point}) == -9, said[-1]
    plain = f"store=postgresql://shop:{SOURCE}@h/db"
    assert command("train", "--set", plain) == 2
    assert "${NAME}" in said[-1]
    assert command("score") == 0, said[-1]
    assert not [piece for piece in PIECES for text in said if piece in text]
    assert places_with(output, PIECES) == []
    kept = yaml.safe_load((output / CONFIG_FILE).read_text())
    assert kept["store"] == f"{STORE_LINE}planted"
    assert load(output / CONFIG_FILE).sources[0].events == UrlTable(url=SOURCE_LINE, table="orders")


def test_a_login_in_the_address_of_a_server_is_told_to_nobody(tmp_path: Path) -> None:
    config, output = write_shop(tmp_path / "shop", customers=20), tmp_path / "out"
    address = f"http://me:{SOURCE.replace('@', '%40').replace(' ', '%20')}@127.0.0.1:9"
    said = []
    for changed, arguments in (
        ({"MLFLOW_TRACKING_URI": address, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}, ("doctor",)),
        ({"PREFECT_API_URL": f"{address}/api"}, ("features", "--config", config)),
    ):
        done = stagecast(*arguments, "--output", output, env=changed)
        said.append(done.stdout + done.stderr)
        assert "features" not in arguments or done.returncode != 0
    assert not [piece for piece in PIECES for text in said if piece in text], json.dumps(said)
