"""A lab that was copied from another checkout says so: its programs look for what is not there."""

import re
import sys

import pytest

from tests.lab.paths import interpreted_here, of_this_place


def test_a_program_that_loads_from_another_place_is_told_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("AMBIENTI_LAB", str(tmp_path))
    program, loader = tmp_path / "condor_master", tmp_path / "ld.so"
    program.write_bytes(b"\x7fELF..." + bytes(loader) + b"\0...")
    assert of_this_place(program, loader) == program
    program.write_bytes(b"\x7fELF.../other/.lab/ld.so\0...")
    says = f"the lab in {tmp_path} was made elsewhere.*`rm -rf {tmp_path}` and `make lab` make it anew here"
    with pytest.raises(RuntimeError, match=says):
        of_this_place(program, loader)


@pytest.mark.parametrize("first", ["#!/gone/.venv/bin/python", ""])
def test_a_script_whose_interpreter_has_gone_is_told_with_what_to_do(tmp_path, first):
    script = tmp_path / ".venv/bin/ambienti"
    script.parent.mkdir(parents=True)
    if first:
        script.write_text(f"{first}\n")
    says = "interpreter /gone/.venv/bin/python is gone" if first else "it is not there"
    with pytest.raises(RuntimeError, match=f"{says}.*{re.escape(f'`rm -rf {tmp_path}/.venv` and `make lab`')}"):
        interpreted_here(script)
    script.write_text(f"#!{sys.executable}\n")
    assert interpreted_here(script) == script
