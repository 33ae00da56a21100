"""The door to a terminal: text is text, whatever it holds."""

import io

import pytest
from rich.console import Group
from rich.text import Text

from scheduler.show.terminal import Console, Table

HOSTILE = [
    "[/x]",
    "[link=http://evil]here[/link]",
    "[bold]b[/bold]",
    ":warning:",
    "\x1b[2J",
    "a\u202eb",
    "two\nlines",
    "\x00",
    "\x9b2J",
]


def printed(renderable):
    out = io.StringIO()
    Console(out, width=100).print(renderable)
    return out.getvalue()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_cell_is_shown_as_it_was_written_and_moves_no_cursor(text):
    table = Table("name", "what", title=text)
    table.add_row(text, Text(text))

    shown = printed(Group(table, Text(text)))

    assert shown.replace("\n", "").isprintable()
    if text.isprintable():
        assert shown.count(text) == 4


def test_styles_are_escape_sequences_of_ours_and_still_come_through(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = io.StringIO()
    console = Console(out, width=80, colors="standard")

    console.print(Text("red", style="red"))

    assert out.getvalue() == "\x1b[31mred\x1b[0m\n"
