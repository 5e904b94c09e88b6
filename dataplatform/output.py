"""Standard output and standard error that take any text, whatever the terminal or the pipe behind them can show."""

from __future__ import annotations

import io
import sys

import click.utils

__all__ = ["take_any_text"]


def take_any_text() -> None:
    """Have characters replaced that the encoding of an output lacks, and lone surrogates; for a program's first line.

    Python would raise `UnicodeEncodeError` for them, in Latin-1, in ASCII, and for surrogates in UTF-8.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    # Click takes ASCII for a mistake, and would write UTF-8 to it.
    vars(click.utils).update(_default_text_stdout=lambda: sys.stdout, _default_text_stderr=lambda: sys.stderr)
