"""`did you mean …?`, for a name that nothing has."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

__all__ = ["suggestion"]


def suggestion(name: str, known: Collection[str]) -> str:
    """Return `; did you mean …?`, or what there is to choose from.

    >>> suggestion("sorces", ["sources", "targets"])
    "; did you mean 'sources'?"
    """
    close = list(known) if len(known) == 1 else get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are {', '.join(sorted(known))}" if known else ""
