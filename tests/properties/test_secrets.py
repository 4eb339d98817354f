"""A password of any signs reaches the driver as it is, and stands in no message.

Plain ones, however they are spelled and wherever they stand in a config, are refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
import sqlalchemy as sql
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from campaigns.export_schema import load_target
from campaigns.export_table import target_url
from features.config.config import Config, load
from features.config.database_url import filled, shown, taken_apart
from features.config.secret_values import hidden, is_secret, plain_secret
from features.config.store_location import VARIABLE, store_url
from features.config.yaml_loading import parse_yaml
from features.errors import UserError
from features.servers import NO_ADDRESS, without_login
from features.sources.remote_tables import connection_parts, open_remote_table
from features.storage.postgres_store import PostgresStore
from flows.services.settings import move_logins_to_variables
from tests.tries import tries

NASTY = "/#?@[]%:&=+ ;,'\"\\$`{}|<>!*~^\t\n"
# An environment variable holds no NUL, and text that is UTF-8.
SIGNS = st.one_of(
    st.sampled_from(NASTY), st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")
)
# Long enough that no message holds it by chance.
PASSWORDS = st.builds(
    lambda before, middle, after: f"{before}Zq7{middle}xK9{after}",
    st.text(SIGNS, max_size=12),
    st.text(SIGNS, max_size=4),
    st.text(SIGNS, max_size=12),
)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
HOSTILE = "/#?@[]%:&=+ ${X}%41ü日"


@contextmanager
def environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def parts_of(text: str) -> set[str]:
    """What of a password would tell it: itself, encoded, and every piece that a parser cuts."""
    pieces = {text, quote(text, safe=""), repr(text)[1:-1]}
    for sign in "/#?@[]:&=+ ":
        pieces |= {piece for one in list(pieces) for piece in one.split(sign)}
    return {piece for piece in pieces if "Zq7" in piece or "xK9" in piece}


@settings(max_examples=tries(300))
@given(password=PASSWORDS, user=PASSWORDS, name=NAMES, port=st.integers(1, 65535))
@example(password=HOSTILE, user="u", name="d", port=5432)
def test_every_part_arrives_exactly_at_each_driver(
    password: str, user: str, name: str, port: int
) -> None:
    with environment(SHOP_PW=password, SHOP_USER=user, SHOP_DB=name, SHOP_PORT=str(port)):
        url = "postgresql://${SHOP_USER}:${SHOP_PW}@db.internal:${SHOP_PORT}/${SHOP_DB}"
        store = PostgresStore.of(Path(), filled(f"{url}?sslmode=prefer&schema=s1"))
        wanted = {
            "host": "db.internal", "port": port, "user": user, "password": password,
            "dbname": name, "sslmode": "prefer",
        }  # fmt: skip
        assert store.parameters == wanted
        # What the driver makes of it, taken apart by libpq itself.
        read = conninfo_to_dict(make_conninfo(**store.parameters))
        assert read == {key: str(value) for key, value in wanted.items()}
        assert store.schema == "s1"
        assert not [piece for piece in parts_of(password) if piece in f"{store.name} {store!r}"]
        source = connection_parts(f"{url}?sslmode=prefer")[1]
        assert source == {
            "host": "db.internal", "port": port, "user": user, "password": password,
            "database": name, "sslmode": "prefer",
        }  # fmt: skip
        place = target_url(url.replace("postgresql:", "postgresql+psycopg:"))
        given_to = sql.create_engine(place).dialect.create_connect_args(place)[1]
        assert (given_to["password"], given_to["user"]) == (password, user)
        assert given_to["dbname"] == name


@settings(max_examples=tries(300))
@given(password=PASSWORDS, kind=st.sampled_from(["mysql", "mssql", "trino", "snowflake"]))
def test_other_databases_are_given_the_same_parts(password: str, kind: str) -> None:
    with environment(SHOP_PW=password):
        source = connection_parts(f"{kind}://me:${{SHOP_PW}}@host/shop/main")[1]
        assert source["auth" if kind == "trino" else "password"] == password
        assert source["database"] == "shop"
        query = filled("postgresql://host/db?user=me&password=${SHOP_PW}")
        assert query.query["password"] == password


@settings(max_examples=tries(200))
@given(password=PASSWORDS)
@example(password="Zq7/xK9sup3rS3cret")
@example(password="Zq7#xK9")
@example(password="Zq7[xK9")
def test_an_address_in_the_environment_is_read_or_refused_and_told_to_nobody(
    password: str,
) -> None:
    for written in (password, quote(password, safe="")):
        raw = f"postgresql://stagecast:{written}@127.0.0.1:1/marketing"
        try:
            url = taken_apart(raw, where=VARIABLE)
        except UserError as error:
            assert written == password  # what is encoded is always read
            said = str(error)
        else:
            assert str(url.password) == unquote(written)
            assert (url.username, url.host, url.port) == ("stagecast", "127.0.0.1", 1)
            said = PostgresStore.of(Path(), url).name + shown(url)
        assert not [piece for piece in parts_of(password) if piece in said]


@settings(max_examples=tries(40))
@given(password=PASSWORDS)
@example(password="Zq7/xK9sup3rS3cret")
def test_nothing_is_told_of_servers_that_are_out_of_reach(
    password: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    output = tmp_path_factory.mktemp("out")
    (output / "config.yaml").write_text(
        'store: "postgresql://stagecast:${STORE_PW}@127.0.0.1:1/marketing"\n', encoding="utf-8"
    )
    with environment(STORE_PW=password):
        url = store_url(output)
        assert url is not None
        location = (
            Config.model_validate(
                shop({"url": "postgres://me:${STORE_PW}@127.0.0.1:1/shop", "table": "orders"})
            )
            .sources[0]
            .events
        )
        for attempt in (
            lambda: PostgresStore.of(output, url).runs(),
            lambda: open_remote_table(location).__enter__(),  # type: ignore[arg-type]
        ):
            with pytest.raises(UserError) as told:
                attempt()
            causes = f"{told.value} {told.value.__cause__!r} {told.value.__context__!r}"
            assert not [piece for piece in parts_of(password) if piece in causes]


def shop(events: object, **more: object) -> dict[str, Any]:
    columns = {"customer_id": "c", "occurred_at": {"column": "d", "as": "local_date"}}
    return {
        "name": "shop",
        "sources": [{"events": events, "columns": columns, "event_type": "purchase"}],
        "stages": {"file": "stages/recency_frequency.yaml"},
        **more,
    }


KINDS = ["postgres", "postgresql", "postgresql+psycopg", "mysql", "https", "s3", "mssql", "ftp"]
SECRET_NAMES = [
    "password", "PASSWORD", "sslpassword", "passfile", "pwd", "Pass", "pass%77ord", "s3_secret",
    "motherduck_token", "api_key", "aws_secret_access_key", "s3_access_key_id", "access-key",
]  # fmt: skip
SPARK_NAMES = [
    "spark.ssl.keyPassword", "spark.authenticate.secret", "spark.hadoop.fs.s3a.access.key",
    "spark.hadoop.fs.s3a.secret.key", "spark.hadoop.fs.s3a.session.token",
    "spark.hadoop.fs.azure.account.key.shop.dfs.core.windows.net", "spark.db.pwd",
    "fs.s3a.access.key", "spark.hadoop.javax.jdo.option.ConnectionPassword",
]  # fmt: skip
PLAIN = PASSWORDS.filter(lambda text: "${" not in text)


@st.composite
def planted(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A password, and a config that holds it in plain somewhere."""
    password = draw(PLAIN)
    written = draw(st.sampled_from([password, quote(password, safe=""), quote(password)]))
    kind = draw(st.sampled_from(KINDS))
    login = f"{kind}://me:{written}@host:5432/shop"
    query = f"{kind}://host/shop?x=1&{draw(st.sampled_from(SECRET_NAMES))}={quote(password)}"
    address = draw(st.sampled_from([login, query, f"jdbc:{login}", f"  {login}"]))
    place = draw(st.sampled_from(["store", "url", "file", "lookup", "spark", "option", "unknown"]))
    if place == "url":
        return password, shop({"url": address, "table": "t"})
    if place == "file":
        return password, shop(address)
    if place == "lookup":
        content = shop("a.csv")
        content["sources"][0]["lookups"] = [{"table": {"url": address, "table": "t"}, "key": "k"}]
        return password, content
    if place == "spark":
        return password, shop("a.csv", spark={draw(st.sampled_from(SPARK_NAMES)): password})
    if place == "option":
        option = f"-Djavax.net.ssl.trustStorePassword={quote(password)}"
        return password, shop("a.csv", spark={"spark.driver.extraJavaOptions": option})
    if place == "unknown":
        return password, shop("a.csv", mlflow={"tracking_uri": address, "password": password})
    return password, shop("a.csv", store=address)


