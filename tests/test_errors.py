"""The errors of the platform say what happened, and whether it is worth trying again."""

from __future__ import annotations

import copy
import pickle

import pytest

from dataplatform.errors import Permanent, PlatformError, Transient

ERRORS = [
    PlatformError("odd", "something odd"),
    Permanent("not_found", "coin 'bitcoinn' is unknown", remedy="see get_available_tickers"),
    Transient("rate_limited", "CoinGecko answered 429", retry_after=30.0, remedy="use an API key"),
]


def test_an_error_reads_as_code_message_and_remedy() -> None:
    assert str(ERRORS[0]) == "odd: something odd"
    assert str(ERRORS[1]) == "not_found: coin 'bitcoinn' is unknown; see get_available_tickers"
    assert repr(ERRORS[0]) == "PlatformError('odd: something odd')"


def test_a_transient_error_says_when_to_try_again_if_the_other_side_did() -> None:
    assert Transient("timeout", "late").retry_after is None
    assert Transient("rate_limited", "429", retry_after=30.0).retry_after == 30.0


def test_errors_are_equal_when_kind_and_content_are() -> None:
    assert Transient("timeout", "late") == Transient("timeout", "late")
    assert Transient("timeout", "late") != Transient("timeout", "later")
    assert Transient("timeout", "late") != Permanent("timeout", "late")
    assert Transient("timeout", "late") != Transient("timeout", "late", retry_after=1.0)
    assert Transient("timeout", "late") != "timeout: late"


def test_equal_errors_have_one_hash() -> None:
    assert len({Transient("timeout", "late"), Transient("timeout", "late"), Permanent("timeout", "late")}) == 2


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_an_error_survives_pickling_and_copying(error: PlatformError) -> None:
    assert pickle.loads(pickle.dumps(error)) == error
    assert copy.copy(error) == error


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_every_error_is_a_platform_error_and_can_be_raised(error: PlatformError) -> None:
    with pytest.raises(PlatformError) as caught:
        raise error
    assert caught.value is error
