"""Telemetry written against its reader: what a line says hides no other, stops nothing, and costs no more than its length."""

from __future__ import annotations

import json
import time
from pathlib import Path

import endpoint_made as made
import pytest
from test_endpoint_carriers import EVENTS, LINES, RECORDS, SHOWN, read


def audit(serial: int, argument: str) -> str:
    head = f"msg=audit(1772600{serial:03}.123:{serial})"
    call = f'type=SYSCALL {head}: arch=c000003e syscall=59 success=yes exit=0 ppid=1 pid={serial} uid=0 comm="scp" exe="/usr/bin/scp"'
    return f'{call}\ntype=EXECVE {head}: argc=2 a0="scp" a1="{argument}"\n'


@pytest.mark.parametrize("named", ["<Event", "<Event>", "<Event x"])
def test_an_argument_that_names_an_event_hides_no_line(tmp_path: Path, named: str) -> None:
    path = tmp_path / "audit.log"
    path.write_text("".join(audit(n, named if n == 3 else "x") for n in range(40)))
    got, [account] = read(path)
    assert (len(got), account.lines, account.refused) == (80, 80, {})


def test_an_event_that_was_never_closed_hides_no_other(tmp_path: Path) -> None:
    path = tmp_path / "e.log"
    path.write_text("Mar  1 10:00:00 ws1 sysmon: " + EVENTS[0][:-60] + "\n" + EVENTS[1].replace("><", ">\n\n<")[:-20] + "\n" + EVENTS[1] + "\n" + LINES)
    got, _ = read(path)
    ids = [row[SHOWN.index("event_id")] for row in got]
    assert ids[:3] == [str(made.FACTS[name][1]) for name in ("start", "connect", "connect")]
    assert len(ids) == 3 + len(RECORDS)


def test_numbers_that_python_refuses_stop_nothing(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text(audit(1, "x") + f"type=EXECVE msg=audit(1772600002.123:2): argc=1 a{'1' * 5000}=x\n")
    assert len(read(path)[0]) == 3
    odd = ["²", "9" * 5000, f"/Date({'9' * 5000})/", "9" * 5000 + "." + "9" * 5000]
    path = tmp_path / "e.jsonl"
    path.write_text("".join(json.dumps(RECORDS[1] | {"UtcTime": text}) + "\n" for text in odd) + LINES)
    assert len(read(path)[0]) == len(odd) + len(RECORDS)


PART = made.flat(made.SHELL, 4104, made.SCRIPT | {"MessageTotal": "2"})
LONG = {
    "thousands of scripts in parts": "".join(json.dumps(PART | {"ScriptBlockId": f"{n // 2}", "MessageNumber": f"{n % 2 + 1}"}) + "\n" for n in range(5000)),
    "a broken record before many": "[\n{\"broken\": \n" + ",\n".join(json.dumps({**RECORDS[1], "pad": "x" * 600}) for _ in range(8000)) + "]",
    "declarations without an end": "<?xml version='1.0'?>\n" + "<?xml " * 40_000,
    "data without an end": "<Event><System><EventID>3</EventID></System><EventData>" + "<Data>" * 40_000 + "</Event>\n",
    "attributes without a value": f"<Event><System><Provider {'a' * 120_000}></System><EventID>3</EventID></Event\n",
    "a word without a value": f"type=SYSCALL msg=audit(1772600001.123:1): {'a' * 120_000}\n",
    "words with dashes": f"type=SYSCALL msg=audit(1772600001.123:1): {'a-' * 60_000} {'-' * 60_000}\n",
    "addresses that are none": json.dumps({**RECORDS[1], "HostIP": ":" * 60_000 + "g"}) + "\n",
    "dates without a message": "03/04/2026 05:06:07 AM\nLogName=Security\n" + "03/04/2026 05:06:07 AM\n" * 30_000,
}


@pytest.mark.parametrize("case", LONG)
def test_nothing_is_looked_for_from_every_place_to_the_end(tmp_path: Path, case: str) -> None:
    path = tmp_path / "long"
    path.write_text(LONG[case])
    before = time.process_time()
    read(path)
    assert time.process_time() - before < 4
