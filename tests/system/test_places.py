"""An error names the line of the key it is about, however the TOML is written."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplatform.system.config.lines import Path, line_of

TEXT = '''\
# a comment with a = 1 and [a.table]
title = "a [table] = { not }"  # more = comment

[clients]
plain.kind = "http"
"quoted.name".kind = 'b = 2'

[clients . "da\\u0074a base"]
dsn = """
[fake]
fake = 1
\\"""
""" # end
pool = 2

[[routes]]
from = "a"
to = [
    "x",  # the first ]
    'y = [',
]
[[routes]]
from = "b"
[[routes.more]]
deep = 1
[[routes.more]]
deep = 2
[routes.more.still]
deeper = { one = 1, two.three = [ { four = "}" }, { four = 4 } ] }

[sources.s]
feeds = [ { operation = "o", every = 1 },
  { operation = "p", tags = [
    "every = 9" ], every = 2 },

  { operation = "=" } ]
nested = [[1, 2], [3,
  4]]
when = 1979-05-27 07:32:00.5
after = true
'''

LINES: list[tuple[Path, int]] = [
    (("title",), 2),
    (("clients",), 4),
    (("clients", "plain"), 5),
    (("clients", "plain", "kind"), 5),
    (("clients", "quoted.name", "kind"), 6),
    (("clients", "data base"), 8),
    (("clients", "data base", "dsn"), 9),
    (("clients", "data base", "pool"), 14),
    (("routes",), 16),
    (("routes", 0), 16),
    (("routes", 0, "from"), 17),
    (("routes", 0, "to"), 18),
    (("routes", 0, "to", 0), 19),
    (("routes", 0, "to", 1), 20),
    (("routes", 1), 22),
    (("routes", 1, "from"), 23),
    (("routes", 1, "more", 0, "deep"), 25),
    (("routes", 1, "more", 1, "deep"), 27),
    (("routes", 1, "more", 1, "still"), 28),
    (("routes", 1, "more", 1, "still", "deeper", "one"), 29),
    (("routes", 1, "more", 1, "still", "deeper", "two", "three", 1, "four"), 29),
    (("sources", "s", "feeds"), 32),
    (("sources", "s", "feeds", 0, "every"), 32),
    (("sources", "s", "feeds", 1), 33),
    (("sources", "s", "feeds", 1, "operation"), 33),
    (("sources", "s", "feeds", 1, "every"), 34),
    (("sources", "s", "feeds", 2, "operation"), 36),
    (("sources", "s", "nested", 1), 37),
    (("sources", "s", "nested", 1, 1), 38),
    (("sources", "s", "when"), 39),
    (("sources", "s", "after"), 40),
]


@pytest.mark.parametrize(("path", "line"), LINES, ids=str)
def test_a_key_is_found_whatever_stands_around_it(path: Path, line: int) -> None:
    _resolve(tomllib.loads(TEXT), path)
    assert line_of(TEXT, path) == line


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("clients", "data base", "missing"), 8),
        (("routes", 1, "to"), 22),
        (("routes", 0, "to", 7), 18),
        (("sources", "s", "feeds", 1, "missing"), 33),
        (("sources", "other"), 31),
        (("missing",), 1),
        ((), 1),
    ],
    ids=str,
)
def test_what_is_missing_is_placed_where_it_should_be(path: Path, line: int) -> None:
    assert line_of(TEXT, path) == line


def test_a_table_is_placed_at_its_own_header_and_not_where_a_table_in_it_comes_first() -> None:
    text = "[a.b]\nx = 1\n\n[a]\ny = 2\n"
    assert (line_of(text, ("a",)), line_of(text, ("a", "b")), line_of(text, ("a", "y"))) == (4, 1, 5)


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "x = 1", 'x = ""', "x = ''''a'''''", 'x = """"a"""""'])
def test_a_document_may_be_small(text: str) -> None:
    assert line_of(text, ("x",)) == 1


def test_lines_end_as_editors_on_windows_end_them() -> None:
    assert line_of("[a]\r\nb = '''\r\n'''\r\nc = 1\r\n", ("a", "c")) == 4


KEYS = [
    ("k{}", ("k{}",)),
    ('"k {}.x"', ("k {}.x",)),
    ("'k = [{}'", ("k = [{}",)),
    ("k{}.sub.'su b'", ("k{}", "sub", "su b")),
    ('k{} . "]"', ("k{}", "]")),
    ('"\\u0041{}\\""', ('A{}"',)),
    ("{}.5", ("{}", "5")),
]
VALUES: list[tuple[str, dict[Path, int]]] = [
    ("1", {}),
    ("-0.5e3", {}),
    ("1979-05-27 07:32:00", {}),
    ('"a = 1 # [x] { \\" "', {}),
    ("'\\'", {}),
    ('"""\n[k1]\nk1 = 1\n"""', {}),
    ("'''\n# {\n''''", {}),
    ("[\n  1, # ]\n\n  2,\n]", {(0,): 1, (1,): 3}),
    ('{ a = 1, "b.c" = { d = "}" } }', {("a",): 0, ("b.c",): 0, ("b.c", "d"): 0}),
    ('[\n{ a = "]" },\n{ a = "{", b = [\n1] },\n]', {(0,): 1, (0, "a"): 1, (1,): 2, (1, "b"): 2, (1, "b", 0): 3}),
    ("[[1, [\n2]], []]", {(0, 0): 0, (0, 1): 0, (0, 1, 0): 1, (1,): 1}),
]
HEADERS = [("[t{}]", ("t{}",)), ("[ t{} . 'a.b' ] # x = 1", ("t{}", "a.b")), ('["[t{}]".x]', ("[t{}]", "x"))]
ARRAYS = ["[[list]]", "[[ 'list' ]]"]
BETWEEN = ["", "# k = 1", "  # [t]", "\n"]


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[Path, int]]:
    """Draw a document, and the line of each thing in it, counted while it is written."""
    lines: list[str] = []
    places: dict[Path, int] = {}
    table: Path = ()
    arrays = 0
    for number in range(draw(st.integers(1, 12))):
        lines += draw(st.sampled_from(BETWEEN)).split("\n")
        here = len(lines) + 1
        match draw(st.sampled_from(["pair", "pair", "header", "array"])):
            case "header":
                text, parts = draw(st.sampled_from(HEADERS))
                table = tuple(part.format(number) for part in parts)
                places[table] = here
                lines.append(text.format(number))
            case "array":
                table = ("list", arrays)
                arrays += 1
                places[table] = here
                lines.append(draw(st.sampled_from(ARRAYS)))
            case _:
                key, parts = draw(st.sampled_from(KEYS))
                value, inner = draw(st.sampled_from(VALUES))
                path = (*table, *(part.format(number) for part in parts))
                places[path] = here
                places |= {(*path, *rest): here + offset for rest, offset in inner.items()}
                lines += f"{key.format(number)} = {value}".split("\n")
    return "\n".join(lines), places


@given(documents())
def test_every_key_of_a_random_document_is_found(drawn: tuple[str, dict[Path, int]]) -> None:
    text, places = drawn
    document = tomllib.loads(text)
    for path, line in places.items():
        _resolve(document, path)
        assert line_of(text, path) == line, (path, text)


def _resolve(document: Any, path: Path) -> None:
    """Make sure that the TOML parser knows the path too."""
    for part in path:
        document = document[part]
