"""What a refusal says of the server, and what of the question alone; the meaning of an API's own codes."""

from __future__ import annotations

import json

import pytest

from dataplatform.base.net.failures import Meaning, of_status
from dataplatform.errors import Permanent, Transient

PAID = Meaning(10005, "paid_plan", "needs a paid plan")
WRONG_HOST = Meaning(10011, "unauthorized", "change base_url", of_question=False)


@pytest.mark.parametrize(
    ("status", "code", "of_question"),
    [
        (400, "bad_request", True),
        (401, "unauthorized", False),
        (403, "unauthorized", False),
        (404, "not_found", True),
        (405, "bad_request", True),
        (408, "timeout", False),
        (410, "bad_request", True),
        (422, "bad_request", True),
        (429, "rate_limited", False),
        (500, "server_error", True),
        (501, "server_error", True),
        (502, "server_error", False),
        (503, "server_error", False),
        (504, "server_error", False),
        (522, "server_error", False),
        (530, "server_error", False),
    ],
)
def test_a_refusal_is_of_the_question_unless_it_turns_everybody_away(
    status: int,
    code: str,
    of_question: bool,  # noqa: FBT001  a column of the table
) -> None:
    error = of_status(status, "refused")
    assert (error.code, error.of_question) == (code, of_question)


@pytest.mark.parametrize(
    "body",
    [
        {"status": {"error_code": 10005, "error_message": "This request is limited to PRO API subscribers."}},
        {"error": {"status": {"timestamp": "2026-01-01T00:00:00.000+00:00", "error_code": 10005}}},
        {"timestamp": "2026-01-01T00:00:00.000+00:00", "error_code": 10005, "status": {"error_message": "no"}},
        {"error_code": "10005"},
    ],
)
@pytest.mark.parametrize("status", [400, 401, 403])
def test_an_api_s_own_code_is_found_in_any_shape_and_goes_before_the_status(body: object, status: int) -> None:
    text = json.dumps(body)
    for said in (text, f"{status} {text}", json.dumps(f"Error: {status} {text}")):
        error = of_status(status, "refused", said, meanings=[WRONG_HOST, PAID])
        assert error == Permanent("paid_plan", "refused", remedy="needs a paid plan")
        assert error.of_question


def test_a_meaning_may_be_of_the_server() -> None:
    error = of_status(400, "refused", '{"error_code": 10011}', meanings=[WRONG_HOST])
    assert error == Permanent("unauthorized", "refused", remedy="change base_url")
    assert not error.of_question


@pytest.mark.parametrize("said", ['{"error_code": 100051}', '{"code": 10005}', "10005", ""])
def test_a_number_that_is_no_code_of_the_api_means_nothing(said: str) -> None:
    assert of_status(401, "refused", said, meanings=[PAID]).code == "unauthorized"


def test_what_an_error_says_of_the_question_is_no_part_of_its_identity() -> None:
    assert Transient("server_error", "500", of_question=True) == Transient("server_error", "500")
    assert Permanent("unauthorized", "401", of_question=False) == Permanent("unauthorized", "401")
    assert Transient("timeout", "late") != Permanent("timeout", "late")
