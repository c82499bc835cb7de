"""A sensor's log directory that grows, rotates, is copied and cut, and the state that must count each line once."""

from __future__ import annotations

import gzip
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from netexfil import pipeline, read, state
from netexfil.policy import Policy

START = 1_790_553_600.0
CONN = (
    "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes resp_bytes conn_state missed_bytes history "
    "orig_pkts orig_ip_bytes resp_pkts resp_ip_bytes"
).split()
CONN_TYPES = "time string addr port addr port enum string interval count count string count string count count count count".split()
HEADS = {
    "conn": (CONN, CONN_TYPES),
    "ssl": ([*CONN[:6], "version", "server_name"], [*CONN_TYPES[:6], "string", "string"]),
    "ssh": ([*CONN[:6], "version", "client", "server"], [*CONN_TYPES[:6], "count", "string", "string"]),
}


def header(log: str) -> str:
    fields, types = HEADS[log]
    lines = ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-", f"#path\t{log}"]
    return "\n".join([*lines, "#fields\t" + "\t".join(fields), "#types\t" + "\t".join(types)]) + "\n"


def records(seed: int, count: int = 60) -> list[tuple[str, str]]:
    """(log, line) of `count` sessions over three days; what ssl.log and ssh.log say may come long before or after the conn line."""
    rng = random.Random(seed)
    lines: list[tuple[float, str, str]] = []
    for number in range(count):
        ts = START + rng.random() * 3 * 86400
        ssh, uid = rng.random() < 0.4, f"C{seed:04d}x{number:06d}"
        host, dest = f"10.0.0.{rng.randint(1, 3)}", f"203.0.113.{rng.randint(1, 5)}"
        up = rng.choice([900, 40_000, 700_000, 30_000_000, 400_000_000])
        down, port = rng.choice([500, 9_000]), 22 if ssh else 443
        head = f"{ts:.6f}\t{uid}\t{host}\t{40000 + number}\t{dest}\t{port}"
        packets = up // 1400 + 6
        service = "ssh" if ssh else "ssl"
        conn = f"{head}\ttcp\t{service}\t{up / 1e6 + 0.1:.6f}\t{up}\t{down}\tSF\t0\tShADadFf\t{packets}\t{up + 52 * packets}\t{packets}\t{down + 52 * packets}"
        lines.append((ts + up / 1e6 + rng.choice([0, 0, 4000]), "conn", conn))
        if ssh:
            lines.append((ts + rng.choice([0.1, 9000]), "ssh", f"{head}\t2\tSSH-2.0-{rng.choice(['OpenSSH_9.6', 'rclone/v1.69.0'])}\tSSH-2.0-x"))
        else:
            lines.append((ts + rng.choice([0.1, 9000]), "ssl", f"{head}\tTLSv13\tdrop{rng.randint(1, 3)}.example"))
    return [(log, line) for _, log, line in sorted(lines)]


@dataclass
class World:
    """The directory, the lines still to come, and the state file beside it."""

    root: Path
    coming: list[tuple[str, str]]
    written: list[tuple[str, str]] = field(default_factory=list)
    rotations: int = 0

    def __post_init__(self) -> None:
        self.logs.mkdir(parents=True)

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def file(self) -> Path:
        return self.root / "state.duckdb"

    def append(self, count: int) -> None:
        for log, line in self.coming[:count]:
            path = self.logs / f"{log}.log"
            with path.open("a") as handle:
                handle.write((header(log) if path.stat().st_size == 0 else "") + line + "\n")
            self.written.append((log, line))
        del self.coming[:count]

    def half_line(self) -> None:
        """Begin the next line without ending it; the rest follows at once when anything else happens to that log."""
        if self.coming:
            log, line = self.coming[0]
            path = self.logs / f"{log}.log"
            with path.open("a") as handle:
                handle.write((header(log) if path.stat().st_size == 0 else "") + line[: len(line) // 2])
            self.coming[0] = (log, line[len(line) // 2 :])

    def rotate(self, log: str, how: str) -> None:
        """Close a log as log rotation does: rename, rename and gzip, or copy and truncate."""
        live = self.logs / f"{log}.log"
        if not live.exists() or live.stat().st_size == 0 or not live.read_text().endswith("\n"):
            return
        self.rotations += 1
        target = self.logs / f"{log}.{self.rotations:03d}.log"
        if how == "copytruncate":
            shutil.copyfile(live, target)
            live.write_bytes(b"")
            return
        live.rename(target)
        if how == "gzip":
            self.compress(target)

    def compress(self, path: Path) -> None:
        with gzip.open(f"{path}.gz", "wb") as handle:
            handle.write(path.read_bytes())
        path.unlink()

    def copy(self, log: str) -> None:
        for path in sorted(self.logs.glob(f"{log}*"))[:1]:
            shutil.copyfile(path, self.logs / f"copy-{self.rotations}-{path.name}")

    def move(self) -> None:
        """The whole directory under another name and back: paths change, contents do not."""
        for path in sorted(self.logs.glob("*.0*.log")):
            path.rename(self.logs / f"moved-{path.name}")

    def run(self, now: float = START) -> state.Outcome:
        return run(self.file, [str(self.logs)], now)


def run(file: Path, sources: list[str], now: float = START, policy: Policy | None = None) -> state.Outcome:
    job = pipeline.Job(sources=sources, policy=policy or Policy(), options=read.Options(only_outbound=True))
    return state.run(file, job, now)


def table(file: Path) -> list[dict[str, object]]:
    """The findings table without the names of files, which differ between one directory and another."""
    found = []
    for finding in state.findings(file):
        record = finding.record()
        for row in record["evidence"]:
            row["source"] = None
        record["next_steps"] = None
        found.append(record)
    return found


def whole(root: Path, lines: list[tuple[str, str]]) -> list[dict[str, object]]:
    """The findings table of one run over everything at once."""
    logs = root / "whole"
    logs.mkdir()
    for log in HEADS:
        rows = [line for name, line in lines if name == log]
        if rows:
            (logs / f"{log}.log").write_text(header(log) + "\n".join(rows) + "\n")
    run(root / "whole.duckdb", [str(logs)])
    return table(root / "whole.duckdb")
