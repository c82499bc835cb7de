"""The endpoint's side: flat Sysmon events (1, 3, 11, 22) and PowerShell's 4104, on a clock that may be wrong."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from netexfil.simulate.scenario import Program
from netexfil.simulate.wire import End

HOST = "WS041"
SYSMON, POWERSHELL = "Microsoft-Windows-Sysmon/Operational", "Microsoft-Windows-PowerShell/Operational"


@dataclass(frozen=True, slots=True)
class Process:
    """A running program; times are true time, seconds since 1970."""

    pid: int
    ppid: int
    program: Program
    start: float
    end: float
    step: int


class Log:
    """Events in order of time. `skew` is what the endpoint's clock is ahead, in seconds."""

    def __init__(self, skew: float) -> None:
        self.skew = skew
        self.rows: list[tuple[float, dict[str, Any]]] = []

    def add(self, time: float, number: int, fields: Mapping[str, Any], channel: str = SYSMON) -> None:
        said = datetime.fromtimestamp(time + self.skew, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        self.rows.append((time, {"EventID": number, "Channel": channel, "Computer": f"{HOST}.corp.example", "UtcTime": said, **fields}))

    def events(self) -> Iterator[dict[str, Any]]:
        for _, row in sorted(self.rows, key=lambda row: row[0]):
            yield row


def guid(scenario: str, pid: int) -> str:
    return "{" + str(uuid.uuid5(uuid.NAMESPACE_URL, f"{scenario}/{pid}")) + "}"


def started(log: Log, scenario: str, process: Process) -> None:
    """Process creation of the parent and of the program."""
    program = process.program
    rows = (
        (process.start - 0.02, process.ppid, program.parent, program.parent_command_line, 0, "-", "-"),
        (process.start, process.pid, program.image, program.command_line, process.ppid, program.parent, program.parent_command_line),
    )
    for time, pid, image, line, ppid, parent, parent_line in rows:
        log.add(
            time,
            1,
            {
                "ProcessGuid": guid(scenario, pid),
                "ProcessId": pid,
                "Image": image,
                "User": program.user,
                "CommandLine": line,
                "OriginalFileName": _original(image, line),
                "ParentProcessGuid": guid(scenario, ppid),
                "ParentProcessId": ppid,
                "ParentImage": parent,
                "ParentCommandLine": parent_line,
            },
        )


def _original(image: str, line: str) -> str:
    """The name inside the file: a renamed rclone still says so."""
    name = base(image)
    return "rclone.exe" if ":sftp:" in line and name != "rclone" else name


def base(image: str) -> str:
    return PureWindowsPath(image).name if "\\" in image else PurePosixPath(image).name


def connected(log: Log, scenario: str, process: Process, time: float, proto: str, ends: tuple[End, End], initiated: bool) -> None:
    (source, source_port), (target, target_port) = ends
    log.add(
        time,
        3,
        {
            "ProcessGuid": guid(scenario, process.pid),
            "ProcessId": process.pid,
            "Image": process.program.image,
            "User": process.program.user,
            "Protocol": proto,
            "Initiated": str(initiated).lower(),
            "SourceIsIpv6": str(":" in source).lower(),
            "SourceIp": source,
            "SourceHostname": f"{HOST}.corp.example" if initiated else "-",
            "SourcePort": source_port,
            "DestinationIsIpv6": str(":" in target).lower(),
            "DestinationIp": target,
            "DestinationPort": target_port,
        },
    )


def asked(log: Log, scenario: str, process: Process, time: float, name: str, address: str) -> None:
    log.add(
        time,
        22,
        {
            "ProcessGuid": guid(scenario, process.pid),
            "ProcessId": process.pid,
            "Image": process.program.image,
            "User": process.program.user,
            "QueryName": name,
            "QueryStatus": "0",
            "QueryResults": f"::ffff:{address};" if ":" not in address else f"{address};",
        },
    )


def wrote(log: Log, scenario: str, process: Process, path: str) -> None:
    log.add(
        process.start + 0.01,
        11,
        {
            "ProcessGuid": guid(scenario, process.pid),
            "ProcessId": process.pid,
            "Image": process.program.image,
            "User": process.program.user,
            "TargetFilename": path,
        },
    )


def scripted(log: Log, process: Process, script: str) -> None:
    fields = {
        "ProcessId": process.pid,
        "User": process.program.user,
        "ScriptBlockText": script,
        "ScriptBlockId": str(uuid.uuid5(uuid.NAMESPACE_URL, script)),
        "Path": "",
    }
    log.add(process.start + 0.05, 4104, fields, POWERSHELL)
