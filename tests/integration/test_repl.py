"""`--repl`: a person types, the platform runs on, and leaving drains it."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dataplatform.services.gateway.client import RemotePlatform
from dataplatform.services.service import Phase
from tests.base.embedded.servers import all_end
from tests.integration.platforms import restarted, unbalanced
from tests.integration.prompts import Typist, at_prompt

pytest.importorskip("IPython", reason="IPython is not installed")
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def report(shared_data_dir: Path) -> Path:
    return shared_data_dir.with_name("report.json")


@pytest.fixture(scope="module")
def typist(shared_data_dir: Path, report: Path) -> Iterator[Typist]:
    """One session, which the tests of this module go on with in turn."""
    options = ("--data-dir", str(shared_data_dir), "--report", str(report))
    with at_prompt("--demo", "--repl", *options) as typist:
        typist.prompt()
        yield typist


def test_it_says_what_there_is_where_the_log_goes_and_how_to_leave(typist: Typist, shared_data_dir: Path) -> None:
    said = typist.text
    assert "simulated prices" in said
    assert f"Its log goes to {shared_data_dir}/platform.log" in said
    assert re.search(r"agents: +.*coingecko", said)
    assert "Ctrl-D or exit leaves: what is in flight is drained" in said


def test_the_log_is_in_the_file_and_not_among_what_one_types(typist: Typist, shared_data_dir: Path) -> None:
    log = shared_data_dir / "platform.log"
    assert "server is ready" in log.read_text(encoding="utf-8")
    assert log.stat().st_mode & 0o777 == 0o600
    assert "server is ready" not in typist.text


def test_prices_are_printed_as_a_table(typist: Typist) -> None:
    lines = typist.type('coingecko.get_current_prices(["bitcoin", "ethereum"])').splitlines()
    (head,) = [number for number, line in enumerate(lines) if re.match(r"coin_id +symbol +name .*usd_price", line)]
    assert re.match(r"bitcoin +btc +Bitcoin .* [\d,.]+ ", lines[head + 1])
    assert re.match(r"ethereum +eth +Ethereum ", lines[head + 2])


def test_a_failure_prints_its_remedy_and_no_traceback(typist: Typist) -> None:
    shown = typist.type('coingecko.get_current_prices(["bitcoinn"])')
    assert "not_found: coingecko knows no coin 'bitcoinn'" in shown
    assert "→ see get_available_tickers" in shown
    assert "Traceback" not in shown


def test_an_error_that_is_raised_prints_its_remedy_and_no_traceback(typist: Typist) -> None:
    shown = typist.type('from dataplatform import get_data; get_data(pause("coingeko"))')
    assert "not_found: no source is called 'coingeko'; did you mean 'coingecko'?" in shown
    assert "→ there are" in shown
    assert "Traceback" not in shown


def test_an_assignment_gives_the_answer(typist: Typist) -> None:
    typist.type("p = coingecko.get_available_tickers(3)")
    assert "Success: list of 3" in typist.type('print(f"{type(p).__name__}: {type(p.data).__name__} of {len(p.data)}")')


def test_the_platform_gives_the_proxies_of_scripts_which_answer_futures(typist: Typist) -> None:
    shown = typist.type(
        'print(type(platform["coingecko"].get_available_tickers(3).get(timeout=10).data).__name__, "of ids")'
    )
    assert "list of ids" in shown


def test_help_helps(typist: Typist) -> None:
    functions = typist.type("help()")
    assert "pause(name)" in functions
    assert "Have a source read nothing, until `resume`" in functions
    operation = typist.type("help(coingecko.get_current_price)")
    assert "Answer the latest price of one coin." in operation


def test_arguments_that_do_not_fit_are_refused_in_one_line(typist: Typist) -> None:
    shown = typist.type("coingecko.get_current_prices()")
    assert "TypeError" in shown
    assert "missing 1 required positional argument: 'coin_ids'" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("begun", "rest"),
    [
        ("coingecko.get_market_a", "nalytics"),
        ("coingecko.get_price_history(vs_c", "urrency="),
        ('pause("coing', "ecko"),
        ('restart("timescale.m', "igrator"),
        ('tail("crypto-p', "rices"),
        ("timescale_m", "igrator"),
    ],
)
def test_tab_completes_operations_arguments_and_names(typist: Typist, begun: str, rest: str) -> None:
    typist.complete(begun, rest)


def test_the_platform_shows_its_status_and_no_settings(typist: Typist) -> None:
    shown = typist.type("platform")
    assert re.search(r"running, up .*: \d+ running", shown)
    assert "dsn" not in shown


def test_the_status_lists_agents_and_routes(typist: Typist) -> None:
    shown = typist.type("status()")
    assert re.search(r"^coingecko +source +running", shown, re.MULTILINE)
    assert re.search(r"^coingecko → stream( +[\d,]+){5}$", shown, re.MULTILINE)


def test_a_source_is_paused_resumed_and_restarted(typist: Typist) -> None:
    assert "done" in typist.type('pause("coingecko")')
    assert re.search(r"^coingecko +source +paused", typist.type("status()"), re.MULTILINE)
    assert "done" in typist.type('restart("coingecko")')
    assert re.search(r"^coingecko +source +paused +1", typist.type("status()"), re.MULTILINE)
    assert "done" in typist.type('resume("coingecko")')
    assert re.search(r"^coingecko +source +running", typist.type("status()"), re.MULTILINE)


def test_what_is_written_is_found_in_its_topic_and_its_table(typist: Typist) -> None:
    typist.type('bitcoin = coingecko.get_current_prices(["bitcoin"]).data')
    for target in ("stream", "database"):
        assert re.search(r"^published +1$", typist.type(f"{target}.publish_prices(bitcoin)"), re.MULTILINE)
    shown = typist.type('tail("crypto-prices", n=1)')
    assert re.search(r"^crypto-prices +\d+ +\d+ +\d{4}-\d\d-\d\d .*\{\"coinId\"", shown, re.MULTILINE)
    shown = typist.type("sql(\"select coin_id, source from crypto_prices where coin_id = 'bitcoin' limit 1\")")
    assert re.search(r"^bitcoin +simulator$", shown, re.MULTILINE)


def test_a_query_that_would_write_is_refused(typist: Typist) -> None:
    before = typist.type('print(sql("select count(*) from crypto_ohlcv").data.rows)')
    assert "[(" in before
    for statement in ("delete from crypto_prices", "select 1; drop table crypto_prices", "create table t ()"):
        shown = typist.type(f'sql("{statement}")')
        assert re.search("rejected|bad_argument", shown), shown
    assert "[(" in typist.type('print(sql("select count(*) from crypto_prices").data.rows)')


def test_ctrl_c_interrupts_what_one_waits_for_and_not_the_platform(typist: Typist, shared_data_dir: Path) -> None:
    typist.forget()
    typist.press('import threading; print("wait" + "ing"); threading.Event().wait()\r')
    typist.see("waiting\n")
    os.kill(typist.process.pid, signal.SIGINT)
    typist.interrupted()
    assert RemotePlatform(shared_data_dir).status().phase is Phase.RUNNING


def test_leaving_drains_and_exits_0(typist: Typist, report: Path) -> None:
    servers = [child.pid for child in psutil.Process(typist.process.pid).children(recursive=True)]
    typist.forget()
    typist.press("\x04")
    assert typist.end() == 0, typist.text
    assert re.search(r"stopped after .*; coingecko → stream [\d,]+ of [\d,]+ records", typist.text)
    account = json.loads(report.read_text(encoding="utf-8"))
    assert account["outcome"] == "ok"
    assert unbalanced(account) == []
    assert restarted(account) == {"coingecko": 1}
    assert all_end(*servers)


@pytest.mark.long
def test_sigterm_leaves_too(data_dir: Path) -> None:
    with at_prompt("--demo", "--repl", "--data-dir", str(data_dir)) as typist:
        typist.prompt()
        typist.process.terminate()
        assert typist.end() == 0, typist.text
        assert "stopped after" in typist.text


@pytest.mark.long
def test_a_platform_that_is_drained_by_somebody_else_says_so_to_who_types(data_dir: Path) -> None:
    with at_prompt("--demo", "--repl", "--data-dir", str(data_dir)) as typist:
        typist.prompt()
        RemotePlatform(data_dir).drain()
        typist.see("the platform was stopped; nothing runs any more, Ctrl-D leaves")
        typist.press("\x04")
        assert typist.end() == 0, typist.text


@pytest.mark.long
def test_a_platform_that_gives_up_says_why_to_who_types_and_exits_1(data_dir: Path) -> None:
    with at_prompt("--demo", "--repl", "--data-dir", str(data_dir)) as typist:
        typist.prompt()
        typist.type("from pykka.messages import ProxyCall")
        crash = """platform.address("coingecko").tell(ProxyCall(("count",), ("crashes", "a bug"), {}))"""
        shown = typist.type(f"while platform.reason is None: {crash}; platform.wait_end(0.1)")
        typist.see(r"the platform gave up: coingecko crashed")
        assert "Traceback" not in shown
        typist.press("\x04")
        assert typist.end() == 1, typist.text
        assert re.search(r"gave up: coingecko crashed", typist.text.rstrip().splitlines()[-1])