@settings(max_examples=tries(300))
@given(case=planted())
def test_a_plain_password_anywhere_is_refused_with_the_way_out(
    case: tuple[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    password, content = case
    path = tmp_path_factory.mktemp("config") / "shop.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    with pytest.raises(UserError) as told:
        load(path)
    assert "${NAME}" in str(told.value)
    assert not [piece for piece in parts_of(password) if piece in str(told.value)]


@settings(max_examples=tries(200))
@given(password=PLAIN, text=st.sampled_from(["store={}", "spark.password={}", "store:{}", "a={}]"]))
def test_nor_does_an_override_bring_one_in_or_tell_it(
    password: str, text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("config") / "shop.yaml"
    path.write_text(yaml.safe_dump(shop("a.csv")), encoding="utf-8")
    address = f"postgresql://me:{quote(password, safe='')}@host/db"
    for setting in (text.format(address), text.format(f"[{address}"), f"{address}=1"):
        with pytest.raises(UserError) as told:
            load(path, (setting,))
        assert not [piece for piece in parts_of(password) if piece in str(told.value)]


@settings(max_examples=tries(300))
@given(
    password=PLAIN, before=st.sampled_from(["", "*", "&a ", "!", "%", "@", "`", "[", '"', "{a: "])
)
def test_a_file_that_is_no_yaml_is_told_without_its_text(
    password: str, before: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("config") / "shop.yaml"
    path.write_text(f"name: shop\nspark:\n  x.password: {before}x{password}\n", encoding="utf-8")
    with pytest.raises(UserError) as told:
        parse_yaml(path)
    assert not [piece for piece in parts_of(password) if piece in str(told.value)]


@settings(max_examples=tries(200))
@given(password=PASSWORDS, words=st.text(max_size=20))
def test_what_others_write_is_told_without_what_was_filled_in(password: str, words: str) -> None:
    with environment(SHOP_PW=password):
        filled("postgresql://me:${SHOP_PW}@host/db")
    for form in (password, quote(password, safe=""), repr(password)[1:-1]):
        said = hidden(f"{words}|{form}|{words}")
        assert password not in said
        assert quote(password, safe="") not in said


@pytest.mark.parametrize("name", ["PWD", "OLDPWD"])
def test_the_folder_of_the_shell_is_no_secret(name: str) -> None:
    with environment(**{name: "/home/me/shop", "SHOP_PWD": "/home/me/secret"}):
        assert hidden("/home/me/shop/out: /home/me/secret") == "/home/me/shop/out: ***"


@settings(max_examples=tries(200))
@given(password=PLAIN.filter(lambda text: "\n" not in text and "\t" not in text))
def test_addresses_of_servers_lose_their_login_before_anybody_prints_them(password: str) -> None:
    written = quote(password, safe="")
    names = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "PREFECT_API_URL")
    secret = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "PREFECT_API_AUTH_STRING")
    address = f"https://me:{written}@host:5000/api"
    with environment(**dict.fromkeys(names, address), **dict.fromkeys(secret, "")):
        for name in secret:
            del os.environ[name]
        move_logins_to_variables()
        assert [os.environ[name] for name in names] == ["https://host:5000/api"] * 3
        assert [os.environ[name] for name in secret] == ["me", password, f"me:{password}"]
    for login in (f"me:{written}", f"me:{password}"):
        told = without_login(f"https://{login}@host:5000/api?token={password}")
        # An address that can be read in two ways is not shown at all.
        assert told in ("https://host:5000/api", NO_ADDRESS)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://stagecast:${STORE_PASSWORD}@db.internal/marketing?schema=shop",
        "postgresql://stagecast@db.internal:5432/marketing?sslmode=verify-full&sslrootcert=/ca.pem",
        "${STORE_URL}",
        "postgres://${U}:${A}${B}@${HOST}:${PORT}/${DB}?password=${PW}",
        "duckdb:///home/me@work/a:b.db",
        "duckdb://md:shop?motherduck_token=${TOKEN}",
        "https://example.com:8443/a/b.csv?page=2",
        "purchase__count_30d >= 3",
        "s3://bucket/events/*.parquet",
        "spark://host:7077",
        "a word, an @ and a colon: all is well",
        "host=db user=me password=${PW}",
    ],
)
def test_what_holds_no_plain_secret_is_let_through(text: str) -> None:
    assert plain_secret(text) is None


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("spark.master", False),
        ("spark.executor.memory", False),
        ("spark.hadoop.fs.s3a.aws.credentials.provider", False),
        ("spark.hadoop.hadoop.security.credential.provider.path", False),
        ("spark.kubernetes.driver.secrets.shop", False),
        ("spark.kubernetes.authenticate.driver.oauthTokenFile", False),
        ("spark.kubernetes.authenticate.driver.oauthToken", True),
        ("spark.sql.debug.maxToStringFields", False),
        ("device_tokens", True),
        ("sslpassword", True),
        ("bypass", False),
        ("db.pass", True),
        ("key", False),
    ],
)
def test_names_of_settings_that_hold_secrets(name: str, secret: bool) -> None:
    assert is_secret(name) == secret


