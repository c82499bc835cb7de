"""What a scenario is made of: programs, their sessions, and how the sensor saw them."""

from __future__ import annotations

from dataclasses import dataclass, field

from netexfil.simulate.talk import Act


@dataclass(frozen=True, slots=True)
class Program:
    """Who sends. `parent` is the process that started it."""

    image: str
    command_line: str
    user: str = "CORP\\jdoe"
    parent: str = "C:\\Windows\\System32\\cmd.exe"
    parent_command_line: str = "cmd.exe /c sync.bat"


@dataclass(frozen=True, slots=True)
class Step:
    """One program and its sessions. `sessions` of `share` of the size each; `data_port` adds FTPS data sessions; `gap` seconds between."""

    label: str
    service: str
    remote: str
    port: int
    protocol: str
    program: Program
    act: Act = field(default_factory=Act)
    upload: float = 1.0  # times the size
    download: float = 0.0
    sessions: int = 1
    gap: float = 0.5
    data_sessions: int = 0
    inbound: bool = False
    proto: str = "tcp"


@dataclass(frozen=True, slots=True)
class Scenario:
    family: str
    title: str
    steps: tuple[Step, ...]
    local: str = "10.20.30.41"
    loopback: bool = False
    allow: tuple[str, ...] = ()
    hidden: str | None = None  # direction that the sensor does not see
    cut: int = 0  # first packets of each session that are missing
    twice: bool = False  # every packet captured twice
    script: str = ""  # PowerShell script block (event 4104)
    written: str = ""  # file created (event 11)
