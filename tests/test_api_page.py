"""docs/api.md is true: its examples run in their order."""

import re
from pathlib import Path

import pytest

from netexfil.read import core_available

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.skipif(not core_available(), reason="the core is not built")
def test_the_examples_run(tmp_path, monkeypatch, capsys):
    (tmp_path / "pcaps").symlink_to(ROOT / "pcaps")
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        exec(compile(block, "docs/api.md", "exec"), scope)
    said = capsys.readouterr().out
    assert "1389625" in said
    assert "five_tuple" in said
    assert (tmp_path / "proof.pcapng").stat().st_size > 1_000_000
