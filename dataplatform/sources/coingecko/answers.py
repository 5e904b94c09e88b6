"""What CoinGecko answered, whatever carried it: JSON, who really said it, and where it was asked."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

import msgspec
from attrs import field, frozen

from dataplatform.base.misfit import misfit, require_json
from dataplatform.base.net.pages import not_json
from dataplatform.errors import Permanent
from dataplatform.sources.coingecko.endpoints import Endpoint

__all__ = ["ATTRIBUTION", "Answer", "decode", "source_named"]

T = TypeVar("T")
ATTRIBUTION = {"coingecko": "Data provided by CoinGecko (https://www.coingecko.com)", "simulator": "Simulated data"}


@frozen
class Answer:
    """One answer: its JSON text, `source` (`coingecko`, or `simulator`), where it came from, to be shown, and when.

    `endpoint` is the one that answered, which may be another than was asked first.
    """

    body: bytes = field(repr=False)
    source: str
    where: str
    received_at: datetime
    endpoint: Endpoint


def source_named(*, simulated: bool) -> str:
    """Return how data is labelled: by who really answered."""
    return "simulator" if simulated else "coingecko"


def decode(answer: Answer, type_: type[T]) -> T:
    """Decode an answer as the type; anything else is refused with the path of what is wrong in it.

    Raises `Permanent("changed_shape")`, or `Transient("not_json")` for what is no JSON: mostly a page of something
    that stands in between.
    """
    decode = msgspec.json.Decoder(type_).decode
    try:
        require_json(answer.body)
        return decode(answer.body)
    except msgspec.ValidationError as error:
        what = misfit(error, answer.body, decode)
        raise Permanent(
            "changed_shape",
            f"the answer of {answer.where} is not what CoinGecko promises: {what}",
            remedy="see whether its API has changed, or the client leads elsewhere",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(answer.where, answer.body, error) from error
