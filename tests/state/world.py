"""A sensor's log directory that grows, rotates, is copied and cut, and the state that must count each line once."""

from __future__ import annotations

import gzip
import random
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from netexfil import pipeline, read, state, tables
from netexfil.finding import Finding
from netexfil.policy import Policy

START = 1_790_553_600.0
CONN = (
    "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes resp_bytes conn_state missed_bytes history "
    "orig_pkts orig_ip_bytes resp_pkts resp_ip_bytes"
).split()
CONN_TYPES = "time string addr port addr port enum string interval count count string count string count count count count".split()
HEADS = {
    "conn": (CONN, CONN_TYPES),
    "twin": (CONN, CONN_TYPES),  # the conn.log of a second sensor
    "dns": (["ts", "uid", *CONN[2:6], "query", "answers"], [*CONN_TYPES[:6], "string", "vector[string]"]),
    "dhcp": ("ts assigned_addr host_name lease_time".split(), "time addr string interval".split()),
    "ftp": ([*CONN[:6], "command", "data_channel.resp_h", "data_channel.resp_p"], [*CONN_TYPES[:6], "string", "addr", "port"]),
    "x509": ("ts id certificate.subject certificate.issuer".split(), "time string string string".split()),
    "ssl": ([*CONN[:6], "version", "server_name", "cert_chain_fuids"], [*CONN_TYPES[:6], "string", "string", "vector[string]"]),
    "ssh": ([*CONN[:6], "version", "client", "server"], [*CONN_TYPES[:6], "count", "string", "string"]),
}


def header(log: str) -> str:
    fields, types = HEADS[log]
    lines = ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-", f"#path\t{'conn' if log == 'twin' else log}"]
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
            lines.append((ts + rng.choice([0.1, 9000]), "ssl", f"{head}\tTLSv13\tdrop{rng.randint(1, 3)}.example\t-"))
    return [(log, line) for _, log, line in sorted(lines)]


class Town:
    """Sessions whose findings depend on each other: six hosts, FTP with its data, orders over TLS with uploads in clear, servers that are
    pulled from, file shares inside, names that come late, certificates, a second sensor, telling thresholds.
    """

    POLICY = Policy(thresholds={"finding_floor": 1, "fleet": 2, "common_hosts": 3, "chunk_count": 3, "ledger_30d": 6e6, "clients": 2, "host_day": 2e7})

    def __init__(self, seed: int) -> None:
        self.rng, self.seed = random.Random(seed), seed
        self.lines: list[tuple[float, str, str]] = []

    def records(self, count: int) -> list[tuple[str, str]]:
        kinds = (self.web, self.web, self.web, self.ssh, self.ftp, self.clear, self.pull, self.share, self.twin, self.names)
        for number in range(count):
            self.number = number
            self.rng.choice(kinds)(START + self.rng.random() * 3 * 86400)
        return [(log, line) for _, log, line in sorted(self.lines)]

    @property
    def uid(self) -> str:
        return f"C{self.seed:04d}y{self.number:06d}"

    def host(self) -> str:
        return f"10.0.0.{self.rng.randint(1, 6)}"

    def dest(self) -> str:
        return f"203.0.113.{self.rng.randint(1, 6)}"

    def conn(self, ts: float, ends: str, service: str, up: int, down: int, uid: str = "", log: str = "conn", pkts: int = 0) -> str:
        head, packets = f"{ts:.6f}\t{uid or self.uid}\t{ends}", up // 1400 + 6 + pkts
        line = (f"{head}\ttcp\t{service}\t{up / 1e6 + 60:.6f}\t{up}\t{down}\tSF\t0\tShADadFf\t{packets}\t{up + 52 * packets}"
                f"\t{down // 1400 + 6}\t{down + 52 * (down // 1400 + 6)}")
        self.lines.append((ts + self.rng.choice([0, up / 1e6, 4000]), log, line))
        return head

    def up(self) -> int:
        return self.rng.choice([900, 40_000, 700_000, 1_500_000, 5_000_000, 30_000_000, 400_000_000])

    def web(self, ts: float) -> None:
        head = self.conn(ts, f"{self.host()}\t{40000 + self.number}\t{self.dest()}\t443", "ssl", self.up(), self.rng.choice([500, 9_000, 900_000]))
        if self.rng.random() < 0.7:
            name = self.rng.choice([f"drop{self.rng.randint(1, 3)}.example", "api.shop.example", "-"])
            cert = self.rng.choice(["-", f"F{self.uid}"])
            self.lines.append((ts + self.rng.choice([0.1, 9000]), "ssl", f"{head}\tTLSv12\t{name}\t{cert}"))
            if cert != "-":
                subject = self.rng.choice(["CN=a", "CN=b"])
                self.lines.append((ts + self.rng.choice([0.1, 20000]), "x509", f"{ts:.6f}\t{cert}\t{subject}\tCN=a"))

    def ssh(self, ts: float) -> None:
        head = self.conn(ts, f"{self.host()}\t{40000 + self.number}\t{self.dest()}\t22", "ssh", self.up(), 9000)
        banner = self.rng.choice(["OpenSSH_9.6", "rclone/v1.69.0"])
        self.lines.append((ts + self.rng.choice([0.1, 9000]), "ssh", f"{head}\t2\tSSH-2.0-{banner}\tSSH-2.0-x"))

    def ftp(self, ts: float) -> None:
        host, dest, port = self.host(), self.dest(), 50000 + self.number
        head = self.conn(ts, f"{host}\t{40000 + self.number}\t{dest}\t21", self.rng.choice(["ftp", "ftp,ssl"]), 3000, 3000)
        late = self.rng.choice([5, 300])
        self.conn(ts + late, f"{host}\t{45000 + self.number}\t{dest}\t{port}", "-", self.up(), 500, self.uid + "d")
        if self.rng.random() < 0.6:
            self.lines.append((ts + self.rng.choice([0.1, 9000]), "ftp", f"{ts + late - 2:.6f}{head[head.index(chr(9)):]}\tPASV\t{dest}\t{port}"))

    def clear(self, ts: float) -> None:
        service = self.rng.choice(["http", "-"])
        self.conn(ts, f"{self.host()}\t{40000 + self.number}\t{self.dest()}\t{self.rng.choice([80, 8000])}", service, self.up(), 500)

    def pull(self, ts: float) -> None:
        self.conn(ts, f"198.51.100.{self.rng.randint(1, 4)}\t{40000 + self.number}\t{self.host()}\t443", "ssl", 900, self.up())

    def share(self, ts: float) -> None:
        self.conn(ts, f"{self.host()}\t{40000 + self.number}\t10.0.1.1\t445", "-", 9000, self.up())

    def twin(self, ts: float) -> None:
        ends, up = f"{self.host()}\t{40000 + self.number}\t{self.dest()}\t443", self.up()
        self.conn(ts, ends, "ssl", up, 5000, pkts=3)
        self.conn(ts + 0.01, ends, "ssl", up, 5000, self.uid + "t", "twin")

    def names(self, ts: float) -> None:
        name, dest = self.rng.choice(["drop1.example", "www.shop.example", "cdn.example"]), self.dest()
        late = self.rng.choice([0, 50000])
        self.lines.append((ts + late, "dns", f"{ts:.6f}\tD{self.uid}\t{self.host()}\t5000\t10.0.0.53\t53\t{name}\t{dest}"))
        self.lines.append((ts + late, "dhcp", f"{ts:.6f}\t{self.host()}\tpc{self.rng.randint(1, 3)}\t3600"))


