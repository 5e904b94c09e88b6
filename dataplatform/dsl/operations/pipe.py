"""Composition of reading and writing operations, and the laws it keeps.

1. Type coherence: what is read is what is written; a type checker and the constructor both refuse a mismatch.
2. Error propagation: a failed reading is the answer, and nothing is written.
3. One way: data flows from one source to targets, never back.
4. Read before write: no target is asked before the reading has answered.
5. Only operations of the language can be composed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, ParamSpec, TypeVar, cast, get_args, get_origin, get_type_hints, overload

from attrs import evolve, field, frozen

from dataplatform.base.agent import Future, Timeout
from dataplatform.dsl.operations.proxy import ReaderProxy, WriterProxy
from dataplatform.dsl.records.kinds import kinds
from dataplatform.dsl.records.types import Record
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Result, Success

__all__ = ["Pipe", "Piped", "pipe"]

P = ParamSpec("P")
R = TypeVar("R", bound=Record)
Answer = TypeVar("Answer")

TIMEOUT = 30.0  # seconds for one operation


@frozen
class Piped(Generic[R]):
    """What went through a pipe: the records that were written, and each target's own answer by its name."""

    records: list[R] = field(repr=lambda records: f"{len(records)} records")
    answers: Mapping[str, Result[Any]]

    @property
    def failures(self) -> dict[str, PlatformError]:
        """The targets that failed, and why."""
        return {name: answer.error for name, answer in self.answers.items() if isinstance(answer, Failure)}


@frozen
class Pipe(Generic[P, R]):
    """A reading operation, what is done to each record, and the writing operations that get the outcome.

    Calling it with the reading operation's arguments carries it out. All targets are asked at once; the answer is a
    `Success` when at least one of them succeeded, and says which did not.
    """

    _read: Callable[P, Future[Result[Any]]]
    _writes: tuple[Callable[[Any], Future[Result[Any]]], ...]
    _record: type[R]
    _steps: tuple[Callable[[list[R]], list[R]], ...] = ()
    _timeout: float = TIMEOUT

    def map(self, change: Callable[[R], R]) -> Pipe[P, R]:
        """Change each record into another of the same type."""
        return self._then(lambda records: [change(record) for record in records])

    def filter(self, keep: Callable[[R], bool]) -> Pipe[P, R]:
        """Go on with the records for which `keep` is true; where none is left, nothing is written."""
        return self._then(lambda records: [record for record in records if keep(record)])

    def within(self, seconds: float) -> Pipe[P, R]:
        """Wait at most `seconds` for each operation, 30 by default."""
        return evolve(self, timeout=seconds)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Result[Piped[R]]:
        read = _answer(self._read(*args, **kwargs), self._timeout)
        if isinstance(read, Failure):
            return read
        records: list[R] = read.data if isinstance(read.data, list) else [read.data]
        for step in self._steps:
            records = step(records)
        if strange := [record for record in records if type(record) is not self._record]:
            text = f"the pipe carries {self._record.__name__}, a step made {type(strange[0]).__name__}"
            return Failure(Permanent("incoherent", text))
        return self._write(records, read.notes)

    def _write(self, records: list[R], notes: tuple[str, ...]) -> Result[Piped[R]]:
        asked = {_name(write): _put(write, records) for write in self._writes} if records else {}
        answers = {name: _all([_answer(one, self._timeout) for one in futures]) for name, futures in asked.items()}
        piped = Piped(records, MappingProxyType(answers))
        if answers and len(piped.failures) == len(answers):
            return Failure(next(iter(piped.failures.values())))
        return Success(piped, notes)

    def _then(self, step: Callable[[list[R]], list[R]]) -> Pipe[P, R]:
        return evolve(self, steps=(*self._steps, step))


@overload
def pipe(
    read: Callable[P, Future[Result[list[R]]]],
    write: Callable[[list[R]], Future[Result[Any]]],
    /,
    *more: Callable[[list[R]], Future[Result[Any]]],
) -> Pipe[P, R]: ...


@overload
def pipe(
    read: Callable[P, Future[Result[R]]],
    write: Callable[[R], Future[Result[Any]]],
    /,
    *more: Callable[[R], Future[Result[Any]]],
) -> Pipe[P, R]: ...


def pipe(
    read: Callable[P, Future[Result[Any]]],
    write: Callable[[Any], Future[Result[Any]]],
    /,
    *more: Callable[[Any], Future[Result[Any]]],
) -> Pipe[P, Any]:
    """Compose a reading operation with one or more writing ones.

    `pipe(reader.get_current_prices, writer.publish_prices)(["bitcoin"])` reads, writes, and answers `Result[Piped]`.
    Raises `TypeError` for what is no operation of a proxy, for types that do not fit, and for a target named twice.
    """
    record = _read_type(read)
    writes = (write, *more)
    for one in writes:
        if (taken := _write_type(one)) is not record:
            raise TypeError(f"{_label(read)} reads {record.__name__}, {_label(one)} writes {taken.__name__}")
    names = [_name(one) for one in writes]
    if len(set(names)) != len(names):
        raise TypeError(f"a target stands twice in the pipe: {', '.join(names)}")
    return Pipe(read, writes, record)


def _put(write: Callable[[Any], Future[Result[Any]]], records: Sequence[Record]) -> list[Future[Result[Any]]]:
    """Ask a writing operation, of many records or of one each."""
    if _takes_many(write):
        return [write(records)]
    return [write(record) for record in records]


def _answer(future: Future[Result[Answer]], timeout: float) -> Result[Answer]:
    try:
        return future.get(timeout=timeout)
    except Timeout:
        return Failure(Transient("timeout", f"no answer in {timeout:g} s"))


def _all(answers: list[Result[Any]]) -> Result[Any]:
    return next((answer for answer in answers if isinstance(answer, Failure)), answers[0])


def _read_type(read: Any) -> type[Any]:
    operation = _operation(read, ReaderProxy, "reading")
    result = get_args(get_type_hints(operation)["return"])[0]  # Future[Result[T]], Result[T] = Success[T] | Failure
    data = get_args(next(part for part in get_args(result) if get_origin(part) is Success))[0]
    return _record_type(data, read)


def _write_type(write: Any) -> type[Any]:
    return _record_type(_argument(write), write)


def _takes_many(write: Any) -> bool:
    return get_origin(_argument(write)) is not None


def _argument(write: Any) -> Any:
    hints = get_type_hints(_operation(write, WriterProxy, "writing"))
    hints.pop("return")
    if not hints:
        raise TypeError(f"{_label(write)} writes no records")
    return next(iter(hints.values()))


def _record_type(hint: Any, operation: Any) -> type[Any]:
    found = get_args(hint)[0] if get_origin(hint) is not None and get_args(hint) else hint
    if found not in [kind.type for kind in kinds()]:
        raise TypeError(f"{_label(operation)} is about {hint}, not about records of one type")
    return cast("type[Any]", found)


def _operation(method: Any, proxy: type[Any], half: str) -> Any:
    owner = getattr(method, "__self__", None)
    if not isinstance(owner, proxy):
        raise TypeError(f"{method!r:.100} is no {half} operation of a proxy")
    return method.__func__


def _name(method: Any) -> str:
    name: str = method.__self__.address.name
    return name


def _label(method: Any) -> str:
    return f"{_name(method)}.{method.__name__}"
