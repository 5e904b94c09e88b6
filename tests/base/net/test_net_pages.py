"""A page where data was asked for is told as a page, by its title, and what to look at."""

from __future__ import annotations

import pytest

from dataplatform.base.net.failures import IN_BETWEEN, is_page, not_json, title_of
from dataplatform.errors import Transient

WHERE = "https://api.example/coins"
REFUSED = ValueError("JSON is malformed: invalid character (byte 0)")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<!DOCTYPE html><html><head><title>Sign in</title>", "is no JSON but a page, 'Sign in'"),
        (b"\xef\xbb\xbf\n <HTML><TITLE lang=en>Blocked &amp; logged\n here</TITLE>", "a page, 'Blocked & logged here'"),
        (b"<html><title>\x1b[31mred</title>", r"a page, '\x1b[31mred'"),
        (b"<html><title>" + b"x" * 500 + b"</title>", f"a page, '{'x' * 100}'"),
        (b"<html><body>hello", "is no JSON but a page"),
        (b"<?xml version='1.0'?><Error/>", "is no JSON but a page"),
    ],
)
def test_a_page_is_told_by_its_title(body: bytes, message: str) -> None:
    error = not_json(WHERE, body, REFUSED)
    assert (type(error), error.code, error.remedy) == (Transient, "not_json", IN_BETWEEN)
    assert error.message.startswith(f"the answer of {WHERE} is no JSON but a page")
    assert error.message.endswith(message)


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_an_empty_answer_is_told_as_that(body: bytes) -> None:
    assert not_json(WHERE, body, REFUSED).message.endswith(": it is empty")


@pytest.mark.parametrize("body", [b"The price is 7", b'{"a": ', b"\xff<"])
def test_any_other_answer_is_quoted(body: bytes) -> None:
    error = not_json(WHERE, body, REFUSED)
    assert error.message == f"the answer of {WHERE} is no JSON ({REFUSED}): it begins with {body!r}"
    assert not error.remedy


@pytest.mark.parametrize("part", ["<title>", "<title", "<title ", "<title>x<", "</title", "<TITLE>&lt;"])
def test_a_page_made_to_keep_us_busy_is_no_more_work_than_any_other(part: str) -> None:
    """128 KiB of `<title>` once took 17 s, in which nothing else ran; this is 50 times as much."""
    assert title_of(part * 1_000_000) is None


def test_what_a_page_is_follows_from_its_type_or_its_beginning() -> None:
    assert is_page(b"Sign in", "TEXT/HTML")
    assert not is_page(b'{"html": "<html>"}', "application/json")
    assert title_of("<title> </title>") is None
