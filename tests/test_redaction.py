"""No secret is shown: not in errors, status, logs or tracebacks, whatever characters it has."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
import structlog

from dataplatform.base.agent import Incident, State
from dataplatform.base.agent.messages import Degraded, Vitals
from dataplatform.base.database import TimescaleSettings
from dataplatform.base.database.settings import secrets_in
from dataplatform.base.http import HttpSettings
from dataplatform.base.mcp import McpSettings
from dataplatform.base.streaming import RedpandaSettings
from dataplatform.errors import Permanent, Transient
from dataplatform.redaction import REDACTOR, Redactor
from dataplatform.system.config.specs import secrets_of
from dataplatform.system.config.topology import ConfigurationError, Topology, parse_topology
from dataplatform.system.console.logs import configure_logs
from tests.support.waiting import DEADLINE
from tests.system.logs import restored

ODD = "p[HUSHHUSH]x"
PASSWORDS = [ODD, "a/b:c@d%e", 'it\'s "quoted"', "back\\slash", "grüße mir", "100%sure", "$(rm) & + #?", "tab\there"]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOPOLOGY = """
[clients.db]
kind = "timescale"
dsn = '''{dsn}'''
[clients.web]
kind = "http"
base_url = "https://api.example"
[sources.coins]
kind = "coingecko"
client = "web"
"""
CRASH = """
import sys, threading
from dataplatform.redaction import redact_tracebacks
from dataplatform.system.config.topology import parse_topology

redact_tracebacks()
parse_topology(sys.argv[1])

def crash():
    raise ValueError("cannot use p[HUSHHUSH]x")

class Odd:
    def __del__(self):
        crash()

thread = threading.Thread(target=crash)
thread.start()
thread.join()
Odd()
try:
    crash()
except ValueError as error:
    raise RuntimeError(f"crashed with {sys.argv[1]}") from error
"""

SCRIPT = """
import sys, threading
import structlog
from attrs import frozen
from dataplatform.base.agent import Agent, Context, Request, Runtime
from dataplatform.redaction import REDACTOR

@frozen
class Connect(Request[None]):
    pass

class Parent:
    def __init__(self):
        self.ended = threading.Event()

    def tell(self, message):
        self.ended.set()

class Client(Agent):
    def _opened(self):
        pass

    def receive(self, message: Connect) -> None:
        raise ValueError(f"cannot use {sys.argv[1]}, nor postgresql://ada:hunter2@db/market")

