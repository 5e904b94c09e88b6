"""A result is a success with data, or a failure with its error."""

from __future__ import annotations

import traceback

import attrs
import pytest

from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Success, get_data, get_error, is_failure, is_success

GONE = Transient("timeout", "no answer in 5 s")


def test_a_success_holds_data_and_no_error() -> None:
    result = Success([1, 2])
    assert is_success(result)
    assert not is_failure(result)
    assert get_data(result) == [1, 2]
    assert get_error(result) is None


def test_a_failure_holds_an_error_and_no_data() -> None:
    result = Failure(GONE)
    assert is_failure(result)
    assert not is_success(result)
    assert get_error(result) is GONE
    with pytest.raises(Transient, match="timeout: no answer in 5 s"):
        get_data(result)


def test_a_success_may_hold_nothing_and_is_a_success_still() -> None:
    assert is_success(Success(None))
    assert get_data(Success(None)) is None
    assert is_success(Success(0))
    assert is_success(Success([]))


def test_results_are_equal_when_what_they_hold_is() -> None:
    assert Success(1) == Success(1)
    assert Success(1) != Success(2)
    assert Failure(Transient("timeout", "late")) == Failure(Transient("timeout", "late"))
    assert Failure(Transient("timeout", "late")) != Failure(Permanent("timeout", "late"))


def test_results_are_frozen() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Success(1).data = 2  # type: ignore[misc]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Failure(GONE).error = GONE  # type: ignore[misc]


def test_an_error_that_is_raised_again_and_again_does_not_gather_frames() -> None:
    lengths = []
    for _ in range(3):
        with pytest.raises(Transient) as caught:
            get_data(Failure(GONE))
        lengths.append(len(traceback.extract_tb(caught.value.__traceback__)))
    assert lengths == [lengths[0]] * 3


def test_notes_are_shown_and_carried_and_make_no_other_answer() -> None:
    noted = Success([1], ("a row was left out",))
    assert noted == Success([1])
    assert noted.notes == ("a row was left out",)
    assert repr(noted) == "Success(data=[1], notes=('a row was left out',))"
    assert repr(Success([1])) == "Success(data=[1])"
