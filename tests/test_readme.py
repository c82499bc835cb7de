"""The README tells the truth: the output under its first command is what the command prints, and its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- output:begin [^\n]*-->\n)(.*?)(<!-- output:end -->)", re.DOTALL)


def demo() -> str:
    """What the command of `make demo` prints at 100 columns."""
    words = [sys.executable, "-m", "netexfil", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "pcaps").glob("*.pcap"))]
    words += ["pcaps/zeek-ftps", "--join", "pcaps/endpoint"]
    environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def block(output: str) -> str:
    lines = [line.rstrip() for line in output.strip("\n").splitlines()]
    return "```text\n" + "\n".join(lines) + "\n```\n"


def test_output_is_true():
    match = BLOCK.search((ROOT / "README.md").read_text())
    assert match
    assert match[2] == block(demo())


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_demo_runs_the_command_that_the_readme_names():
    assert "netexfil pcaps/*.pcap pcaps/zeek-ftps --join pcaps/endpoint" in (ROOT / "Makefile").read_text()


if __name__ == "__main__":
    page = ROOT / "README.md"
    page.write_text(BLOCK.sub(lambda match: match[1] + block(demo()) + match[3], page.read_text()))
