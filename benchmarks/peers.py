"""The peers: what they are called, whether they are here, and the command that gives each its best."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Command = Callable[[Path], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Peer:
    """`slow`: measured on a tenth of the input, as it needs minutes for the whole. `target`: the ratio the project asks for."""

    name: str
    needs: str
    command: Command
    slow: bool = False
    target: float | None = None

    def missing(self) -> bool:
        program = self.needs.removeprefix("python:")
        found = importlib.util.find_spec(program) if program != self.needs else shutil.which(program, path=SEARCH)
        return found is None


SEARCH = ":".join(["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"])


def program(*words: str) -> Command:
    """`FILE` and, in a program's own words, nothing else is replaced."""
    return lambda path: [_found(words[0]), *(str(path) if word == "FILE" else word for word in words[1:])]


def _found(name: str) -> str:
    return shutil.which(name, path=SEARCH) or name


def loop(name: str) -> Command:
    return lambda path: [sys.executable, "-m", "benchmarks.packet_loops", name, str(path)]


def query(name: str) -> Command:
    return lambda path: [sys.executable, "-m", "benchmarks.queries", name, *map(str, logs(path))]


def logs(folder: Path) -> list[Path]:
    return sorted(folder.glob("conn*"))


def netexfil(*words: str) -> Command:
    return lambda path: [sys.executable, "-m", "netexfil", *(str(path) if word == "FILE" else word for word in words)]


AWK = (
    "BEGIN{FS=\"\\t\"; n=split(\"22 443 465 587 990 993 8443 21\",a,\" \"); for(i=1;i<=n;i++) p[a[i]]=1} "
    "/^#/{next} ($6 in p) && ($3 ~ /^(10\\.|fd)/) && ($5 !~ /^(10\\.|fd)/) {s[$3 FS $5 FS $6 FS $7]+=$10} END{for(k in s){c++;t+=s[k]} print c,t}"
)

SESSIONS = Peer("netexfil sessions", "python:netexfil", netexfil("sessions", "FILE", "--format", "parquet", "-o", "out.parquet"))
PACKETS = (
    Peer("softflowd", "softflowd", program("softflowd", "-r", "FILE", "-d", "-m", "2000000"), target=3),
    Peer("nfpcapd", "nfpcapd", lambda path: ["/bin/sh", "-c", f"mkdir flows && exec nfpcapd -r '{path}' -w flows"], target=3),
    Peer("argus", "argus", program("argus", "-r", "FILE", "-w", "out.argus"), target=3),
    Peer("suricata", "suricata", program("suricata", "-r", "FILE", "-k", "none", "--runmode", "single", "-S", "/dev/null", "-l", "."), target=8),
    Peer("tshark conv", "tshark", program("tshark", "-n", "-r", "FILE", "-q", "-z", "conv,tcp"), slow=True),
    Peer("nfstream", "python:nfstream", loop("nfstream"), slow=True, target=30),
    Peer("dpkt", "python:dpkt", loop("dpkt"), slow=True, target=70),
    Peer("scapy (raw reader)", "python:scapy", loop("scapy"), slow=True),
)
EXPORTERS, P2_TARGET = ("softflowd", "nfpcapd", "argus"), 8  # on small packets the table of flows decides, and the same peers are asked more of
CHANNELS = Peer("netexfil channels", "python:netexfil", lambda path: [sys.executable, "-m", "netexfil", "channels", *map(str, logs(path))])
SESSIONS_OF_LOGS = Peer("netexfil, outbound sessions in a table", "python:netexfil", query("netexfil"))
LOGS = (
    SESSIONS_OF_LOGS,
    Peer("DuckDB", "python:duckdb", query("duckdb"), target=4),
    Peer("polars", "python:polars", query("polars"), target=4),
    Peer("mawk", "mawk", lambda path: ["/bin/sh", "-c", f"cat {path}/conn* | mawk '{AWK}'"], slow=True),
    Peer("pandas", "python:pandas", query("pandas"), slow=True),
    Peer("zat", "python:zat", query("zat"), slow=True, target=25),
)
PACKED = (Peer("DuckDB", "python:duckdb", query("duckdb"), target=2.5), Peer("polars", "python:polars", query("polars"), target=2.5))
JSON = (Peer("DuckDB read_json", "python:duckdb", query("duckdb-json"), target=4),)