def test_every_config_that_ships_holds_no_secret() -> None:
    root = Path(__file__).parents[2]
    files = [*root.glob("configs/**/*.yaml"), *root.glob("examples/**/*.yaml")]
    assert len(files) > 20
    for path in files:
        parse_yaml(path)


def test_several_servers_and_sockets_are_named_as_libpq_has_them() -> None:
    with environment(PW="a,b@c:1/d"):
        url = filled("postgresql://me:${PW}@one:5432,two:5433/shop?target_session_attrs=any")
        assert PostgresStore.of(Path(), url).parameters == {
            "host": "one,two", "port": "5432,5433", "user": "me", "password": "a,b@c:1/d",
            "dbname": "shop", "target_session_attrs": "any",
        }  # fmt: skip
        assert shown(url) == "postgresql://one,two/shop"
        socket = filled("postgresql://me:${PW}@%2Frun%2Fpostgresql/shop%20two")
        assert (socket.host, socket.database) == ("/run/postgresql", "shop two")
        with environment(WHOLE="postgresql://me:a%40b@h:1/d"):
            assert filled("${WHOLE}").password == "a@b"


def test_columns_may_be_called_like_secrets(tmp_path: Path) -> None:
    content = shop("a.csv", customers={
        "table": "c.csv",
        "columns": {"customer_id": "id", "contact": {"device_token": "push_token"}},
    })  # fmt: skip
    content["sources"][0]["columns"]["password"] = "changed_password"
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert load(path).customers is not None


def test_an_export_map_with_a_password_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "target.yaml"
    path.write_text(
        "target: crm\ntitle: CRM\nformat: table\nurl: mysql://me:hunter2@h/d\n"
        "columns: [{name: id, from: customer_id}]\n"
    )
    with pytest.raises(UserError) as told:
        load_target(path)
    assert "hunter2" not in str(told.value)
