"""How exceptions and answers become errors."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import urllib3.exceptions

from dataplatform.base.http import HttpSettings
from dataplatform.base.http.exchange import EXPECTED, Answer, of_answer, of_exception
from dataplatform.errors import Permanent, PlatformError, Transient

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = "CG-abcdef123456"
SETTINGS = HttpSettings(base_url="https://api.example/v3", api_key=KEY)
CODES = {"timeout", "unreachable", "cut", "bad_request", "redirected"}


def exceptions_of(module: Any) -> Iterator[type[BaseException]]:
    for thing in vars(module).values():
        is_exception = isinstance(thing, type) and issubclass(thing, Exception) and not issubclass(thing, Warning)
        if is_exception and thing.__module__ == module.__name__:
            yield thing


def made(exception: type[BaseException]) -> BaseException:
    """Make an exception whatever arguments its class wants; what it says holds the key."""
    error = exception.__new__(exception)
    vars(error).update(partial=0, expected=0, length=b"")  # which some of them print
    error.args = (f"Max retries exceeded with url: /price?key={KEY}",)
    return error


@pytest.mark.parametrize("module", [requests.exceptions, urllib3.exceptions], ids=lambda module: module.__name__)
def test_every_exception_of_requests_and_of_what_it_stands_on_is_mapped(module: Any) -> None:
    classes = list(exceptions_of(module))
    assert len(classes) > 20
    for exception in classes:
        assert issubclass(exception, EXPECTED), f"{exception} would crash the client"
        error = of_exception(made(exception), SETTINGS)
        assert isinstance(error, PlatformError)
        assert error.code in CODES, exception
        assert KEY not in str(error)


@pytest.mark.parametrize(
    ("exception", "kind", "code"),
    [
        (requests.ConnectTimeout, Transient, "timeout"),
        (requests.ReadTimeout, Transient, "timeout"),
        (requests.ConnectionError, Transient, "unreachable"),
        (requests.exceptions.ProxyError, Transient, "unreachable"),
        (requests.exceptions.SSLError, Transient, "unreachable"),
        (requests.exceptions.ChunkedEncodingError, Transient, "cut"),
        (requests.exceptions.ContentDecodingError, Transient, "cut"),
        (requests.TooManyRedirects, Permanent, "redirected"),
        (requests.exceptions.InvalidURL, Permanent, "bad_request"),
        (requests.exceptions.InvalidHeader, Permanent, "bad_request"),
        (urllib3.exceptions.ProtocolError, Transient, "cut"),
        (urllib3.exceptions.ReadTimeoutError, Transient, "timeout"),
        (FileNotFoundError, Permanent, "bad_request"),
    ],
)
def test_exceptions_have_the_codes_they_deserve(
    exception: type[BaseException], kind: type[PlatformError], code: str
) -> None:
    error = of_exception(made(exception), SETTINGS)
    assert (type(error), error.code) == (kind, code)


def test_the_reason_is_the_one_at_the_bottom() -> None:
    bottom = urllib3.exceptions.NewConnectionError(None, "[Errno 101] x")  # type: ignore[arg-type]
    bottom.__cause__ = OSError(101, "Network is unreachable")
    top = requests.ConnectionError(urllib3.exceptions.MaxRetryError(None, "/?key=1", bottom))  # type: ignore[arg-type]
    assert of_exception(top, SETTINGS).message == "cannot reach https://api.example: Network is unreachable"


@pytest.mark.parametrize("status", [403, 429, 503])
@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-type": "text/html; charset=UTF-8", "cf-ray": "9a"}, b""),
        ({"server": "cloudflare"}, b"\n<!DOCTYPE html><title>Just a moment...</title>"),
        ({}, b"<html><title>Attention Required! | Cloudflare</title>"),
    ],
)
def test_a_page_of_cloudflare_means_blocked(status: int, headers: dict[str, str], body: bytes) -> None:
    error = of_answer(Answer("https://api.example/v3", status, {**headers, "retry-after": "9"}, body), SETTINGS, NOW)
    assert (type(error), error.code) == (Transient, "blocked")
    assert isinstance(error, Transient)
    assert error.retry_after == 9.0


@pytest.mark.parametrize(
    ("status", "headers", "body", "code"),
    [
        (403, {"cf-ray": "9a", "content-type": "application/json"}, b'{"error": "no"}', "unauthorized"),
        (429, {"content-type": "text/html"}, b"<html>busy", "rate_limited"),
        (404, {"cf-ray": "9a", "content-type": "text/html"}, b"<html>", "not_found"),
        (500, {"cf-ray": "9a", "content-type": "text/html"}, b"<html>", "server_error"),
    ],
)
def test_other_answers_that_pass_cloudflare_do_not(
    status: int, headers: dict[str, str], body: bytes, code: str
) -> None:
    assert of_answer(Answer("https://api.example/v3", status, headers, body), SETTINGS, NOW).code == code


@pytest.mark.parametrize(
    "body",
    [
        '{"status":{"error_code":429,"error_message":"SAID"}}',
        '{"error":{"status":{"timestamp":"2024-04-20T22:00:05Z","error_code":10012,"error_message":"SAID"}}}',
        '{"timestamp":"2025-09-01T13:07:05Z","error_code":10011,"status":{"error_message":"SAID"}}',
        '{"error":"SAID"}',
        "SAID",
    ],
)
def test_what_an_api_says_is_in_the_error_whatever_its_shape(body: str) -> None:
    said = "you've asked for 366 days, and only 365 are given"
    answer = Answer("https://api.example/v3", 400, {}, body.replace("SAID", said).encode())
    assert said in of_answer(answer, SETTINGS, NOW).message


def test_a_refused_key_comes_with_what_to_check() -> None:
    error = of_answer(Answer("https://api.example/v3", 401, {}, b""), SETTINGS, NOW)
    assert error.remedy == "check that the API key (header x-cg-demo-api-key) is valid for https://api.example"


def test_a_broken_connection_is_not_told_as_a_certificate_that_is_not_trusted() -> None:
    for reason, words in [
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), "cannot reach https://api.example: EOF"),
        (ConnectionResetError(104, "Connection reset by peer"), "cannot reach https://api.example: Connection reset"),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), "cannot trust https://api.example: certificate"),
    ]:
        error = of_exception(requests.exceptions.SSLError(urllib3.exceptions.SSLError(reason)), SETTINGS)
        assert isinstance(error, Transient)
        assert error.message.startswith(words)
