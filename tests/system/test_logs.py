"""The log: a line for people or an object for programs, no secret in either, and nobody dies of a lost line."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
import structlog

from dataplatform.system.config.specs import secrets_of
from dataplatform.system.config.topology import parse_topology
from dataplatform.system.console.logs import configure_logs

DATABASES = """
[clients.{name}]
kind = "timescale"
dsn = "{dsn}"
[sources.s]
kind = "coingecko"
client = "web"
[clients.web]
kind = "http"
base_url = "https://api.example"
api_key = "an-api-key"
headers = {{ authorization = "Bearer abcdefgh123" }}
[clients.kafka]
kind = "redpanda"
brokers = "a:1"
security_protocol = "SASL_SSL"
sasl_mechanism = "PLAIN"
username = "ada"
password = "sasl-password"
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def logged(format_: str, *secrets: str, stream: io.StringIO | None = None, level: str = "info") -> tuple[Any, Any]:
    """Return a log and a function that returns what was written to it."""
    stream = stream or io.StringIO()
    configure_logs(format_, level, secrets, stream)
    return structlog.get_logger().bind(agent="stream"), stream.getvalue


def test_a_line_for_people_is_a_sentence_with_the_details_behind_it() -> None:
    log, written = logged("console")
    log.info("server is ready", took_s=0.1, pid=7, missing=None)
    log.warning("degraded", reason="cannot reach it", next_try="2026-01-01T00:00:30.123456+00:00")
    log.info("light broker", meaning="no store", remedy="set KAFKA_HOME")
    said = [line.partition(" ") for line in written().splitlines()]
    assert [rest for _, _, rest in said] == [
        "stream: server is ready (took_s=0.1, pid=7)",
        "WARNING stream: degraded: cannot reach it (next_try=00:00:30Z)",
        "stream: light broker: no store; set KAFKA_HOME",
    ]
    for stamp, _, _ in said:
        assert len(stamp) == len("2026-01-01T00:00:00Z")


def test_a_terminal_shows_the_time_of_day_and_colours_what_is_wrong() -> None:
    log, written = logged("console", stream=Terminal())
    log.error("stuck", child="database")
    coloured, rest = written()[:5], written()[5:]
    assert coloured == "\x1b[31m"
    assert rest[8:] == " ERROR stream: stuck (child=database)\x1b[0m\n"


def test_json_is_one_object_a_line_whatever_is_in_it() -> None:
    log, written = logged("json")
    log.info("status", line="for people only", routes=[{"source": "a"}], text="two\nlines, ünicode")
    log.error("died", exc_info=ValueError("a\nbug"))
    structlog.get_logger().warning("nobody's")
    status, died, nobodys = map(json.loads, written().splitlines())
    assert status["routes"] == [{"source": "a"}]
    assert (status["event"], status["level"], status["agent"]) == ("status", "info", "stream")
    assert "line" not in status
    assert status["text"] == "two\nlines, ünicode"
    assert "ValueError: a\nbug" in died["exception"]
    assert nobodys["agent"] == "platform"


def test_the_level_is_the_least_that_is_shown() -> None:
    log, written = logged("console", level="warning")
    log.info("unimportant")
    assert written() == ""
    log.warning("important")
    assert "important" in written()


@pytest.mark.parametrize("format_", ["console", "json"])
def test_secrets_are_masked_in_texts_lists_tables_and_tracebacks(format_: str) -> None:
    log, written = logged(format_, "hunter2", "hunter2-and-more")
    log.info("hunter2", a="x hunter2-and-more y", b=["hunter2"], c={"d": "hunter2"})
    try:
        raise ValueError("hunter2")
    except ValueError:
        log.exception("died")
    assert "hunter2" not in written()
    assert "and-more" not in written()
    assert written().count("***") >= 5


@pytest.mark.parametrize(
    ("dsn", "secrets"),
    [
        ("postgresql://ada:hunter2@db/market", {"hunter2"}),
        ("postgresql://ada:hunt%2Fer2@db/market", {"hunt%2Fer2", "hunt/er2"}),
        ("postgresql://ada:p[HUSHHUSH]x@db/market", {"p[HUSHHUSH]x"}),
        ("postgresql://ada@db/market?password=hunter2&sslpassword=open%20it", {"hunter2", "open it", "open%20it"}),
        ("host=db password=hunter2 user=ada", {"hunter2"}),
        ("host=db password = 'hunter 2' user=ada", {"hunter 2"}),
        ("host=db sslpassword='open'", {"open"}),
        ("host=db user=ada", set()),
        ("embedded", set()),
    ],
)
def test_every_password_and_key_of_a_topology_is_a_secret(dsn: str, secrets: set[str]) -> None:
    topology = parse_topology(DATABASES.format(name="db", dsn=dsn))
    others = {"an-api-key", "sasl-password", "Bearer abcdefgh123", "abcdefgh123"}
    assert secrets_of(topology) == secrets | others


def test_a_reader_that_has_gone_away_costs_its_lines_and_nothing_else() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    log, _ = logged("console", stream=Broken())
    log.info("not to be seen")
    closed = io.StringIO()
    log, _ = logged("console", stream=closed)
    closed.close()
    log.info("not to be seen")


def test_libraries_do_not_write_past_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    logged("json")
    for name in ("kafka.conn", "urllib3.connectionpool", "uvicorn.error", "pykka", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger(name).error("out of line")
    assert capfd.readouterr() == ("", "")
