"""Another platform as a target: what it has acknowledged is in its tables, and what it cannot take is named."""

from __future__ import annotations

from dataplatform import create_mcp_market_data_reader, create_mcp_market_data_writer
from dataplatform.dsl.records.queries import PublishResult
from dataplatform.result import Success, get_data
from tests.dsl.records import letter, price
from tests.sources.mcp.conftest import PATIENCE, Far

MIB = 1024 * 1024


def test_what_was_written_to_the_other_platform_is_read_from_it(far: Far) -> None:
    given = price("there-and-back", source="simulator")
    with create_mcp_market_data_writer("writer", far.settings, target="database") as writer:
        assert writer.publish_price(given).get(timeout=PATIENCE) == Success(PublishResult("writer", "prices"))
    with create_mcp_market_data_reader("reader", far.settings, source="history") as reader:
        assert reader.get_current_price("there-and-back").get(timeout=PATIENCE) == Success(given)


def test_a_record_that_is_larger_than_the_other_server_takes_is_refused_by_name_and_harms_no_other(far: Far) -> None:
    given = [letter("small"), letter("large", raw=b"x" * 2 * MIB), letter("last")]
    with create_mcp_market_data_writer("writer", far.settings) as writer:
        answer = get_data(writer.publish_batch(given).get(timeout=PATIENCE))
    assert answer.published == 2
    assert [(one.index, one.error.code) for one in answer.refused] == [(1, "too_large")]
    stored = get_data(far.platform.sql("select origin from dead_letters order by id"))
    assert len(stored.rows) == 2
