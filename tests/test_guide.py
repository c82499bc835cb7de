"""docs/guide.md is true: its commands run in order in one folder, and print what stands below them. Run as a program it writes the page anew."""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs" / "guide.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS = {"inspect": shutil.which("tshark") is not None}


def run(line, folder):
    """stdout of one command, in a folder beside which `pcaps` is."""
    from click.testing import CliRunner

    from netexfil.cli import group

    words = shlex.split(line)[1:]
    before, columns = os.getcwd(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    os.chdir(folder)
    try:
        done = CliRunner().invoke(group, words, standalone_mode=False)
    finally:
        os.chdir(before)
        os.environ.pop("COLUMNS") if columns is None else os.environ.__setitem__("COLUMNS", columns)
    assert done.exception is None, f"{line}: {done.exception!r}\n{done.output}"
    return done.stdout


def said(block, folder):
    """The block with what its commands print now."""
    lines = []
    for line in (line for line in block.splitlines() if line.startswith("$ ")):
        lines.append(line + "\n")
        shown = run(line[2:], folder)
        lines.append("".join(part.rstrip() + "\n" for part in shown.splitlines()))
    return "".join(lines)


def replaced(text, folder):
    return BLOCK.sub(lambda found: f"```console\n{said(found[1], folder)}```", text)


BLOCKS = [found[1] for found in BLOCK.finditer(GUIDE.read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What the blocks print, each run once and after those before it."""
    folder = tmp_path_factory.mktemp("guide")
    (folder / "pcaps").symlink_to(ROOT / "pcaps")
    done: list[str] = []

    def upto(number):
        while len(done) <= number:
            done.append(said(BLOCKS[len(done)], folder))
        return done[number]

    return upto


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_guide_is_true(outputs, number):
    from netexfil.read import core_available

    if not core_available():
        pytest.skip("the core is not built")
    if not NEEDS["inspect"]:
        pytest.skip("no TShark on this machine (Debian: apt-get install tshark)")
    pytest.importorskip("pyshark", reason="pyshark is not installed (extra `inspect`)")
    written, now = BLOCKS[number], outputs(number)
    if " inspect " in written:  # its words are TShark's, which differ by version: the head must agree
        written, now = ("\n".join(text.splitlines()[:3]) for text in (written, now))
    assert written == now


if __name__ == "__main__":
    import tempfile

    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pcaps").symlink_to(ROOT / "pcaps")
        GUIDE.write_text(replaced(GUIDE.read_text(encoding="utf-8"), folder), encoding="utf-8")
