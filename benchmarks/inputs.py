"""Generated inputs, kept in a folder between runs; what is there is not made again."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

CRATE = Path(__file__).parent / "generate"


def generator() -> Path:
    """The built generator; cargo builds it where its sources are newer."""
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=CRATE, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", CRATE / "target"))
    return target / "release" / "generate"


def make(folder: Path, what: str, scale: float, *flags: str) -> Path:
    """The input `what` (p1, p2, z1, e1) at a scale, with the generator's flags."""
    name = f"{what}-{scale:g}" + "".join(flag.strip("-") for flag in flags)
    path = folder / (name + {"p1": ".pcap", "p2": ".pcap", "e1": ".jsonl"}.get(what, ""))
    if not path.exists():
        draft = folder / f"draft-{name}"
        shutil.rmtree(draft, ignore_errors=True)
        subprocess.run([generator(), what, draft, "--scale", f"{scale:g}", *flags], check=True, stdout=subprocess.DEVNULL)
        draft.rename(path)
    return path


def packed(folder: Path) -> Path:
    """The same logs, gzipped as a sensor archives them (level 6)."""
    path = folder.with_name(folder.name + "-gz")
    if not path.exists():
        draft = folder.with_name(folder.name + "-draft")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(folder, draft)
        tool = "pigz" if shutil.which("pigz") else "gzip"
        subprocess.run([tool, "-6", *sorted(draft.glob("*.log"))], check=True)
        draft.rename(path)
    return path


def packets(path: Path) -> int:
    """Packets of a generated capture (walks the record headers)."""
    count, size = 0, path.stat().st_size
    with path.open("rb") as file:
        at = 24
        while at < size:
            file.seek(at + 8)
            at += 16 + int.from_bytes(file.read(4), "little")
            count += 1
    return count


def rows(folder: Path) -> int:
    """Rows of conn.log in a folder of generated plain logs."""
    return sum(sum(not line.startswith(b"#") for line in path.open("rb")) for path in folder.glob("conn*.log"))
