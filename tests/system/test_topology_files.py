"""Whatever is wrong in a topology file is said at once: a line each, with the place and what would be right."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from dataplatform.system.config.topology import (
    ConfigurationError,
    Topology,
    default_topology,
    load_topology,
    parse_topology,
)

GOOD = """\
[system]
restarts = 3

[clients.web]
kind = "http"
base_url = "https://api.example/v3"

[clients.kafka]
kind = "redpanda"
brokers = ["localhost:9092"]

[clients.db]
kind = "timescale"
dsn = "${DATABASE_URL}"

[sources.coins]
kind = "coingecko"
client = "web"
feeds = [
    { operation = "get_current_prices", top = 100, every = "30s" },
    { operation = "get_market_analytics", every = "5m" },
]

[sources.topics]
kind = "redpanda"
client = "kafka"

[targets.stream]
kind = "redpanda"
client = "kafka"

[targets.tables]
kind = "timescale"
client = "db"

[[routes]]
from = "coins"
to = ["stream", "tables"]

[[routes]]
from = "topics"
to = "tables"
"""
WHOLE = "expected a whole number or a size like '64MiB'"
BAD_PORT = (
    "10: brokers: the port of 'localhost:…' is not a number from 1 to 65535; write HOST:PORT, such as 'localhost:9092'"
)
NO_BROKERS = "10: brokers: expected a list, each item text; its value may hold a secret and is not shown"
NO_KIND = "16: [sources.coins] has no kind; there are coingecko, mcp, redpanda, timescale"
DURATION = "expected a number or a duration like '30s', '5m' or '250ms'"
DATABASE = '[clients.db]\nkind = "timescale"\ndsn = "${DATABASE_URL}"'
ENVIRON = {"DATABASE_URL": "postgresql://ada:hunter2@db.example/market"}


def problems(text: str, environ: dict[str, str] | None = None) -> list[str]:
    """Return what is said of a topology, without the name of the file."""
    with pytest.raises(ConfigurationError) as refused:
        parse_topology(text, "t.toml", ENVIRON if environ is None else environ)
    assert str(refused.value) == "\n".join(refused.value.lines)
    assert all(line.startswith("t.toml:") for line in refused.value.lines)
    return [line.removeprefix("t.toml:") for line in refused.value.lines]


def changed(old: str, new: str) -> list[str]:
    """Return what is said of the good topology with one thing in it replaced."""
    assert GOOD.count(old) == 1, f"{old!r} is there {GOOD.count(old)} times"
    return problems(GOOD.replace(old, new))


# What is right


def test_a_good_file_becomes_a_topology() -> None:
    topology = parse_topology(GOOD, environ=ENVIRON)
    assert topology.system.restarts == 3
    assert topology.clients["db"].settings.dsn == ENVIRON["DATABASE_URL"]
    assert [feed.every for feed in topology.sources["coins"].options.feeds] == [30.0, 300.0]
    assert topology.targets_of("coins") == ("stream", "tables")
    assert topology.targets_of("topics") == ("tables",)
    assert topology.dead_letters == "stream"


def test_a_target_that_two_routes_of_a_source_lead_to_counts_once() -> None:
    more = '[[routes]]\nfrom = "coins"\nto = ["tables", "tables"]\n'
    assert parse_topology(GOOD + more, environ=ENVIRON).targets_of("coins") == ("stream", "tables")


def test_a_source_may_be_on_no_route() -> None:
    text = GOOD[: GOOD.rindex("[[routes]]")]
    topology = parse_topology(text, environ=ENVIRON)
    assert topology.targets_of("topics") == ()


def test_the_built_in_topology_is_the_main_job_on_embedded_servers() -> None:
    topology = default_topology()
    assert [(route.source, route.targets) for route in topology.routes] == [
        ("coingecko", ("stream",)),
        ("topics", ("database",)),
    ]
    assert topology.clients["timescale"].settings.dsn == "embedded"
    assert topology.clients["redpanda"].settings.brokers == ("embedded",)


def test_the_topology_for_the_containers_is_right_and_takes_its_secrets_from_the_environment() -> None:
    file = Path(__file__).parents[2] / "compose" / "topology.toml"
    topology = load_topology(file, {"POSTGRES_PASSWORD": "p@ss word/", "REDPANDA_PORT": "19092"})
    assert "p@ss word/" in topology.clients["timescale"].settings.dsn
    assert topology.clients["redpanda"].settings.brokers == ("127.0.0.1:19092",)
    with pytest.raises(ConfigurationError, match="POSTGRES_PASSWORD is not set"):
        load_topology(file, {})


@pytest.mark.parametrize(
    ("written", "environ", "seconds"),
    [
        ('"250ms"', {}, 0.25),
        ('"1.5 m"', {}, 90.0),
        ('"2h"', {}, 7200.0),
        ("7", {}, 7.0),
        ('"${EVERY}"', {"EVERY": "1d"}, 86_400.0),
        ('"${EVERY}"', {"EVERY": "7"}, 7.0),
        ('"${EVERY:-5m}"', {}, 300.0),
        ('"${EVERY:-5m}"', {"EVERY": ""}, 300.0),
        ('"${NUMBER}${UNIT}"', {"NUMBER": "3", "UNIT": "s"}, 3.0),
    ],
)
def test_a_duration_is_written_as_people_write_it(written: str, environ: dict[str, str], seconds: float) -> None:
    text = GOOD.replace('every = "30s"', f"every = {written}")
    topology = parse_topology(text, environ=ENVIRON | environ)
    assert topology.sources["coins"].options.feeds[0].every == seconds


@pytest.mark.parametrize(
    ("written", "size"), [('"64MiB"', 2**26), ('"10MB"', 10**7), ('"1.5KB"', 1500), ("4096", 4096), ('"4096"', 4096)]
)
def test_a_size_is_written_as_people_write_it(written: str, size: int) -> None:
    text = GOOD.replace('v3"', f'v3"\nmax_body = {written}')
    assert parse_topology(text, environ=ENVIRON).clients["web"].settings.max_body == size


def test_a_switch_and_a_port_may_come_from_the_environment() -> None:
    text = GOOD.replace("restarts = 3", 'restarts = "${TIMES}"\nbroker_port = "${PORT}"')
    system = parse_topology(text, environ=ENVIRON | {"TIMES": "7", "PORT": "9092"}).system
    assert (system.restarts, system.broker_port) == (7, 9092)


# What is wrong


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        # unknown tables and keys
        ("[system]", "[systen]", "1: unknown table [systen]; did you mean 'system'?"),
        ("restarts = 3", "restart = 3", "2: unknown key 'restart'; did you mean 'restarts'?"),
        ('every = "30s"', 'evry = "30s"', "20: unknown key 'evry'; did you mean 'every'?"),
        ('every = "5m"', 'evry = "5m"', "21: unknown key 'evry'; did you mean 'every'?"),
        ('from = "topics"', 'from = "topics"\nform = 1', "42: unknown key 'form'; did you mean 'from'?"),
        # wrong types
        ("restarts = 3", 'restarts = "three"', f"2: restarts: {WHOLE}, got 'three'"),
        ("restarts = 3", "restarts = 3.5", f"2: restarts: {WHOLE}, got 3.5"),
        ("restarts = 3", "restarts = true", f"2: restarts: {WHOLE}, got True"),
        ('["localhost:9092"]', "[1]", NO_BROKERS),
        ('to = "tables"', "to = 5", "42: to: expected a list, each item text, got 5"),
        ("top = 100", "top = [1]", f"20: top: {WHOLE}, got [1]"),
        ("[system]\nrestarts = 3", "system = 3", "1: expected a table, got 3"),
        (DATABASE, "[clients]\ndb = 5", "13: expected a table [clients.db]"),
        # durations and sizes
        ('every = "30s"', 'every = "30 sec"', f"20: every: {DURATION}, got '30 sec'"),
        ('every = "30s"', 'every = "-1s"', f"20: every: {DURATION}, got '-1s'"),
        ('v3"', 'v3"\nmax_body = "64 megs"', f"7: max_body: {WHOLE}, got '64 megs'"),
        ('v3"', 'v3"\nmax_body = "0.5"', f"7: max_body: {WHOLE}, got '0.5'"),
        # out of range
        ("restarts = 3", "restarts = -1", "2: restarts: must be at least 0, got -1"),
        ("restarts = 3", "within = 0", "2: within: must be more than 0, got 0"),
        ("restarts = 3", "within = inf", "2: within: must be below 1,000,000,000, got inf"),
        ("restarts = 3", "within = nan", "2: within: must be below 1,000,000,000, got nan"),
        ("restarts = 3", "broker_port = 70000", "2: broker_port: must be from 1 to 65535, got 70000"),
        ('every = "30s"', 'every = "1ms"', "20: every: must be at least 0.1, got '1ms'"),
        ('to = "tables"', "to = []", "42: to: must have at least 1 item, got []"),
        (
            'kind = "redpanda"\nbrokers',
            'kind = "redpanda"\ncompression = "lz5"\nbrokers',
            "10: compression: must be one of lz4, gzip, none, got 'lz5'; did you mean 'lz4'?",
        ),
        ("top = 100, ", "", "20: coins: get_current_prices needs either coins = ['bitcoin', …] or top = 100"),
        ("https://api", "ftp://api", "6: base_url: it does not begin with http:// or https://; write https://HOST[:PORT][/PATH]"),
        # kinds
        ('kind = "http"', 'kind = "htp"', "5: unknown kind 'htp'; did you mean 'http'?"),
        ('kind = "coingecko"', 'kind = "coingeko"', "17: unknown kind 'coingeko'; did you mean 'coingecko'?"),
        ('kind = "http"', "kind = 1", "5: kind: expected text, got 1; there are http, mcp, redpanda, timescale"),
        ('kind = "http"\n', "", "4: [clients.web] has no kind; there are http, mcp, redpanda, timescale"),
        ('kind = "coingecko"', 'kindd = "coingecko"', "17: unknown key 'kindd'; did you mean 'kind'?"),
        ('kind = "http"', 'Kind = "http"', "5: unknown key 'Kind'; did you mean 'kind'?"),
        ('kind = "http"', 'type = "http"', "5: unknown key 'type'; did you mean 'kind'?"),
        ('kind = "coingecko"', "kinds = ['coingecko']", NO_KIND),
        # brokers' addresses
        ('["localhost:9092"]', '"localhost:abc"', BAD_PORT),
        ('["localhost:9092"]', '["one:9092", "::1"]', "10: brokers: '::1' has several colons; write '[::1]:9092'"),
        ('["localhost:9092"]', '"embeded"', "10: brokers: 'embeded' has no port; did you mean 'embedded'?"),
        # missing keys
        (
            'base_url = "https://api.example/v3"\n',
            "",
            "4: 'base_url' is missing: the server, and the path that all requests begin with",
        ),
        ('from = "topics"\n', "", "40: 'from' is missing: the name of a source"),
        # names
        ('from = "topics"', 'from = "topcs"', "41: no source is called 'topcs'; did you mean 'topics'?"),
        ('to = "tables"', 'to = "table"', "42: no target is called 'table'; did you mean 'tables'?"),
        ('client = "db"', 'client = "bd"', "34: no client is called 'bd'; did you mean 'db'?"),
        (
            'client = "db"',
            'client = "web"',
            "34: 'tables' needs a client of kind 'timescale', and 'web' is of kind 'http'; did you mean 'db'?",
        ),
        ("restarts = 3", 'dead_letters = "strem"', "2: no target is called 'strem'; did you mean 'stream'?"),
        ("[sources.topics]", "[sources.web]", "24: 'web' is already the name of a client; choose another"),
        (
            "[sources.topics]",
            "[sources.postgres]",
            "24: 'postgres' is already the name of an agent of the platform's own; choose another",
        ),
        (
            "[sources.topics]",
            '[sources."my topics"]',
            "24: 'my topics' is no name: letters, digits, - and _, a letter first, 63 at most",
        ),
        ("restarts = 3", "broker_port = 7000\nsimulator_port = 7000", "3: simulator_port: 7000 is broker_port already"),
        (
            'to = "tables"',
            'to = ["tables", "stream"]',
            ("42: 'topics' would read from 'crypto-prices' what 'stream' writes to it, without end;"
            " name another topic for 'prices' in one of them"),
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line_and_what_would_be_right(old: str, new: str, said: str) -> None:
    assert said in changed(old, new)


def test_a_misspelled_kind_is_said_once_and_the_rest_of_its_table_is_read() -> None:
    assert changed('kind = "http"\n', 'kindd = "http"\nmax_bdy = 5\n') == [
        "5: unknown key 'kindd'; did you mean 'kind'?",
        "6: unknown key 'max_bdy'; did you mean 'max_body'?",
    ]


def test_addresses_of_brokers_may_stand_in_one_text() -> None:
    topology = parse_topology(GOOD.replace('["localhost:9092"]', '"one:9092, [::1]:19092"'), environ=ENVIRON)
    assert topology.clients["kafka"].settings.brokers == ("one:9092", "[::1]:19092")


def test_a_mistake_is_said_once_and_hides_no_other() -> None:
    text = (
        GOOD.replace("restarts = 3", 'restart = 3\nwithin = "soon"')
        .replace('kind = "http"', 'kind = "htp"')
        .replace('every = "5m"', 'evry = "5m", top = 0')
        .replace('from = "topics"', 'from = "topcs"')
        .replace('to = ["stream", "tables"]', 'to = ["steam", "tables"]')
    )
    assert problems(text, {}) == [
        "2: unknown key 'restart'; did you mean 'restarts'?",
        "3: within: expected a number or a duration like '30s', '5m' or '250ms', got 'soon'",
        "6: unknown kind 'htp'; did you mean 'http'?",
        "15: environment variable DATABASE_URL is not set; export DATABASE_URL=…",
        "22: top: must be at least 1, got 0",
        "22: unknown key 'evry'; did you mean 'every'?",
        "39: no target is called 'steam'; did you mean 'stream'?",
        "42: no source is called 'topcs'; did you mean 'topics'?",
    ]


@pytest.mark.parametrize("text", ["routes = 3", "routes = [1]", "clients = 3", "clients = [1]", 'sources = "a"'])
def test_a_section_of_the_wrong_shape_is_an_error_and_no_crash(text: str) -> None:
    assert problems(text)[0].startswith("1: expected tables like [") or "1: expected a table, got 1" in problems(text)


def test_a_topology_without_sources_is_an_error() -> None:
    assert problems("") == ["1: there is no source, so nothing would be read; add a table [sources.NAME]"]
    assert problems(GOOD[: GOOD.index("[sources.coins]")])[0].startswith("1: there is no source")


def test_a_topology_whose_targets_take_no_dead_letters_is_an_error() -> None:
    text = GOOD[: GOOD.index("[targets")] + '[[routes]]\nfrom = "coins"\nto = []\n'
    assert "30: to: must have at least 1 item, got []" in problems(text)
    topology = parse_topology(GOOD, environ=ENVIRON)
    routes_only = Topology(clients=topology.clients, sources=topology.sources, routes=topology.routes)
    assert "no target takes dead letters; add a redpanda or timescale target" in [
        problem.message for problem in routes_only.check()
    ]


# The environment


def test_a_missing_variable_is_named_and_one_that_is_nearly_right_suggested() -> None:
    assert problems(GOOD, {}) == ["14: environment variable DATABASE_URL is not set; export DATABASE_URL=…"]
    nearly = {"DATABASE_URI": "x"}
    assert problems(GOOD, nearly) == ["14: environment variable DATABASE_URL is not set; did you mean DATABASE_URI?"]


def test_an_empty_variable_is_a_missing_one() -> None:
    assert problems(GOOD, {"DATABASE_URL": ""}) == [
        "14: environment variable DATABASE_URL is empty; export DATABASE_URL=…"
    ]


def test_a_missing_variable_in_a_nested_table_has_the_line_of_its_key() -> None:
    assert changed('every = "30s"', 'every = "${OFTEN}"') == [
        "20: environment variable OFTEN is not set; export OFTEN=…"
    ]


@pytest.mark.parametrize(
    ("old", "new", "environ"),
    [
        ('"${DATABASE_URL}"', "5", {}),
        ('"${DATABASE_URL}"', '["hunter2"]', {}),
        ('"${DATABASE_URL}"', '{ password = "hunter2" }', {}),
        ('dsn = "${DATABASE_URL}"', 'dsn = "x"\npool = "${DATABASE_URL}"', {}),
        ('"localhost:9092"', '"a:1"]\nsecurity_protocol = "${SECRET}"\ncertificates = [', {"SECRET": "hunter2"}),
        ('"localhost:9092"', '"a:1"]\nsasl_mechanism = "hunt-${SECRET}"\ncertificates = [', {"SECRET": "hunter2"}),
        ('v3"', 'v3"\napi_key = "hunter2 ünsendable"', {}),
        ('v3"', 'v3"\nheaders = ["authorization: hunter2"]', {}),
        ('v3"', 'v3"\nheaders = { authorization = "hunter2\\n" }', {}),
        ("https://api", "https://ada:hunter2@api", {}),
        ("https://api.example/v3", "${URL}", {"URL": "ftp://ada:hunter2@api"}),
        ('[clients.db]\nkind = "timescale"\ndsn = "${DATABASE_URL}"', '[clients]\ndb = "hunter2"', {}),
        ('every = "30s"', 'every = "${SECRET}"', {"SECRET": "hunter2"}),
        ('"get_market_analytics"', '"${SECRET}"', {"SECRET": "hunter2"}),
    ],
)
def test_no_error_shows_a_secret(old: str, new: str, environ: dict[str, str]) -> None:
    assert GOOD.count(old) == 1
    said = problems(GOOD.replace(old, new), ENVIRON | environ)
    assert said
    assert "hunter2" not in "\n".join(said)


# The file itself


def test_what_is_no_toml_is_said_with_the_parser_s_own_line() -> None:
    assert problems("[system]\nrestarts = = 3\n") == ["2: is not valid TOML: invalid value"]
    assert problems("[a]\nb = 1\nb = 2\n")[0].startswith("3: is not valid TOML: ")
    assert problems('x = """\n\n')[0].startswith("3: is not valid TOML: ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, ":1: cannot be read: No such file or directory"),
        (b"# \xe9\n", ":1: is not UTF-8 text: it holds the byte 0xe9"),
        (b"[system]\n\n# \xff\n", ":3: is not UTF-8 text: it holds the byte 0xff"),
        (b"", ":1: there is no source, so nothing would be read; add a table [sources.NAME]"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(content: bytes | None, said: str, tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError) as refused:
        load_topology(file)
    assert refused.value.lines == [f"{file}{said}"]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load_topology(tmp_path)


def test_a_file_may_begin_with_a_byte_order_mark_and_end_its_lines_as_windows_does(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_topology(file, ENVIRON).targets_of("topics") == ("tables",)


def test_a_plugin_that_cannot_be_loaded_is_named_and_harms_no_other(monkeypatch: pytest.MonkeyPatch) -> None:

    def points(group: str) -> list[EntryPoint]:
        return [*entry_points(group=group), EntryPoint("broken", "no.such.module:Source", group)]

    monkeypatch.setattr("dataplatform.dsl.operations.registry.entry_points", points)
    assert parse_topology(GOOD, environ=ENVIRON)
    why = (
        "cannot be loaded: ModuleNotFoundError: No module named 'no'"
        " (entry point broken = no.such.module:Source of an unknown package)"
    )
    assert changed('kind = "coingecko"', 'kind = "broken"') == [f"17: {why}"]
    assert changed('kind = "http"', 'kind = "broken"') == [f"5: {why}"]
