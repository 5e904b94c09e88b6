"""The answer of every operation and request: a `Success` with data, or a `Failure` with the error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeAlias, TypeVar

from attrs import field, frozen
from typing_extensions import TypeIs

from dataplatform.notebook import data_html, error_html, notes_html

if TYPE_CHECKING:
    from dataplatform.errors import PlatformError

__all__ = ["Failure", "Result", "Success", "get_data", "get_error", "is_failure", "is_success"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@frozen
class Success(Generic[T_co]):
    """What was asked for: `Success([...]).data`, and notes for people where something is to be said about it.

    A note names what the answer lacks, such as a row that could not be read, and why. Two successes with the same data
    are equal, whatever their notes.

    >>> Success([1, 2], notes=("a third number was left out: it is null",)) == Success([1, 2])
    True
    """

    data: T_co
    notes: tuple[str, ...] = field(default=(), eq=False)

    def __repr__(self) -> str:
        return f"Success(data={self.data!r}{f', notes={self.notes!r}' if self.notes else ''})"

    def _repr_html_(self) -> str:
        return data_html(self.data) + notes_html(self.notes)


@frozen
class Failure:
    """What went wrong, as a value: `Failure(Transient("timeout", "no answer in 5 s")).error`."""

    error: PlatformError

    def _repr_html_(self) -> str:
        return error_html(self.error)


Result: TypeAlias = Success[T] | Failure


def is_success(result: Result[T]) -> TypeIs[Success[T]]:
    """Tell whether the result holds data.

    >>> is_success(Success(1))
    True
    """
    return isinstance(result, Success)


def is_failure(result: Result[Any]) -> TypeIs[Failure]:
    """Tell whether the result holds an error.

    >>> is_failure(Success(1))
    False
    """
    return isinstance(result, Failure)


def get_data(result: Result[T]) -> T:
    """Return the data of a success; raise the error of a failure.

    >>> get_data(Success(1))
    1
    """
    if isinstance(result, Failure):
        raise_error(result)
    return result.data


def get_error(result: Result[Any]) -> PlatformError | None:
    """Return the error of a failure, `None` for a success.

    >>> get_error(Success(1)) is None
    True
    """
    return result.error if isinstance(result, Failure) else None


def raise_error(failure: Failure) -> NoReturn:
    """Raise the failure's error, for callers who prefer exceptions."""
    raise failure.error.with_traceback(None)  # else the frames of each raise would pile up in a shared error