if sys.argv[2] == "configured by the script":
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
REDACTOR.learn([sys.argv[1]])
parent = Parent()
answer = Client.start(Context("client", Runtime.start(), parent)).ask(Connect(), block=False)
parent.ended.wait(60)  # it has logged why by then
answer.get(timeout=60)
"""


def written(password: str) -> list[str]:
    """Return a password as texts hold it."""
    return [password, quote(password, safe=""), repr(password)[1:-1], json.dumps(password)[1:-1]]


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_known_secret_is_masked_in_every_form(password: str) -> None:
    clean = Redactor([password]).clean
    for form in written(password):
        assert clean(f"<{form}>") == "<***>"
    assert clean({"a": [password, (password,), {password}], "n": 5}) == {"a": ["***", ["***"], ["***"]], "n": 5}
    assert clean(ValueError(f"no {password}")) == "no ***"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no host in postgresql://ada:p[HUSH]x@db:5432/market", "no host in postgresql://ada:***@db:5432/market"),
        ("proxy http://ada:hunter2@proxy.example:3128 is dead", "proxy http://ada:***@proxy.example:3128 is dead"),
        ("no postgresql://ada:hunt/er2@db/market", "no postgresql://ada:***@db/market"),
        ("no postgresql://ada:hu@nter2@db", "no postgresql://ada:***@db"),
        ("no postgresql://ada@corp:h@/@:u@db/market, a@b", "no postgresql://ada@corp:***@db/market, a@b"),
        ("postgresql://ada:1234@db:5432/market", "postgresql://ada:***@db:5432/market"),
        ("no 'http://ada:it's@db'", "no 'http://ada:***@db'"),
        ("http://a:h/1@x,http://b:h@2@y and http://c:h3@z/", "http://a:***@x,http://b:***@y and http://c:***@z/"),
        ('{"url":"http://a:h/1@x:80/","to":"me@x"}', '{"url":"http://a:***@x:80/","to":"me@x"}'),
        ("host=db password=hunter2 user=ada", "host=db password=*** user=ada"),
        ("host=db sslpassword = 'hunter\\'s 2' user=ada", "host=db sslpassword = *** user=ada"),
        ("connect(password='hunter2', port=1)", "connect(password=***, port=1)"),
        ("see https://api.example:8443/users/@me and http://[::1]:80/a@b", None),
        ("check the password in the DSN", None),
    ],
)
def test_what_stands_where_a_password_does_is_masked_though_nobody_knows_it(text: str, shown: str | None) -> None:
    assert Redactor().clean(text) == (text if shown is None else shown)


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("form", ["uri", "query", "words"])
def test_the_password_of_a_dsn_is_a_secret(password: str, form: str) -> None:
    escaped = password.replace("\\", "\\\\").replace("'", "\\'")
    dsn = {
        "uri": f"postgresql://ada:{quote(password, safe='')}@db/market",
        "query": f"postgresql://ada@db/market?password={quote(password, safe='')}",
        "words": f"host=db user=ada password = '{escaped}' dbname=market",
    }[form]
    settings = TimescaleSettings(dsn)
    assert secrets_of(Topology(clients={"db": settings})) >= {password}
    parse_topology(TOPOLOGY.format(dsn=dsn))
    for text in (*written(password), dsn):
        shown = REDACTOR.clean(f"cannot use {text}!")
        assert not any(part in shown for part in written(password))


@pytest.mark.parametrize("password", ["hunt/er2", "hu@nter2", "12/34@5", "h#un:t@/e?r=2", "hunt%zz"])
def test_so_is_one_that_should_have_been_escaped_and_for_which_the_dsn_is_refused(password: str) -> None:
    dsn = f"postgresql://ada:{password}@db/market"
    with pytest.raises(ValueError, match="dsn: ") as refused:
        TimescaleSettings(dsn)
    secrets = secrets_in(dsn)
    assert secrets >= {password}
    for text in (str(refused.value), f"cannot use {password}!", f"cannot use {dsn}!"):
        assert password not in Redactor(secrets).clean(text)


@pytest.mark.parametrize(
    "settings",
    [
        RedpandaSettings("a:1", "SASL_SSL", "PLAIN", username="ada", password=ODD),
        HttpSettings(base_url="https://api.example", api_key=ODD),
        HttpSettings(base_url="https://api.example", headers={"authorization": f"Bearer {ODD}"}),
        McpSettings(url="https://mcp.example/mcp", headers={"x-api-key": ODD}),
        McpSettings(url=f"https://mcp.example/mcp?key={quote(ODD)}"),
        McpSettings(transport="stdio", command="npx", env={"API_KEY": ODD}),
    ],
)
def test_so_are_passwords_keys_headers_and_variables_of_every_client(settings: object) -> None:
    REDACTOR.learn(secrets_of(Topology(clients={"client": settings})))  # type: ignore[dict-item]
    assert "HUSH" not in REDACTOR.clean(f"it said {ODD}, {quote(ODD)} and {ODD!r}")


def test_errors_status_and_incidents_show_none() -> None:
    REDACTOR.learn([ODD])
    vitals = Vitals(State.RUNNING, NOW, last_error=f"first {ODD}")
    shown = [vitals.last_error]
    vitals.last_error = f"then {ODD}"
    degraded = Degraded(f"down: {ODD}", NOW)
    incident = Incident(NOW, "reader", "gap", "prices", 0, 1, 2, f"lost {ODD}")
    shown += [vitals.last_error, degraded.reason, incident.message]
    shown += [str(Permanent("database", f"no {ODD}")), repr(Transient("database", f"no {ODD}"))]
    shown += ConfigurationError([f"t.toml:1: {ODD}"]).lines
    for text in shown:
        assert text is not None
        assert "***" in text
        assert "HUSH" not in text


@pytest.mark.parametrize("format_", ["console", "json"])
def test_no_line_of_the_log_shows_one_not_even_by_an_object_in_it(format_: str) -> None:
    stream = io.StringIO()
    with restored():
        configure_logs(format_, "info", [ODD], stream)
        log = structlog.get_logger().bind(agent=ODD)
        log.info("said", error=ValueError(ODD), message=Degraded(ODD, NOW), items={ODD}, table={"a": ODD})
        try:
            raise ValueError(f"no {ODD}") from KeyError(ODD)
        except ValueError:
            log.exception(ODD)
    assert stream.getvalue().count("***") >= 7
    assert "HUSH" not in stream.getvalue()


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        (f"postgresql://ada:{ODD}/x@db/market", "dsn: libpq takes a part of the password for the host"),
        (f"postgresql://ada:p@{ODD}@db/market", "dsn: libpq takes a part of the password for the host"),
        (f"postgresql://ada:{ODD}%zz@db/market", 'dsn: libpq cannot read it: invalid percent-encoded token: "…"'),
        (f"host=db password=my {ODD}", 'dsn: libpq cannot read it: missing "…" in connection info string'),
        (f"mysql://ada:{ODD}@db/market", "dsn: libpq cannot read it"),
        (f"postgresql://ada:{ODD}@db/market?sslmod=require", "dsn: libpq cannot read it: invalid URI query parameter"),
        (f"postgresql://ada:{ODD}@db/market?sslmode=maybe", 'dsn: invalid sslmode value: "…"'),
        (
            f"postgresql://ada:{ODD}@db:99999/market",
            "dsn: its port is not a number from 1 to 65535; write USER:PASSWORD@HOST:5432",
        ),
        (f"postgresql://ada:{ODD}@db:abc/market", "dsn: its port is not a number from 1 to 65535"),
        (f"host=a,b,c port=1,2 password={ODD}", "dsn: could not match 2 port numbers to 3 hosts"),
        (f"host=db service=nowhere password={ODD}", 'dsn: definition of service "…" not found'),
        (
            f"postgresql://ada:{ODD}@db/x?sslrootcert=/nowhere/ca.pem",
            "dsn: sslrootcert: there is no file /nowhere/ca.pem",
        ),
        (f"host=db sslmode=allow sslrootcert=system password={ODD}", 'dsn: weak sslmode "…" may not be used'),
        (f"host=db password={ODD}\\u0000", "dsn: libpq cannot read it: it holds a null character"),
    ],
)
def test_a_dsn_that_libpq_would_refuse_is_refused_with_the_topology(dsn: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_topology(TOPOLOGY.format(dsn=dsn).replace("'''", '"' if "\\" in dsn else "'''"))
    (line,) = refused.value.lines
    assert line.startswith(f"topology:4: {said}")
    assert "HUSH" not in line


@pytest.mark.parametrize(
    "dsn", ["", "embedded", "postgresql:///market?host=/tmp&port=5433", "postgresql://[::1]:5432,b/market"]
)
def test_what_libpq_takes_is_taken(dsn: str) -> None:
    assert TimescaleSettings(dsn).dsn == dsn


def test_nobody_s_exception_is_printed_with_one() -> None:
    topology = TOPOLOGY.format(dsn=f"postgresql://ada:{ODD}@db/market")
    done = subprocess.run(
        [sys.executable, "-c", CRASH, topology], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("ValueError: cannot use ***") == 3  # in a thread, in a finaliser, as a cause
    assert "RuntimeError: crashed with" in done.stderr
    assert "HUSH" not in done.stderr


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        ("timescale", 'dsn = "postgresql://app:HUSHHUSH/market"'),  # the host is forgotten
        ("timescale", 'dsn = "postgresql://app:12345678/market"'),
        ("timescale", "dsn = 'postgresql://app:HUSH\"HUSH,b/market'"),
        ("timescale", "dsn = 'host=db HUSH\"HUSH'"),
        ("timescale", 'dsn = "host=db sslmode=HUSHHUSH"'),
        ("timescale", 'dsn = ["app:HUSHHUSH"]'),
        ("redpanda", 'brokers = ["app:HUSHHUSH"]'),
        ("redpanda", 'brokers = ["app:12345678"]'),
        ("redpanda", 'brokers = "app:HUSHHUSH:9092"'),
        ("redpanda", 'brokers = "::1:HUSHHUSH"'),
        ("redpanda", 'brokers = "[app:HUSHHUSH"'),
        ("redpanda", 'brokers = "kafka://app:HUSHHUSH/x"'),
        ("redpanda", 'brokers = "app:HUSH@HUSH@one:9092"'),
        ("redpanda", 'brokers = { url = "app:HUSHHUSH" }'),
        ("http", 'base_url = "http://app:HUSHHUSH/api"'),
        ("http", 'base_url = "http://app:12345678/api"'),
        ("http", 'base_url = "u:HUSHHUSH@127.0.0.1/api"'),
        ("http", 'base_url = "http://u:HUSHHUSH@127.0.0.1/api"'),
        ("http", 'base_url = "http://[HUSHHUSH]/api"'),
        ("http", 'base_url = "http://HUSH\u2100HUSH/api"'),
        ("http", 'base_url = "http://127.0.0.1/api?word=HUSHHUSH"'),
        ("http", 'base_url = ["u:HUSHHUSH@127.0.0.1/api"]'),
        ("mcp", 'url = "http://app:HUSHHUSH/api"'),
        ("mcp", 'url = "u:HUSHHUSH@127.0.0.1/api"'),
        ("mcp", 'url = "http://127.0.0.1/mcp#HUSHHUSH"'),
    ],
)
def test_a_malformed_setting_is_refused_by_its_line_and_is_not_repeated(kind: str, setting: str) -> None:
    """Nothing is known to be a secret yet, so nothing is masked: the error itself must not hold it."""
    with pytest.raises(ConfigurationError) as refused:
        parse_topology(f'[clients.one]\nkind = "{kind}"\n{setting}\n')
    lines = [line for line in refused.value.lines if line.startswith("topology:3: ")]
    assert lines
    assert "HUSH" not in str(refused.value)
    assert "12345678" not in str(refused.value)


def test_check_shows_the_file_and_the_line_of_a_malformed_setting_and_not_its_value(tmp_path: Path) -> None:
    file = tmp_path / "topology.toml"
    file.write_text('[clients.db]\nkind = "timescale"\ndsn = "postgresql://app:HUSHHUSH/market"\n')
    done = subprocess.run(
        [sys.executable, "-m", "dataplatform.system", "--check", str(file)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 2
    assert (
        f"{file}:3: dsn: its port is not a number from 1 to 65535; write USER:PASSWORD@HOST"
        in done.stdout + done.stderr
    )
    assert "HUSH" not in done.stdout + done.stderr


def test_the_command_line_takes_a_password_of_odd_characters_and_shows_none(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text(TOPOLOGY.format(dsn=f"postgresql://ada:{ODD}@127.0.0.1:9/market"))
    command = [sys.executable, "-m", "dataplatform.system", str(file), "--check"]
    checked, connected = (
        subprocess.run([*command, *more], capture_output=True, text=True, timeout=DEADLINE, check=False)
        for more in ((), ("--connect",))
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    assert connected.returncode == 2
    assert "client 'db': connection to server at" in connected.stderr
    assert "HUSH" not in connected.stdout + connected.stderr


@pytest.mark.parametrize("url", ["https://ada:5432/x@api.example/v3", "https://ada:65535/@api.example"])
def test_a_password_that_begins_like_a_port_is_not_taken_for_one(url: str) -> None:
    for settings in (lambda given: HttpSettings(base_url=given), lambda given: McpSettings(url=given)):
        with pytest.raises(ValueError, match="credentials as a header") as refused:
            settings(url)
        assert "5432" not in str(refused.value)
        assert "65535" not in str(refused.value)


@pytest.mark.parametrize("logs", ["as they are", "configured by the script"])
def test_a_script_that_configures_no_logs_of_ours_shows_no_secret_of_a_crashing_agent(logs: str) -> None:
    command = [sys.executable, "-c", SCRIPT, ODD, logs]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert said.count("cannot use ***, nor postgresql://ada:***@db/market") >= 2, "in the log, and as Python ends"
    assert "HUSHHUSH" not in said
    assert "hunter2" not in said
