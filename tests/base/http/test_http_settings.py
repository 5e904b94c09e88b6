"""Options are checked when they are made, and show no secret."""

from __future__ import annotations

import re
from typing import Any

import attrs
import pytest

from dataplatform.base.http import Get, HttpSettings

SECRET = "CG-abcdef123456"


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "api.example"},
        {"base_url": "ftp://api.example"},
        {"base_url": "https://"},
        {"base_url": "https://api.example:99999"},
        {"base_url": "https://api.example?x=1"},
        {"base_url": 8},
        {"headers": {"X Y": "1"}},
        {"headers": {"X": "a\r\nY: b"}},
        {"headers": {"X": ""}},
        {"headers": {"X": 1}},
        {"api_key": ""},
        {"api_key": "ключ"},
        {"api_key_header": "x y"},
        {"rate_per_minute": 0},
        {"rate_per_minute": float("nan")},
        {"rate_per_minute": float("inf")},
        {"burst": 0},
        {"burst": 1.5},
        {"timeout": 0},
        {"timeout": float("inf")},
        {"connect_timeout": -1.0},
        {"max_body": 0},
        {"attempts": 0},
        {"attempts": 11},
        {"user_agent": "a\nb"},
    ],
    ids=str,
)
def test_a_wrong_option_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        HttpSettings(**{"base_url": "https://api.example", **wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": f"https://user:{SECRET}@api.example"},
        {"base_url": f"https://api.example?api_key={SECRET}"},
        {"api_key": SECRET + "\n"},
        {"headers": {"X": SECRET + "\n"}},
    ],
)
def test_a_wrong_option_is_refused_without_showing_a_secret(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"base_url|value") as refusal:
        HttpSettings(**{"base_url": "https://api.example", **wrong})
    assert SECRET not in str(refusal.value)


def test_settings_do_not_show_their_secrets() -> None:
    settings = HttpSettings(base_url="https://api.example", api_key=SECRET, headers={"X-Token": SECRET})
    assert SECRET not in repr(settings)
    assert "X-Token" in repr(settings)


def test_every_option_has_a_help_and_a_validator() -> None:
    for option in attrs.fields(HttpSettings):
        assert re.match(r"[a-z].{15,}", option.metadata["help"]), option.name
        assert option.validator is not None, option.name


@pytest.mark.parametrize("wrong", [(8,), ("/\ud800",), ("/", (("a", 1),)), ("/", (("a", "\udfff"),))])
def test_a_get_that_cannot_be_sent_is_refused_before_it_reaches_the_client(wrong: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match=r"no text|iterable"):
        Get(*wrong)
