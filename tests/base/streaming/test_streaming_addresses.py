"""The addresses of brokers: what is read of a text, and what is refused with what to write instead."""

from __future__ import annotations

from typing import Any

import pytest

from dataplatform import create_redpanda_market_data_reader
from dataplatform.base.streaming import RedpandaSettings
from dataplatform.base.streaming.addresses import parse_brokers


@pytest.mark.parametrize(
    ("given", "addresses"),
    [
        ("localhost:9092", ("localhost:9092",)),
        ("a:9092,b:9092", ("a:9092", "b:9092")),
        (" a:9092 ,\n b:9092, ", ("a:9092", "b:9092")),
        ("a:9092 b:9092", ("a:9092", "b:9092")),
        (["a:9092,b:9092", "c:9092"], ("a:9092", "b:9092", "c:9092")),
        (("a:9092", "a:9092"), ("a:9092",)),
        ("a:09092", ("a:9092",)),
        ("kafka_1.internal.:1", ("kafka_1.internal.:1",)),
        ("10.0.0.1:65535", ("10.0.0.1:65535",)),
        ("[::1]:9092", ("[::1]:9092",)),
        ("[FE80:0:0:0:0:0:0:1]:9092,a:1", ("[fe80::1]:9092", "a:1")),
        ("münchen.example:9092", ("münchen.example:9092",)),
        ("embedded", ("embedded",)),
        (["embedded"], ("embedded",)),
    ],
)
def test_addresses_are_read_as_people_write_them(given: Any, addresses: tuple[str, ...]) -> None:
    assert parse_brokers(given) == addresses
    assert RedpandaSettings(given).brokers == addresses


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "'' holds no address; write HOST:PORT, such as 'localhost:9092', or 'embedded'"),
        (" , ", "' , ' holds no address"),
        ([], "there is no address"),
        ("localhost", "'localhost' has no port; write 'localhost:9092'"),
        ("localhost:", "'localhost:' has no port; write 'localhost:9092'"),
        ("[::1]", "'[::1]' has no port; write '[::1]:9092'"),
        ("embeded", "'embeded' has no port; did you mean 'embedded'?"),
        (":9092", "':9092' has no host"),
        (":99999", "':99999' has no host"),
        ("a:9092,localhost:abc", "the port of 'localhost:…' is not a number from 1 to 65535; write HOST:PORT"),
        ("a:0", "the port of 'a:0' is not a number"),
        ("a:65536", "the port of 'a:65536' is not a number"),
        ("a:-1", "the port of 'a:…' is not a number"),
        ("a:\uff19\uff10", "the port of 'a:…' is not a number from 1 to 65535"),
        ("a:" + "9" * 5_000, "the port of 'a:…' is not a number from 1 to 65535"),
        ("::1", "'::1' has several colons; write '[::1]:9092'"),
        ("::1:19092", "'::1:19092' has several colons; write '[::1]:19092'"),
        ("a:9092:9093", "'a:9092:9093' has several colons; write HOST:PORT"),
        ("[::1:9092", "is not of the form '[IPV6]:PORT'"),
        ("[localhost]:9092", "is not of the form '[IPV6]:PORT'"),
        ("a..b:9092", "has a host that no machine can have"),
        ("a" * 64 + ".example:9092", "has a host that no machine can have"),
        ("a/b:9092", "has a host that no machine can have"),
        ("kafka://a:9092", "'kafka://a:9092' is a URL"),
        ("embedded,a:9092", "'embedded' is the broker of this platform"),
        ([9092], "an address is a text, and not of type int"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason_and_what_to_write(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=r"^brokers: ") as refused:
        RedpandaSettings(given)
    assert said in str(refused.value)


@pytest.mark.parametrize("given", ["sasl://ada:hunter2@a:9092", "ada:hunt/er2@a:9092", "ada:hunt@hunter2@a:9092"])
def test_a_password_in_an_address_is_not_repeated(given: str) -> None:
    with pytest.raises(ValueError, match=r"\*\*\*@a:9092' is a URL; .*password") as refused:
        parse_brokers(given)
    assert "er2" not in str(refused.value)


def test_a_factory_refuses_what_a_topology_refuses() -> None:
    with pytest.raises(ValueError, match="'localhost' has no port"):
        create_redpanda_market_data_reader(brokers="localhost")
