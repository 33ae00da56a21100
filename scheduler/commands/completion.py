"""`completion`: prints, or installs, what makes a shell complete the commands."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer.completion import completion_init, get_completion_script  # type: ignore[attr-defined] # exported without a word

from scheduler.commands.common import Exit, fail, say

PROGRAM = "ambienti"
VARIABLE = "_AMBIENTI_COMPLETE"


class Shell(StrEnum):
    """The shells that can be served."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_PLACES = {
    Shell.BASH: ("XDG_DATA_HOME", ".local/share", "bash-completion/completions/ambienti"),
    Shell.ZSH: ("ZDOTDIR", "", ".zfunc/_ambienti"),
    Shell.FISH: ("XDG_CONFIG_HOME", ".config", "fish/completions/ambienti.fish"),
}


def prepare() -> None:
    """Answer the shells that ask for completions."""
    completion_init()


def completion(
    shell: Annotated[Shell | None, typer.Argument(help="bash, zsh or fish.", show_default="your own")] = None,
    install: Annotated[bool, typer.Option("--install", help="Write it to where your shell looks for it.")] = False,
) -> None:
    """Print the completion of commands and options for your shell, or install it."""
    chosen = shell or _own_shell()
    script = get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=chosen.value)
    if not install:
        typer.echo(script)
        return
    variable, default, below = _PLACES[chosen]
    path = Path(os.environ.get(variable) or Path.home() / default) / below
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script + "\n", encoding="utf-8")
    say(f"written to {path}; start a new shell to use it.")
    if chosen is Shell.ZSH:
        say("Your ~/.zshrc needs: fpath+=~/.zfunc; autoload -Uz compinit; compinit")


def _own_shell() -> Shell:
    name = Path(os.environ.get("SHELL", "")).name
    try:
        return Shell(name)
    except ValueError:
        raise fail("say for which shell: bash, zsh or fish", Exit.WRONG) from None
