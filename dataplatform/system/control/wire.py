"""How requests and answers stand on the control socket: frames of MessagePack, with their length before them.

A request is named by its class and decoded into it, with every rule of the class checked; an answer is of the type
that the request's class promises. Both say the version of this form; another one is refused.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import Any, TypeVar, get_args

import msgspec
from attrs import frozen

from dataplatform.base.agent import GetStatus, Request
from dataplatform.dsl.flow.source import Pause, Resume
from dataplatform.dsl.kinds import kind_named, kind_of
from dataplatform.dsl.operations import PublishBatch, ReadingOperation, WritingOperation
from dataplatform.dsl.types import Record
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Result, Success
from dataplatform.services.gateway.control import PlatformRequest

__all__ = [
    "MOST_BYTES",
    "VERSION",
    "Asked",
    "decode_answer",
    "decode_request",
    "encode_answer",
    "encode_request",
    "read_frame",
    "write_frame",
]

T = TypeVar("T")
VERSION = 1
MOST_BYTES = 16 * 1024 * 1024
LENGTH = struct.Struct("!I")
LONGEST = 120.0  # seconds that an asker may wait
CHUNK = 65_536
NONE = msgspec.Raw(b"\xc0")
UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)
_AGENT_REQUESTS = (*get_args(ReadingOperation), *get_args(WritingOperation), GetStatus, Pause, Resume)
_CLASSES: dict[str, type[Request[Any]]] = {cls.__name__: cls for cls in (*_AGENT_REQUESTS, *get_args(PlatformRequest))}


@frozen
class Asked:
    """A request as it came: for which agent ("" is the platform), and how many seconds its asker waits."""

    agent: str
    request: Request[Any]
    timeout: float


@frozen
class _AskedFrame:
    version: int
    agent: str
    operation: str
    arguments: msgspec.Raw
    timeout: float


@frozen
class _AnswerFrame:
    version: int
    data: msgspec.Raw = NONE
    error: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


def encode_request(agent: str, request: Request[Any], timeout: float) -> bytes:
    """Return the frame's content; raises `TypeError` for a request that has no form there."""
    name = type(request).__name__
    if _CLASSES.get(name) is not type(request):
        raise TypeError(f"{name} is no request that can be put over a control socket")
    return _encode(_AskedFrame(VERSION, agent, name, msgspec.Raw(_encode(_arguments(request))), timeout))


def decode_request(content: bytes) -> Asked:
    """Return the request; raises `Permanent` for another version, an unknown request, and arguments that do not fit."""
    frame: _AskedFrame = _decode(content, _AskedFrame)
    if frame.version != VERSION:
        raise _other_version(frame.version)
    cls = _CLASSES.get(frame.operation)
    if cls is None:
        raise Permanent("bad_request", f"there is no request {frame.operation[:100]!r}")
    if not 0.0 < frame.timeout <= LONGEST:
        raise Permanent("bad_request", f"timeout must be above 0 and at most {LONGEST:g} s")
    if cls is PublishBatch:
        return Asked(frame.agent, PublishBatch(_records(frame.arguments)), frame.timeout)
    return Asked(frame.agent, _decode(frame.arguments, cls), frame.timeout)


def encode_answer(result: Result[Any]) -> bytes:
    """Return the frame's content; an answer that is too large becomes a failure that says so."""
    match result:
        case Failure(error):
            return _encode(_AnswerFrame(VERSION, error=_error_fields(error)))
        case Success(data, notes):
            content = _encode(_AnswerFrame(VERSION, data=msgspec.Raw(_encode(data)), notes=notes))
    if len(content) > MOST_BYTES:
        error = Permanent("too_large", f"the answer has more than {MOST_BYTES:,} bytes", remedy="ask for less of it")
        return encode_answer(Failure(error))
    return content


def decode_answer(request: Request[T], content: bytes) -> Result[T]:
    """Return the answer to a request; raises `Permanent` for what is none."""
    frame: _AnswerFrame = _decode(content, _AnswerFrame)
    if frame.version != VERSION:
        raise _other_version(frame.version)
    if frame.error is not None:
        return Failure(_error(frame.error))
    return Success(_decode(frame.data, _answer_type(type(request))), frame.notes)


def read_frame(connection: socket.socket) -> bytes | None:
    """Return a frame's content, None when the other side has closed; raises `Permanent` for one that is too large."""
    head = _read(connection, LENGTH.size)
    if head is None:
        return None
    (length,) = LENGTH.unpack(head)
    if length > MOST_BYTES:
        raise Permanent("too_large", f"a frame of {length:,} bytes; at most {MOST_BYTES:,} are taken")
    return _read(connection, length)


def write_frame(connection: socket.socket, content: bytes) -> None:
    connection.sendall(LENGTH.pack(len(content)) + content)


def _read(connection: socket.socket, length: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < length:
        part = connection.recv(min(CHUNK, length - len(parts)))
        if not part:
            return None
        parts += part
    return bytes(parts)


def _arguments(request: Request[Any]) -> Any:
    """Return what stands for a request; records of several kinds say which kind each of them is."""
    if isinstance(request, PublishBatch):
        return [(kind_of(record).name, record) for record in request.records]
    return request


def _records(arguments: msgspec.Raw) -> Sequence[Record]:
    records: list[Record] = []
    for name, raw in _decode(arguments, list[tuple[str, msgspec.Raw]]):
        kind = kind_named(name)
        if kind is None:
            raise Permanent("bad_request", f"{name[:100]!r} is no kind of record")
        records.append(_decode(raw, kind.type))
    return records


def _answer_type(cls: type[Request[Any]]) -> Any:
    """Return the `T` of a class that is a `Request[T]`."""
    return get_args(cls.__orig_bases__[0])[0]  # type: ignore[attr-defined]


def _encode(value: Any) -> bytes:
    return msgspec.msgpack.encode(value, enc_hook=_as_plain)


def _decode(content: bytes | msgspec.Raw, cls: Any) -> Any:
    try:
        return msgspec.msgpack.decode(content, type=cls, dec_hook=_from_plain)
    except UNREADABLE as error:
        raise Permanent("bad_request", f"not readable as {getattr(cls, '__name__', cls)}: {error}") from error


def _as_plain(value: Any) -> Any:
    return _error_fields(value) if isinstance(value, PlatformError) else str(value)


def _from_plain(cls: type[Any], value: Any) -> Any:
    if issubclass(cls, PlatformError):
        return _error(value)
    raise NotImplementedError(cls)


def _error_fields(error: PlatformError) -> dict[str, Any]:
    return {"transient": isinstance(error, Transient), **error.__dict__}


def _error(plain: dict[str, Any]) -> PlatformError:
    code, message, remedy = (str(plain.get(name, "")) for name in ("code", "message", "remedy"))
    if plain.get("transient"):
        return Transient(code, message, remedy=remedy, retry_after=plain.get("retry_after"))
    return Permanent(code, message, remedy=remedy)


def _other_version(version: int) -> Permanent:
    return Permanent(
        "other_version",
        f"the other side speaks version {version} of the control socket's language, this one {VERSION}",
        remedy="use the same release of dataplatform on both sides",
    )
