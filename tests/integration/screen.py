"""A terminal as far as a live table and a prompt need one: lines, a cursor that moves, what is erased, wrapping."""

from __future__ import annotations

import re

from attrs import define, field

SEQUENCE = re.compile(r"\x1b\[(\??\d*(?:;\d+)*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)", re.DOTALL)


@define(eq=False)
class Screen:
    """What is on the screen, and above it, after text was written to it."""

    width: int
    _cursor: bool = True
    _lines: list[str] = field(factory=lambda: [""])
    _row: int = 0
    _column: int = 0

    def feed(self, text: str) -> None:
        for parameters, letter, control, plain in SEQUENCE.findall(text):
            if plain:
                self._write(plain)
            elif control == "\r":
                self._column = 0
            elif control == "\n":
                self._move_to(self._row + 1)
            else:
                self._obey(parameters, letter)

    def shows_cursor(self) -> bool:
        return self._cursor

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._lines]

    def _write(self, text: str) -> None:
        for character in text:
            if self._column == self.width:
                self._move_to(self._row + 1)
                self._column = 0
            line = self._lines[self._row].ljust(self._column)
            self._lines[self._row] = line[: self._column] + character + line[self._column + 1 :]
            self._column += 1

    def _obey(self, parameters: str, letter: str) -> None:
        match letter, parameters:
            case "A", count:
                self._row = max(0, self._row - int(count or 1))
            case "C", count:
                self._column += int(count or 1)
            case "D", count:
                self._column = max(0, self._column - int(count or 1))
            case "K", "2":
                self._lines[self._row] = ""
            case "K", "" | "0":
                self._lines[self._row] = self._lines[self._row][: self._column]
            case "J", "" | "0":
                self._lines[self._row] = self._lines[self._row][: self._column]
                del self._lines[self._row + 1 :]
            case (("h" | "l"), "?7" | "?12" | "?2004"):
                pass
            case (("h" | "l"), "?25"):
                self._cursor = letter == "h"
            case "m", _:
                pass
            case _:
                raise AssertionError(f"the screen does not know ESC [ {parameters} {letter}")

    def _move_to(self, row: int) -> None:
        self._row = row
        while len(self._lines) <= row:
            self._lines.append("")
