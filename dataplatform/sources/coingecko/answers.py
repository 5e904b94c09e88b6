"""What CoinGecko answered, whatever carried it: JSON, who really said it, and where it was asked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Annotated, TypeAlias, TypeVar

import msgspec
from attrs import field, frozen

from dataplatform.base.lenient import decode_leniently
from dataplatform.base.mending import REPLACEMENT, Mended, mended
from dataplatform.base.misfit import misfit, require_json
from dataplatform.base.net.pages import not_json
from dataplatform.errors import Permanent
from dataplatform.result import Success
from dataplatform.sources.coingecko.endpoints import Endpoint

__all__ = ["ATTRIBUTION", "Amount", "Answer", "decode", "decode_known", "id_of", "source_named", "with_replacements"]

T = TypeVar("T")
Amount: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]
ATTRIBUTION = {"coingecko": "Data provided by CoinGecko (https://www.coingecko.com)", "simulator": "Simulated data"}


def _mended(body: bytes | Mended) -> Mended:
    return body if isinstance(body, Mended) else mended(body)


@frozen
class Answer:
    """One answer: its JSON text, `source` (`coingecko`, or `simulator`), where it came from, to be shown, and when.

    `endpoint` is the one that answered, which may be another than was asked first. Characters of the body that are no
    text are replaced, so that they cost nothing but themselves.
    """

    text: Mended = field(converter=_mended, alias="body")
    source: str
    where: str
    received_at: datetime
    endpoint: Endpoint

    @property
    def body(self) -> bytes:
        return self.text.raw


def source_named(*, simulated: bool) -> str:
    """Return how data is labelled: by who really answered."""
    return "simulator" if simulated else "coingecko"


def decode(answer: Answer, type_: type[T]) -> T:
    """Decode an answer as the type; anything else is refused with the path of what is wrong in it.

    Raises `Permanent("changed_shape")`, or `Transient("not_json")` for what is no JSON: mostly a page of something
    that stands in between.
    """
    return decode_known(answer, type_, ())[0]


def decode_known(answer: Answer, type_: type[T], optional: Collection[str]) -> tuple[T, tuple[str, ...]]:
    """Decode an answer as `decode` does, and its `optional` fields that are not valid as null, with a note for each."""
    decode = msgspec.json.Decoder(type_).decode
    try:
        require_json(answer.body)
        found, wrong = decode_leniently(answer.body, decode, optional)
        return found, tuple(f"taken for unknown: {answer.endpoint.path}: {what}" for what in wrong)
    except msgspec.ValidationError as error:
        what = misfit(error, answer.body, decode)
        raise Permanent(
            "changed_shape",
            f"the answer of {answer.where} is not what CoinGecko promises: {what}",
            remedy="see whether its API has changed, or the client leads elsewhere",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(answer.where, answer.body, error) from error


def id_of(text: str) -> str:
    """Return an id; raises `ValueError` for what cannot be one: nothing, or what is not printable or was replaced."""
    if not text or not text.isprintable() or REPLACEMENT in text:
        raise ValueError(f"expected an id, got {text!r:.80}")
    return text


def with_replacements(made: T | Success[T], answers: Sequence[Answer | None]) -> T | Success[T]:
    """Add notes of the characters that were replaced in the answers that something was made of."""
    notes = tuple(
        f"characters of the answer of {answer.endpoint.path} that are not valid text were replaced by {REPLACEMENT}: "
        f"{answer.text.replaced}"
        for answer in answers
        if answer is not None and answer.text.replaced
    )
    if not notes:
        return made
    return Success(made.data, (*made.notes, *notes)) if isinstance(made, Success) else Success(made, notes)
