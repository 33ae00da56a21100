"""The documentation builds without a warning, and what the README promises exists."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from scheduler.commands.cli import build

ROOT = Path(__file__).parents[2]
AMBIENTI = Path(sys.executable).with_name("ambienti")


def test_the_documentation_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {"NO_MKDOCS_2_WARNING": "1", "PATH": "/usr/bin:/bin", "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    for page in ("tutorial", "model", "glossary", "reference/configuration", "reference/command-line", "reference/metrics"):
        assert (tmp_path / f"site/{page}.html").stat().st_size > 5000


def test_every_file_that_the_readme_links_to_exists():
    targets = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text())
    assert len(targets) > 10
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_every_command_that_the_readme_names_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    names = set(re.findall(r"^    make ([a-z-]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert {"demo", "test", "lab"} <= names <= targets


def test_every_file_that_the_glossary_and_the_map_of_the_rooms_name_exists():
    named = re.findall(r"`(\w+/[\w./]+)`", (ROOT / "docs/glossary.md").read_text())
    rooms = re.findall(r"\b([a-z]+/(?:\w+\.py)?)", (ROOT / "scheduler/__init__.py").read_text())
    assert len(named) > 50
    assert {room for room in rooms if room.endswith("/")} == {
        f"{path.parent.name}/" for path in (ROOT / "scheduler").glob("*/__init__.py")
    }
    assert [path for path in (*named, *(f"scheduler/{room}" for room in rooms)) if not (ROOT / path).exists()] == []


# --- examples ---------------------------------------------------------------------------------------------------------


def pages():
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/howto").glob("*.md"))]


def commands():
    """Yield page, line and words of every `ambienti` command that can be pasted from a page."""
    for page in pages():
        for number, line in enumerate(page.read_text().splitlines(), start=1):
            found = re.match(r"^(?:    |[$#] |    \$ )?(?:sudo )?(ambienti [^|>&#`]+)", line)
            if found and (line.startswith("    ") or in_block(page, number)):
                yield f"{page.relative_to(ROOT)}:{number}", found[1].strip()


def in_block(page, number):
    """Whether a line stands between two fences."""
    return sum(line.startswith("```") for line in page.read_text().splitlines()[: number - 1]) % 2 == 1


def test_every_command_that_a_sentence_names_exists():
    text = "".join(page.read_text() for page in pages())
    named = set(re.findall(r"`ambienti ([a-z][a-z -]*)", text))
    assert len(named) > 40
    assert [words for words in named if not is_command(words.partition(" -")[0].split())] == []


def is_command(words):
    """Whether words begin with the name of a command; what follows it are arguments."""
    command = typer.main.get_command(build())
    for word in words:
        if not getattr(command, "commands", None):
            return True
        if word not in command.commands:
            return False
        command = command.commands[word]
    return True


def test_every_message_in_the_troubleshooting_page_is_one_of_the_program():
    table = re.findall(r"^\| ([^|]*`[^|]*) \|", (ROOT / "docs/howto/troubleshoot.md").read_text(), re.MULTILINE)
    messages = [message for cell in table for message in re.findall(r"`([^`]+)`", cell)]
    program = "".join(path.read_text() for package in ("environments", "scheduler") for path in (ROOT / package).rglob("*.py"))
    assert len(messages) > 15
    assert [message for message in messages if message not in program] == []


def blocks(language):
    """Yield page and text of every fenced block of a language."""
    for page in pages():
        for found in re.finditer(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            yield page.relative_to(ROOT), found[1]


def test_commands_are_found_on_every_page_that_shows_some():
    shown = {
        page.relative_to(ROOT).as_posix()
        for page in pages()
        if re.search(r"^[ $#]*(sudo )?ambienti [a-z]", page.read_text(), re.MULTILINE)
    }
    assert {place.split(":")[0] for place, _ in commands()} == shown
    assert len(shown) > 10


@pytest.mark.parametrize(("place", "line"), list(commands()))
def test_every_command_of_the_documents_can_be_pasted(place, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)[1:]
    for word in words:
        if re.fullmatch(r"[\w.-]+\.(gz|json)", word):
            Path(word).touch()  # what the page has written, or told to fetch, before
    context = typer.main.get_command(build()).make_context("ambienti", words, resilient_parsing=False)
    while isinstance(context.command, typer.core.TyperGroup) and context._protected_args + context.args:
        name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    assert context.command is not None, place


def test_the_site_and_the_vo_of_the_documents_pass_the_check_together(tmp_path):
    whole = {text.split(":")[0]: (page, text) for page, text in blocks("yaml") if text.startswith(("vo:", "site:"))}
    (tmp_path / "vos").mkdir()
    (tmp_path / "site.yaml").write_text(whole["site"][1])
    page, described = whole["vo"]
    for vo in yaml.safe_load(whole["site"][1])["vos"]:
        (tmp_path / f"vos/{vo}.yaml").write_text(described if described.startswith(f"vo: {vo}\n") else f"vo: {vo}\n")
    for name in yaml.safe_load(described)["include"]:
        text = (ROOT / page).read_text()
        found = re.search(rf"`{re.escape(name)}`.*?^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        (tmp_path / "vos" / name).write_text(found[1])
    done = subprocess.run([AMBIENTI, "check"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