@dataclass
class World:
    """The directory, the lines still to come, and the state file beside it."""

    root: Path
    coming: list[tuple[str, str]]
    written: list[tuple[str, str]] = field(default_factory=list)
    rotations: int = 0
    policy: Policy | None = None

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
        return run(self.file, [str(self.logs)], now, self.policy)


def job(sources: list[str], policy: Policy | None) -> pipeline.Job:
    return pipeline.Job(sources=sources, policy=policy or Policy(), options=read.Options(only_outbound=True))


def run(file: Path, sources: list[str], now: float = START, policy: Policy | None = None) -> state.Outcome:
    return state.run(file, job(sources, policy), now)


def table(file: Path) -> list[dict[str, object]]:
    """The findings table of a state."""
    return shown(state.findings(file))


def shown(findings: Iterable[Finding]) -> list[dict[str, object]]:
    """Findings without the names of files, which differ between one directory and another."""
    found = []
    for finding in findings:
        record = finding.record()
        for row in record["evidence"]:
            row["source"] = None
        record["next_steps"] = None
        found.append(record)
    return found


def whole(root: Path, lines: list[tuple[str, str]], policy: Policy | None = None) -> list[dict[str, object]]:
    """The findings of everything at once, without a state."""
    logs = root / "whole"
    logs.mkdir()
    for log in HEADS:
        rows = [line for name, line in lines if name == log]
        if rows:
            (logs / f"{log}.log").write_text(header(log) + "\n".join(rows) + "\n")
    return shown(pipeline.analyze(tables.connect(), job([str(logs)], policy)).findings) if lines else []


def cut(path: Path, parts: int) -> list[bytes]:
    """A little-endian pcap cut into captures of whole packets."""
    data, at, frames = path.read_bytes(), 24, []
    while at + 16 <= len(data):
        size = 16 + int.from_bytes(data[at + 8 : at + 12], "little")
        frames.append(data[at : at + size])
        at += size
    each = -(-len(frames) // parts)
    return [data[:24] + b"".join(frames[i : i + each]) for i in range(0, len(frames), each)]
