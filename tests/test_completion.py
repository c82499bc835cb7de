"""The shells' scripts and the manual page name what the program has."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from netexfil.cli import COMMANDS, group

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script(shell):
    done = CliRunner().invoke(group, ["completion", shell], standalone_mode=False)
    assert done.return_value == 0, done.exception
    assert "_NETEXFIL_COMPLETE" in done.stdout


def test_the_program_completes_its_commands():
    settings = os.environ | {"_NETEXFIL_COMPLETE": "zsh_complete", "COMP_WORDS": "netexfil ca", "COMP_CWORD": "1", "PYTHONPATH": str(ROOT)}
    code = "import sys; sys.argv[0] = 'netexfil'; from netexfil.cli import group; group(prog_name='netexfil')"
    done = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True)
    assert "carve" in done.stdout


def test_manual_has_every_command_and_renders(tmp_path):
    page = CliRunner().invoke(group, ["completion", "man"], standalone_mode=False).stdout
    for name in COMMANDS:
        assert f".SS netexfil {name}" in page
    assert "\\-\\-findings" in page
    if shutil.which("man"):
        path = tmp_path / "netexfil.1"
        path.write_text(page)
        shown = subprocess.run(
            ["man", "--warnings", "-l", path], capture_output=True, text=True, env=os.environ | {"MANPAGER": "cat", "MANWIDTH": "100"}
        )
        assert "netexfil carve" in shown.stdout
        assert shown.stderr == ""
