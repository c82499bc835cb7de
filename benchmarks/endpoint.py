"""CPU and memory of reading a million Sysmon JSON lines against orjson parsing alone: NXLog's form with the message (about 1.8 kB a line),
and the compact one without it (about 700 B).

    python benchmarks/endpoint.py [--lines N] [--bar 4]

Also asserts the result: every line becomes an event with the right tuple. Exit 1 where a bar does not hold.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path


def record(number: int) -> dict[str, object]:
    """One line of a plausible mix: half connections, a quarter files, the rest process starts."""
    second = number // 50
    clock = f"2026-03-04 {second // 3600 % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d}.{number % 1000:03d}"
    guid = f"{{0a1b2c3d-{number % 5000:04x}-69a7-0000-{number % 977:012x}}}"
    base = {"UtcTime": clock, "ProcessGuid": guid, "ProcessId": str(1000 + number % 5000), "User": "CORP\\ada",
            "Image": f"C:\\Program Files\\Vendor{number % 60}\\program{number % 300}.exe", "RuleName": "-"}
    kinds = (_connect, _file, _connect, _start)
    event, data = kinds[number % 4](number)
    data = base | data
    message = "Sysmon event:\r\n" + "\r\n".join(f"{name}: {value}" for name, value in data.items())
    return {
        "SourceName": "Microsoft-Windows-Sysmon", "ProviderGuid": "{5770385F-C22A-43E0-BF4C-06F5698FFBD9}", "Channel": "Microsoft-Windows-Sysmon/Operational",
        "Hostname": f"ws{number % 40}.corp.example", "@timestamp": clock.replace(" ", "T") + "Z", "EventID": event, "Message": message,
        "Task": event, "Keywords": -9223372036854775808, "RecordNumber": number, "SeverityValue": 2, "Severity": "INFO", "EventType": "INFO",
        "EventTime": clock[:19], "EventReceivedTime": clock[:19], "ExecutionProcessID": 3312, "ThreadID": 5124, "Version": 5, "Domain": "NT AUTHORITY",
        "AccountName": "SYSTEM", "AccountType": "User", "UserID": "S-1-5-18", "Category": "Event (rule: Event)", "Opcode": "Info", "OpcodeValue": 0,
        "SourceModuleName": "eventlog", "SourceModuleType": "im_msvistalog", "host": "wec.corp.example", "port": 60737, "tags": ["x"], "@version": "1",
    } | data


def _connect(number: int) -> tuple[int, dict[str, str]]:
    return 3, {"Protocol": "tcp", "Initiated": "true", "SourceIsIpv6": "false", "SourceIp": f"10.1.{number % 40}.9", "SourceHostname": "-",
               "SourcePort": str(1024 + number % 60000), "DestinationIsIpv6": "false", "DestinationIp": f"198.51.{number % 100}.{number % 250}",
               "DestinationHostname": f"host{number % 500}.example", "DestinationPort": "443", "DestinationPortName": "https"}


def _file(number: int) -> tuple[int, dict[str, str]]:
    return 11, {"TargetFilename": f"C:\\Users\\ada\\AppData\\Local\\Temp\\{number:x}.tmp", "CreationUtcTime": "2026-03-04 05:06:07.000"}


def _start(number: int) -> tuple[int, dict[str, str]]:
    return 1, {"CommandLine": f"program{number % 300}.exe --task {number} --quiet", "OriginalFileName": "program.exe", "IntegrityLevel": "Medium",
               "Hashes": f"SHA256={number % 300:064x}", "ParentImage": "C:\\Windows\\explorer.exe", "ParentProcessId": "900",
               "ParentCommandLine": "explorer.exe", "ParentProcessGuid": "{0a1b2c3d-0000-0000-0000-000000000001}", "Description": "x", "Company": "Vendor", "CurrentDirectory": "C:\\"}


_COMPACT = ("SourceName", "Channel", "Hostname", "@timestamp", "EventID", "RecordNumber")


def compact(number: int) -> dict[str, object]:
    """The same event with six of the logger's own fields, and without the message."""
    made = record(number)
    return {name: value for name, value in made.items() if name in _COMPACT or list(made).index(name) > list(made).index("@version")}


SHAPES = {"full": record, "compact": compact}


def parse_alone(path: Path) -> float:
    import orjson

    start = time.process_time()
    with path.open("rb") as lines:
        for line in lines:
            orjson.loads(line)
    return time.process_time() - start


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=1_000_000)
    options.add_argument("--bar", type=float, default=4.0, help="times the CPU of orjson alone")
    options.add_argument("--memory", type=int, default=500, help="MB")
    chosen = options.parse_args()

    import duckdb

    from netexfil import tables
    from netexfil.endpoint.reading import Reader

    held = []
    for shape, make in SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "sysmon.jsonl"
            with path.open("w", encoding="utf-8") as out:
                out.writelines(json.dumps(make(number)) + "\n" for number in range(chosen.lines))
            alone = parse_alone(path)
            con = duckdb.connect()
            con.execute(f"SET memory_limit = '256MB'; SET threads = 1; SET temp_directory = '{folder}/spill'")
            tables.create(con, ("event",))
            start = time.process_time()
            [account] = Reader(con).read(path)
            ours = time.process_time() - start
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            right = con.execute(
                """SELECT count(*) FROM event WHERE pid IS NOT NULL AND host IS NOT NULL
                AND (kind <> 'net_conn' OR (local_p IS NOT NULL AND remote_p = 443))"""
            ).fetchone()
            con.close()
        print(f"{shape}: {account.lines} lines, {account.events} events; orjson {alone:.2f} s, netexfil {ours:.2f} s CPU: {ours / alone:.2f} ×; {memory} MB")
        held += [account.events == chosen.lines, right == (chosen.lines,), ours <= chosen.bar * alone, memory <= chosen.memory]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
