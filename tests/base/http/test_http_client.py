"""What the client answers, sends, shows and refuses to send, against a real server on a real socket."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from dataplatform.base.agent import ManualClock, State
from dataplatform.base.http import Get, Response
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure
from tests.base.http.driven_client import Client, thread_called
from tests.base.http.scripted_server import Act, ScriptedServer, answer, cut_off, hang_up, reset
from tests.support.waiting import DEADLINE, SHORT, until

Start = Callable[..., Client]
KEY = "CG-abcdef123456"


# Answers


def test_a_get_is_answered_with_the_body_the_status_and_when_it_came(server: ScriptedServer, start: Start) -> None:
    server.script.append(answer(200, '[{"id": "bitcoin"}]', "X-Page: 1"))
    response = start(base_url=server.url + "/api/v3").get("/coins/markets", ("vs_currency", "usd"), ("page", "1"))
    assert response == Response(
        status=200,
        body=b'[{"id": "bitcoin"}]',
        headers={"content-length": "19", "x-page": "1"},
        url_without_secrets=f"{server.url}/api/v3/coins/markets?vs_currency=usd&page=1",
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_the_key_the_headers_and_the_user_agent_are_sent(server: ScriptedServer, start: Start) -> None:
    start(base_url=server.url, api_key=KEY, headers={"X-Team": "blue"}, user_agent="tests").get()
    assert f"x-cg-demo-api-key: {KEY}\r\n" in server.heads[0]
    assert "X-Team: blue\r\n" in server.heads[0]
    assert "User-Agent: tests\r\n" in server.heads[0]


def test_requests_share_a_connection(server: ScriptedServer, start: Start) -> None:
    client = start(base_url=server.url)
    for _ in range(3):
        client.get()
    assert server.accepted == 1


def test_a_compressed_body_is_decompressed(server: ScriptedServer, start: Start) -> None:
    server.script.append(answer(200, gzip.compress(b"x" * 100_000), "Content-Encoding: gzip"))
    assert start(base_url=server.url).get().body == b"x" * 100_000


def test_a_chunked_body_is_put_together(server: ScriptedServer, start: Start) -> None:
    server.script.append(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert start(base_url=server.url).get().body == b"abcde"


# Failures


@pytest.mark.parametrize(
    ("act", "error", "code"),
    [
        (answer(400, {"error": "invalid vs_currency"}), Permanent, "bad_request"),
        (answer(401, {"status": {"error_message": "API Key Missing"}}), Permanent, "unauthorized"),
        (answer(403), Permanent, "unauthorized"),
        (answer(404, {"error": "coin not found"}), Permanent, "not_found"),
        (answer(408), Transient, "timeout"),
        (answer(422, {"error": "Missing parameter vs_currencies"}), Permanent, "bad_request"),
        (answer(429), Transient, "rate_limited"),
        (answer(429, "<html>", "Server: cloudflare"), Transient, "blocked"),
        (answer(500), Transient, "server_error"),
        (answer(503), Transient, "server_error"),
        (answer(304), Permanent, "bad_request"),
        (answer(302), Permanent, "bad_request"),
        (answer(200, b"no gzip", "Content-Encoding: gzip"), Transient, "cut"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Transient, "cut"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, Transient, "unreachable"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Transient, "unreachable"),
        (cut_off, Transient, "cut"),
        (hang_up, Transient, "unreachable"),
        (reset, Transient, "unreachable"),
    ],
)
def test_every_failing_answer_is_a_value(
    server: ScriptedServer, start: Start, act: Act, error: type[Transient | Permanent], code: str
) -> None:
    server.script.append(act)
    failure = start(base_url=server.url).fail()
    assert (type(failure), failure.code) == (error, code)
    assert server.url in failure.message


def test_a_port_where_nobody_listens_is_unreachable(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert start(base_url=f"http://127.0.0.1:{port}").fail() == Transient(
        "unreachable", f"cannot reach http://127.0.0.1:{port}: Connection refused"
    )


def test_a_name_that_does_not_exist_is_unreachable(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert start(base_url="http://nowhere.invalid").fail() == Transient(
        "unreachable", "cannot reach http://nowhere.invalid: Name or service not known"
    )


def test_a_server_that_speaks_no_tls_is_unreachable_and_told_as_that(server: ScriptedServer, start: Start) -> None:
    failure = start(base_url=server.url.replace("http:", "https:")).fail()
    assert failure.code == "unreachable"
    assert f"{server.url.replace('http:', 'https:')} speaks no TLS" in failure.message
    assert failure.remedy == "check base_url: http or https"


def test_an_error_quotes_what_the_server_said(server: ScriptedServer, start: Start) -> None:
    server.script.append(answer(400, '{"error":\r\n\t"invalid\x1b[31m vs_currency"}'))
    assert start(base_url=server.url).fail("/simple/price", ("ids", "a,b")).message == (
        f'{server.url}/simple/price?ids=a,b answered 400: {{"error": "invalid [31m vs_currency"}}'
    )


def test_an_error_that_is_a_page_is_quoted_by_its_title(server: ScriptedServer, start: Start) -> None:
    server.script.append(answer(500, "<!DOCTYPE html><html><title>502 Bad &amp; gone</title>"))
    assert start(base_url=server.url).fail().message.endswith(" answered 500: 502 Bad & gone")


def test_an_endless_error_is_quoted_by_its_beginning(server: ScriptedServer, start: Start) -> None:
    server.script.append(answer(500, "x" * 10_000_000))
    assert len(start(base_url=server.url).fail().message) < 400


def test_an_error_whose_body_breaks_off_keeps_its_status(server: ScriptedServer, start: Start) -> None:
    server.script.append(lambda connection: connection.sendall(answer(404, "x" * 100)[:-50]))
    assert start(base_url=server.url).fail().code == "not_found"


@pytest.mark.parametrize("headers", [(), ("Content-Encoding: gzip",)])
def test_a_body_above_the_limit_is_refused(server: ScriptedServer, start: Start, headers: tuple[str, ...]) -> None:
    body = b"x" * 5_000_000
    server.script.append(answer(200, gzip.compress(body) if headers else body, *headers))
    assert start(base_url=server.url, max_body=1000).fail().code == "too_large"


def test_a_body_of_just_the_limit_is_taken(server: ScriptedServer, start: Start) -> None:
    server.script.append(answer(200, b"x" * 1000))
    assert len(start(base_url=server.url, max_body=1000).get().body) == 1000


# Time


@pytest.mark.parametrize("beginning", [b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "])
def test_an_answer_that_drips_is_cut_off_in_time(server: ScriptedServer, start: Start, beginning: bytes) -> None:
    server.script.append(server.drip(beginning))
    assert start(base_url=server.url, timeout=0.3).fail().code == "timeout"


def test_a_silent_server_is_waited_for_no_longer_than_the_timeout(server: ScriptedServer, start: Start) -> None:
    server.script.append(server.stay_silent)
    client = start(base_url=server.url, timeout=SHORT)
    assert client.fail() == Transient("timeout", f"{server.url} gave no complete answer in {SHORT:g} s")
    client.get()


def test_a_client_recovers_when_a_request_that_could_not_be_interrupted_has_ended(
    server: ScriptedServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    silence = threading.Event()
    resolve = socket.getaddrinfo

    def wait_for_the_name_server(*args: object) -> object:
        silence.wait(2 * DEADLINE)
        return resolve(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", wait_for_the_name_server)
    client = start(base_url=server.url, timeout=SHORT, concurrency=1)
    assert client.fail().code == "timeout"
    assert client.fail() == Transient("timeout", f"{server.url} has still not answered the request before")
    thread = thread_called("http")
    silence.set()
    thread.join(DEADLINE)
    client.get()


def test_a_stop_ends_a_request_in_flight(server: ScriptedServer, start: Start) -> None:
    client = start(base_url=server.url, timeout=2 * DEADLINE)

    def stop(connection: socket.socket) -> None:
        client.stop()
        server.stay_silent(connection)

    server.script.append(stop)
    assert client.fail().code == "stopping"
    assert client.vitals.degraded is None


def test_a_stop_ends_the_wait_before_a_retry(
    server: ScriptedServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenacity.wait.wait_random_exponential.__call__", lambda *_: 50.0)
    client = start(base_url=server.url, attempts=2, timeout=2 * DEADLINE)

    def fail_and_stop(connection: socket.socket) -> None:
        connection.sendall(answer(500))
        until(lambda: client.vitals.counters["requests"] == 2, "the second try is under way")
        client.stop()

    server.script.append(fail_and_stop)
    assert client.fail().code == "stopping"
    assert len(server.heads) == 1


# Retries


@pytest.mark.parametrize("act", [answer(500), answer(502, "<html>"), cut_off, hang_up, reset])
def test_a_passing_failure_is_not_noticed(server: ScriptedServer, start: Start, act: Act) -> None:
    server.script.append(act)
    client = start(base_url=server.url, attempts=2)
    client.get()
    assert client.vitals.counters == {"requests": 2, "bytes": 2}
    assert client.vitals.degraded is None


def test_retries_end_after_the_given_attempts(server: ScriptedServer, start: Start) -> None:
    server.script.extend([answer(500), answer(501), answer(502), answer(503)])
    client = start(base_url=server.url, attempts=3)
    assert " answered 502" in client.fail().message
    assert client.vitals.counters == {"requests": 3, "errors": 1}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429])
def test_what_a_retry_cannot_mend_is_not_tried_again(server: ScriptedServer, start: Start, status: int) -> None:
    server.script.append(answer(status))
    start(base_url=server.url, attempts=3).fail()
    assert len(server.heads) == 1


def test_a_retry_takes_its_token_or_is_left_out(server: ScriptedServer, start: Start) -> None:
    server.script.extend([answer(500), answer(500)])
    start(base_url=server.url, attempts=5, rate_per_minute=60, burst=2).fail()
    assert len(server.heads) == 2


# Pace


def test_requests_above_the_rate_are_refused_until_there_is_a_token(
    server: ScriptedServer, start: Start, clock: ManualClock
) -> None:
    client = start(base_url=server.url, rate_per_minute=30, burst=2)
    client.get()
    client.get()
    assert client.fail() == Transient("throttled", f"30 requests a minute to {server.url} are used up", retry_after=2.0)
    clock.advance(1.5)
    assert client.fail() == Transient("throttled", f"30 requests a minute to {server.url} are used up", retry_after=0.5)
    clock.advance(0.5)
    client.get()
    assert len(server.heads) == 3
    assert client.vitals.counters == {"requests": 3, "bytes": 6, "throttled": 2}
    assert client.vitals.degraded is None


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("pause", ["30", "Thu, 01 Jan 2026 00:00:30 GMT"])
def test_nothing_is_sent_while_the_pause_lasts_that_the_server_asked_for(
    server: ScriptedServer, start: Start, clock: ManualClock, status: int, pause: str
) -> None:
    server.script.append(answer(status, "", f"Retry-After: {pause}"))
    client = start(base_url=server.url, attempts=3)
    first = client.fail()
    assert isinstance(first, Transient)
    assert first.retry_after == 30.0
    clock.advance(20.0)
    assert client.fail() == Transient("rate_limited", f"{server.url} has asked for a pause", retry_after=10.0)
    clock.advance(10.0)
    client.get()
    assert len(server.heads) == 2


# Redirects


def test_a_redirect_on_the_same_host_is_followed(server: ScriptedServer, start: Start) -> None:
    server.script.append(answer(301, "", "Location: /new?page=2"))
    response = start(base_url=server.url).get("/old", ("ids", "bitcoin"))
    assert server.paths == ["/old?ids=bitcoin", "/new?page=2"]
    assert response.url_without_secrets == f"{server.url}/new?page=2"


@pytest.mark.parametrize("target", ["http://localhost:{port}/", "http://127.0.0.1:1/", "//other.invalid/", "http://["])
def test_a_redirect_to_another_server_is_refused_so_that_keys_do_not_leak(
    server: ScriptedServer, start: Start, target: str
) -> None:
    server.script.append(answer(302, "", "Location: " + target.format(port=server.port)))
    failure = start(base_url=server.url, api_key=KEY).fail()
    assert (type(failure), failure.code) == (Permanent, "redirected")
    assert len(server.heads) == 1


def test_more_than_three_redirects_are_too_many(server: ScriptedServer, start: Start) -> None:
    server.script.extend([answer(302, "", "Location: /again")] * 10)
    failure = start(base_url=server.url).fail()
    assert (type(failure), failure.code) == (Permanent, "redirected")
    assert len(server.heads) == 4


# What is shown


def test_an_outage_is_shown_until_the_next_success(server: ScriptedServer, start: Start, clock: ManualClock) -> None:
    server.script.append(answer(429, "slow down", "Retry-After: 60"))
    client = start(base_url=server.url)
    error = client.fail()
    degraded = client.vitals.degraded
    assert degraded is not None
    assert degraded.reason == str(error)
    assert degraded.next_try == datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    clock.advance(60.0)
    client.get()
    assert client.vitals.degraded is None


@pytest.mark.parametrize(("value", "seconds"), [("Thu, 01 Jan 2026 00:00:30 GMT", 30.0), ("1.5", 1.5)])
def test_a_pause_may_be_asked_for_as_a_date_or_with_a_fraction(
    server: ScriptedServer, start: Start, clock: ManualClock, value: str, seconds: float
) -> None:
    server.script.append(answer(503, "later", f"Retry-After: {value}"))
    client = start(base_url=server.url)
    failure = client.fail()
    assert isinstance(failure, Transient)
    assert failure.retry_after == seconds
    assert client.fail().code == "rate_limited"
    assert len(server.heads) == 1
    clock.advance(seconds)
    client.get()


def test_a_refused_key_is_shown(server: ScriptedServer, start: Start) -> None:
    server.script.append(answer(401, "who are you?"))
    client = start(base_url=server.url)
    client.fail()
    assert client.vitals.degraded is not None


@pytest.mark.parametrize("status", [400, 404, 422, 500])
def test_a_refusal_of_the_question_is_no_outage(server: ScriptedServer, start: Start, status: int) -> None:
    server.script.append(answer(status))
    client = start(base_url=server.url, attempts=1)
    client.fail()
    assert client.vitals.degraded is None


@pytest.mark.parametrize("status", [200, 401, 404, 429, 500])
def test_secrets_appear_nowhere(server: ScriptedServer, start: Start, status: int) -> None:
    token, param = "Bearer hidden/token+1", "param-secret"
    server.script.append(answer(status, f"{KEY} {token} hidden%2Ftoken%2B1 for {'x' * 270}{KEY}"))
    with capture_logs() as logs:
        client = start(base_url=server.url, api_key=KEY, headers={"Authorization": token})
        result = client.ask(Get("/price", (("api_key", param), ("q", KEY))))
    error = result.error if isinstance(result, Failure) else None
    seen = f"{result} {result!r} {error} {error!r} {vars(error) if error else ''} {logs} {client.vitals!r}"
    for secret in (KEY, KEY[:8], "hidden", param):
        assert secret not in seen


def test_a_client_that_stops_closes_its_connection(server: ScriptedServer, start: Start) -> None:
    gone = threading.Event()

    def answer_and_watch(connection: socket.socket) -> None:
        connection.sendall(answer(200))
        if connection.recv(1) == b"":
            gone.set()

    server.script.append(answer_and_watch)
    client = start(base_url=server.url)
    client.get()
    client.stop()
    assert gone.wait(DEADLINE)


# Several at a time


def test_status_and_a_stop_have_their_turn_while_the_server_holds_requests(
    server: ScriptedServer, start: Start
) -> None:
    client, held = start(base_url=server.url, concurrency=3, timeout=2 * DEADLINE), server.hold(3)
    answers = [client.begin(Get(f"/{number}")) for number in range(4)]
    held.all_there()
    assert client.status() is State.RUNNING
    assert len(server.heads) == 3  # the fourth waits for a place
    client.stop()
    assert [answer.get(DEADLINE).error.code for answer in answers] == ["stopping"] * 4


def test_as_many_requests_are_held_at_the_server_at_once_as_the_setting_says(
    server: ScriptedServer, start: Start
) -> None:
    client, held = start(base_url=server.url, concurrency=4, timeout=DEADLINE), server.hold(4)
    answers = [client.begin(Get(f"/{number}")) for number in range(100)]
    held.all_there()
    assert server.accepted == 4
    held.let_go()
    assert [answer.get(DEADLINE).data.status for answer in answers] == [200] * 100
    assert server.accepted <= 8  # those that were held are closed, and the others share four
    assert sorted(server.paths) == sorted(f"/{number}" for number in range(100))


def test_a_route_has_a_place_that_questions_leave_to_it(server: ScriptedServer, start: Start) -> None:
    client = start(base_url=server.url, concurrency=2, timeout=2 * DEADLINE)
    client.get("/first", of_route=True)
    held = server.hold(1)
    questions = [client.begin(Get(f"/question/{number}")) for number in range(5)]
    held.all_there()
    client.get("/route", of_route=True)
    assert server.paths == ["/first", "/question/0", "/route"]
    held.let_go()
    assert [answer.get(DEADLINE).data.status for answer in questions] == [200] * 5


def test_a_flood_of_questions_leaves_routes_their_share_of_the_rate(
    server: ScriptedServer, start: Start, clock: ManualClock
) -> None:
    client = start(base_url=server.url, rate_per_minute=60, route_share=0.5, timeout=DEADLINE)
    client.get("/route/0", of_route=True)
    questions = [client.begin(Get(f"/question/{number}", patience=600.0)) for number in range(20)]
    for second in range(1, 9):
        route = client.begin(Get(f"/route/{second}", of_route=True, patience=5.0)) if second % 2 == 0 else None
        client.status()  # whatever was asked has arrived
        clock.advance(1.0)
        if route is not None:
            assert route.get(DEADLINE).data.status == 200
        else:
            until(lambda asked=second: len(server.heads) == asked + 1, "a question has its turn")  # type: ignore[misc]
    assert [path for path in server.paths if "route" in path] == [f"/route/{second}" for second in range(0, 9, 2)]
    assert len([path for path in server.paths if "question" in path]) == 4
    client.stop()
    assert {answer.get(DEADLINE).error.code for answer in questions[4:]} == {"stopping"}


def test_beyond_its_bound_a_question_is_answered_busy_and_a_route_is_not(server: ScriptedServer, start: Start) -> None:
    client = start(base_url=server.url, concurrency=1, max_waiting=2, timeout=2 * DEADLINE)
    held = server.hold(1)
    answers = [client.begin(Get("/held")), client.begin(Get("/waits")), client.begin(Get("/waits"))]
    held.all_there()
    refused = client.fail("/refused")
    assert isinstance(refused, Transient)
    assert (refused.code, refused.retry_after) == ("busy", 1.0)
    answers.append(client.begin(Get("/route", of_route=True)))
    client.status()
    held.let_go()
    assert [answer.get(DEADLINE).data.status for answer in answers] == [200] * 4
    assert server.paths == ["/held", "/route", "/waits", "/waits"]


def test_those_who_wait_for_their_turn_hear_of_a_pause_that_the_server_asks_for(
    server: ScriptedServer, start: Start, clock: ManualClock
) -> None:
    server.script.append(answer(429, "", "Retry-After: 30"))
    client = start(base_url=server.url, concurrency=1, timeout=DEADLINE)
    first, second = client.begin(Get("/first")), client.begin(Get("/second"))
    assert [answer.get(DEADLINE).error.code for answer in (first, second)] == ["rate_limited"] * 2
    assert server.paths == ["/first"]
    clock.advance(30.0)
    client.get("/third")


def test_a_bug_in_a_request_crashes_the_client_and_is_told_to_all_who_wait(
    server: ScriptedServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, held = start(base_url=server.url, concurrency=2, timeout=DEADLINE), server.hold(1)
    waits = client.begin(Get("/waits"))
    held.all_there()

    def crash(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("dataplatform.base.http.exchange.Exchange.get", crash)
    assert client.fail("/crashes").code == "crashed"
    assert waits.get(DEADLINE).error.code == "crashed"
