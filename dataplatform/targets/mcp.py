"""The MCP target: records are published to another platform of this kind through its MCP server."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from attrs import field, frozen, validators

from dataplatform.base.agent import Context
from dataplatform.base.mcp import CallAnyOf, ToolAnswer
from dataplatform.dsl.flow import Rejection
from dataplatform.dsl.operations.parts import Connection, Part, TargetOptions
from dataplatform.dsl.operations.remote import call_of, data_of
from dataplatform.dsl.operations.writer import BaseWriter
from dataplatform.dsl.records.kinds import Kind
from dataplatform.dsl.records.queries import BatchPublishResult
from dataplatform.dsl.records.schema import KIND, to_json
from dataplatform.dsl.records.types import Record
from dataplatform.errors import PlatformError

__all__ = ["McpTarget", "McpTargetOptions"]

TIMEOUT = 25.0  # seconds; what a client with the default settings takes at most
ENVELOPE = 4 * 1024  # bytes of a request beside its records, at most


@frozen(kw_only=True)
class McpTargetOptions(TargetOptions):
    """Options of `kind = "mcp"` under `[targets.NAME]`."""

    target: str | None = field(
        default=None, metadata={"help": "the target of the other platform to write to, where it has several"}
    )
    max_items: int = field(
        default=500,
        validator=validators.in_(range(1, 10_001)),
        metadata={"help": "records in one call; no more than max_items of the other server"},
    )
    max_body: int = field(
        default=1024 * 1024,
        validator=validators.ge(2 * ENVELOPE),
        metadata={"help": "the size of one call; no more than max_body of the other server"},
    )


class McpTarget(BaseWriter):
    """Publishes to another platform of this kind, which has made durable what is acknowledged.

    At least once: a call whose answer is lost is made again. So a record is stored once where the other platform's
    target upserts (its tables), and may stand twice where it appends (its topics, tables without a key). What the
    other platform rejects is rejected here.
    """

    technology: ClassVar[str] = "another platform over MCP"
    client_kind: ClassVar[str] = "mcp"
    Options = McpTargetOptions
    options: McpTargetOptions

    def __init__(self, context: Context, options: Any, client: str, timeout: float = TIMEOUT) -> None:
        super().__init__(context, options, client)
        self._timeout = timeout

    @classmethod
    def part(cls, name: str, options: Any, connection: Connection) -> Part:
        """Wait for the client as long as its settings let it take."""
        client = connection.agents[0]
        return Part((cls.child(name, options, client, connection.settings.longest),), client)

    def _request(self, kind: Kind, records: list[Record]) -> CallAnyOf:
        target = {} if self.options.target is None else {"target": self.options.target}
        return call_of("publish_batch", {"records": [_on_wire(kind, record) for record in records], **target})

    def _portions(self, kind: Kind, records: list[Record]) -> list[list[Record]]:
        """Keep to the limits of the other server; a record that is too large by itself is a portion, and refused."""
        portions: list[list[Record]] = [[]]
        room = most = self.options.max_body - ENVELOPE
        for record in records:
            size = len(msgspec.json.encode(_on_wire(kind, record))) + 1
            if portions[-1] and (size > room or len(portions[-1]) == self.options.max_items):
                portions.append([])
                room = most
            portions[-1].append(record)
            room -= size
        return portions

    def _rejections(self, answer: Any) -> list[Rejection]:
        assert isinstance(answer, ToolAnswer)
        published = data_of(answer)
        assert isinstance(published, BatchPublishResult)
        return [Rejection(one.index, one.error) for one in published.refused]

    def _is_about_records(self, error: PlatformError) -> bool:
        return error.code == "too_large" or super()._is_about_records(error)


def _on_wire(kind: Kind, record: Record) -> dict[str, Any]:
    return {KIND: kind.name, **to_json(record)}
