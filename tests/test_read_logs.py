"""Zeek logs in every shape that exists: what is read, what is refused and why."""

from __future__ import annotations

import gzip
import json
import pathlib
from typing import Any

import pytest
import zstandard

from netexfil import read
from netexfil.errors import Unreadable
from netexfil.policy import Policy
from tests.read_cases import CONN, ENGINES, SSL, Read, conn, header, jsonl, tsv, write

pytestmark = pytest.mark.parametrize("engine", ENGINES)


def test_a_row(tmp_path: pathlib.Path, engine: str) -> None:
    found = Read(write(tmp_path, "conn.log", tsv([conn(1)])), engine=engine)
    row = found.one
    assert not found.notes
    assert (row["ts"], row["uid"], row["orig_h"], row["orig_p"], row["resp_h"], row["resp_p"]) == (
        1700000001.5, "C00000000000000001", "10.0.0.7", 40001, "203.0.113.9", 443,
    )  # fmt: skip
    assert (row["orig_bytes"], row["orig_low"], row["orig_high"], row["orig_quality"]) == (5000, 5000, 5000, "exact")
    assert (row["service"], row["local_orig"], row["tunnel"], row["hints"]) == ("ssl", True, None, None)


WRAPPED = {
    "filebeat": lambda row: {"@timestamp": "2024-01-01T00:00:00Z", "log": {"file": {"path": "/zeek/conn.log"}}, "message": json.dumps(row)},
    "fluent-bit": lambda row: {"date": 1704067200.1, "log": json.dumps(row)},
    "splunk-hec": lambda row: {"time": 1, "sourcetype": "bro:conn:json", "event": row},
    "splunk-export": lambda row: {"preview": False, "result": {"_raw": json.dumps(row)}},
    "stream": lambda row: {"@stream": "conn", "@system": "sensor", **row},
    "path": lambda row: {"_path": "conn", **row},
    "underscores": lambda row: {name.replace(".", "_"): value for name, value in row.items()},
    "nested": lambda row: {"id": {name[3:]: value for name, value in row.items() if name.startswith("id.")},
                           **{name: value for name, value in row.items() if not name.startswith("id.")}},
    "iso": lambda row: {**row, "ts": "2023-11-14T22:13:21.500000Z"},
    "milliseconds": lambda row: {**row, "ts": 1700000001500},
    "text-numbers": lambda row: {name: str(value) if type(value) is int else value for name, value in row.items()},
}  # fmt: skip


@pytest.mark.parametrize("wrap", WRAPPED)
def test_json_in_every_wrapping(tmp_path: pathlib.Path, engine: str, wrap: str) -> None:
    plain = Read(write(tmp_path, "conn.log", tsv([conn(1)])), engine=engine)
    row = {name: value for name, value in conn(1).items() if value is not None}
    wrapped = Read(write(tmp_path, "shipped.json", jsonl([WRAPPED[wrap](row)])), engine=engine)
    assert wrapped.without("source") == plain.without("source")
    assert not wrapped.notes


TEXTS = {
    "crlf": lambda text: text.replace("\n", "\r\n").encode(),
    "bom": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "no-last-newline": lambda text: text.rstrip("\n").encode(),
    "closed": lambda text: (text + "#close\t2023-11-15-00-00-00\n").encode(),
    "labelled": lambda text: text.replace("tunnel_parents\n", "tunnel_parents   label   detailed-label\n").encode(),
    "extra-column-first": lambda text: "".join(
        (line.replace("#fields", "#fields\t_node_name") if line.startswith("#fields") else line if line.startswith("#") else "worker-1\t" + line)
        for line in text.splitlines(keepends=True)
    ).encode(),
    "gzip-twice": lambda text: gzip.compress(text[:700].encode()) + gzip.compress(text[700:].encode()),
    "zstd": lambda text: zstandard.compress(text.encode()),
    "other-separator": lambda text: text.replace("\t", "|").replace("#separator \\x09", "#separator \\x7c").encode(),
}  # fmt: skip


@pytest.mark.parametrize("change", TEXTS)
def test_tsv_in_every_dress(tmp_path: pathlib.Path, engine: str, change: str) -> None:
    rows = [conn(1), conn(2, service="ftp,ssl", resp_h="2001:db8::1", orig_h="fd00::1")]
    plain = Read(write(tmp_path, "conn.log", tsv(rows)), engine=engine)
    dressed = Read(write(tmp_path, "dressed.log", TEXTS[change](tsv(rows))), engine=engine)
    assert dressed.without("source") == plain.without("source")
    assert not dressed.notes


def test_escapes_bad_bytes_and_long_lines(tmp_path: pathlib.Path, engine: str) -> None:
    ssl = {name: conn(1).get(name) for name in list(SSL)[:6]}
    write(tmp_path, "conn.log", tsv([conn(1), conn(2)]))
    lines = tsv([ssl | {"version": "TLSv12", "server_name": "a\\x09b\\x2c", "established": True}], "ssl", SSL).encode()
    second = {name: conn(2).get(name) for name in list(SSL)[:6]} | {"server_name": "x" * 1_000_000}
    lines += tsv([second], "ssl", SSL).encode().splitlines(keepends=True)[-1]
    write(tmp_path, "ssl.log", lines.replace(b"TLSv12", b"TLS\xffv12"))
    first, second_row = Read(tmp_path, engine=engine).sessions
    assert first["server_name"] == "a\tb,"
    assert first["tls_version"] == "TLS\ufffdv12"
    assert len(second_row["server_name"]) == 1_000_000


def test_refused_rows_are_told_with_line_and_reason(tmp_path: pathlib.Path, engine: str) -> None:
    bad = [conn(2, resp_p=70000), conn(3, resp_h="nobody"), conn(4, ts="yesterday"), conn(5, orig_bytes="many"), conn(6, proto=None)]
    text = tsv([conn(1), *bad, conn(7)]) + "short\trow\n"
    found = Read(write(tmp_path, "conn.log", text), engine=engine)
    assert [row["uid"][-1] for row in found.sessions] == ["1", "7"]
    assert sorted((note.place, note.reason, note.loss) for note in found.notes) == [
        (10, "resp_p: not a port", True), (11, "resp_h: not an address", True), (12, "ts: not a time", True),
        (13, "orig_bytes: not a count", True), (14, "proto: empty", True), (16, "2 columns where the header has 21", True),
    ]  # fmt: skip


def test_a_missing_column_is_an_error_with_its_line(tmp_path: pathlib.Path, engine: str) -> None:
    fields = {name: kind for name, kind in CONN.items() if name != "id.resp_h"}
    write(tmp_path, "bad/conn.log", tsv([conn(1)], fields=fields))
    write(tmp_path, "good/conn.log", tsv([conn(2)]))
    found = Read(tmp_path, engine=engine)
    told = next(note for note in found.notes if note.kind == "unreadable")
    assert (told.place, told.reason, told.loss) == (7, "conn: no column id.resp.h", True)
    assert found.one["uid"].endswith("2")
    with pytest.raises(Unreadable, match="no column"):
        Read(tmp_path / "bad", engine=engine)


def test_a_half_written_last_line_is_no_loss(tmp_path: pathlib.Path, engine: str) -> None:
    for name, text in (("conn.log", tsv([conn(1), conn(2)])), ("conn.json", jsonl([conn(1), conn(2)]))):
        found = Read(write(tmp_path, name, text[:-60]), engine=engine)
        assert [note.kind for note in found.notes] == ["unfinished"]
        assert not found.notes[0].loss
        assert found.one["uid"].endswith("1")


def test_damaged_gzip_gives_its_good_part(tmp_path: pathlib.Path, engine: str) -> None:
    data = gzip.compress(tsv([conn(number) for number in range(2000)]).encode())
    path = write(tmp_path, "conn.log", data[: len(data) // 2])
    found = Read(path, engine=engine)
    assert 100 < len(found.sessions) < 2000
    assert "damaged" in found.kinds()
    assert all(note.loss for note in found.notes if note.kind == "damaged")


def test_each_file_once(tmp_path: pathlib.Path, engine: str) -> None:
    text = tsv([conn(1), conn(2)])
    write(tmp_path, "current/conn.log", text)
    write(tmp_path, "2024-01-01/conn.00:00:00-01:00:00.log.gz", text)
    (tmp_path / "conn.log").symlink_to(tmp_path / "current" / "conn.log")
    (tmp_path / "loop").symlink_to(tmp_path)
    write(tmp_path, "README.txt", "notes")
    write(tmp_path, ".git/config", "[core]")
    write(tmp_path, "conn-summary.log", "Conn summary\n>== Total === 2023-11-14\n")
    found = Read(tmp_path, engine=engine)
    assert len(found.sessions) == 2
    assert found.kinds() == ["duplicate", "duplicate", "skipped"]
    assert not any(note.loss for note in found.notes)
    skipped = next(note for note in found.notes if note.kind == "skipped")
    assert skipped.count == 2
    assert "README.txt" in skipped.reason


def test_what_is_no_log_is_refused_by_name(tmp_path: pathlib.Path, engine: str) -> None:
    for name, text in (("conn.log", "Lorem ipsum\n"), ("a.json", '{"EventID": 1, "Image": "x"}\n'), ("empty.log", ""), ("x.bz2", "BZh9")):
        with pytest.raises(Unreadable, match=name):
            Read(write(tmp_path, name, text), engine=engine)
    with pytest.raises(Unreadable, match="No such file"):
        Read(tmp_path / "none.log", engine=engine)


def test_header_without_rows(tmp_path: pathlib.Path, engine: str) -> None:
    found = Read(write(tmp_path, "conn.log", header("conn", CONN)), engine=engine)
    assert not found.sessions
    assert not found.notes


def test_a_header_that_changes_inside_a_file(tmp_path: pathlib.Path, engine: str) -> None:
    turned = dict(reversed(list(CONN.items())))
    found = Read(write(tmp_path, "conn.log", tsv([conn(1)]) + tsv([conn(2)], fields=turned)), engine=engine)
    assert [row["orig_bytes"] for row in found.sessions] == [5000, 5000]
    assert not found.notes


def test_mixed_streams_in_one_file(tmp_path: pathlib.Path, engine: str) -> None:
    ssl = {name: conn(1)[name] for name in list(SSL)[:6]} | {"server_name": "www.example.com", "established": True, "version": "TLSv13"}
    dns = {"ts": 1.0, "uid": "D1", "query": "www.example.com", "answers": ["alias.example.com", "203.0.113.9"], "rejected": False}
    for name in ("everything.json", "conn.log"):
        folder = tmp_path / name
        write(folder, name, jsonl([conn(1)]) + jsonl([ssl, dns]))
        found = Read(folder, engine=engine)
        assert (found.one["server_name"], found.one["tls_version"]) == ("www.example.com", "TLSv13"), name
        assert {(row[0], row[1], row[5]) for row in found.names} == {
            ("203.0.113.9", "www.example.com", "dns"), ("203.0.113.9", "www.example.com", "ssl"),
        }  # fmt: skip


def test_certificates_come_through_fuids_and_fingerprints(tmp_path: pathlib.Path, engine: str) -> None:
    chains = ((1, "Fleaf"), (2, "a" * 64))
    ssl = [{name: conn(n)[name] for name in list(SSL)[:6]} | {"cert_chain_fuids": [key, "Fca"], "established": True} for n, key in chains]
    x509 = {"ts": "time", "id": "string", "certificate.subject": "string", "certificate.issuer": "string"}
    certs = [{"ts": 1.0, "id": "Fleaf", "certificate.subject": "CN=a", "certificate.issuer": "CN=a"},
             {"ts": 1.0, "id": "Fca", "certificate.subject": "CN=ca", "certificate.issuer": "CN=root"}]  # fmt: skip
    by_print = {"fingerprint" if name == "id" else name: kind for name, kind in x509.items()}
    write(tmp_path, "conn.log", tsv([conn(1), conn(2)]))
    write(tmp_path, "ssl.log", tsv(ssl, "ssl", SSL))
    write(tmp_path, "x509.log", tsv(certs, "x509", x509))
    later = {"ts": 2.0, "fingerprint": "a" * 64, "certificate.subject": "CN=b", "certificate.issuer": "CN=ca"}
    write(tmp_path, "later/x509.log", tsv([later], "x509", by_print))
    first, second = Read(tmp_path, engine=engine).sessions
    assert (first["cert_subject"], first["cert_self_signed"], first["cert_fingerprint"]) == ("CN=a", True, None)
    assert (second["cert_subject"], second["cert_self_signed"], second["cert_fingerprint"]) == ("CN=b", False, "a" * 64)


def test_names_of_hosts(tmp_path: pathlib.Path, engine: str) -> None:
    dhcp = {"ts": "time", "assigned_addr": "addr", "host_name": "string", "lease_time": "interval"}
    write(tmp_path, "conn.log", tsv([conn(1)]))
    write(tmp_path, "dhcp.log", tsv([{"ts": 100.0, "assigned_addr": "10.0.0.7", "host_name": "WS7", "lease_time": 3600.0}], "dhcp", dhcp))
    ends = dict(list(CONN.items())[:6])
    ntlm = ends | {"hostname": "string", "server_nb_computer_name": "string", "server_dns_computer_name": "string"}
    write(tmp_path, "ntlm.log", tsv([conn(1) | {"hostname": "WS8", "server_nb_computer_name": "DC"}], "ntlm", ntlm))
    kerberos = ends | {"request_type": "string", "client": "string", "success": "bool"}
    rows = [conn(2) | {"client": client, "success": True} for client in ("WS9$/CORP.LOCAL", "anna/CORP.LOCAL")]
    write(tmp_path, "kerberos.log", tsv(rows, "kerberos", kerberos))
    names = {(row[0], row[1], row[2], row[5]): row[3:5] for row in Read(tmp_path, engine=engine).names}
    assert names["10.0.0.7", "ws7", "host", "dhcp"] == (100.0, 3700.0)
    assert set(names) - {("10.0.0.7", "ws7", "host", "dhcp")} == {
        ("10.0.0.7", "ws8", "host", "ntlm"), ("203.0.113.9", "dc", "host", "ntlm"), ("10.0.0.7", "ws9", "host", "kerberos"),
    }  # fmt: skip


def test_sessions_in_progress_merge_with_their_end(tmp_path: pathlib.Path, engine: str) -> None:
    early = conn(1, duration=10.0, orig_bytes=1000, conn_state="S1", orig_ip_bytes=1520)
    late = conn(1, duration=20.0, orig_bytes=2000, conn_state="S1", orig_ip_bytes=2520)
    write(tmp_path, "open/open_conn.log", tsv([early], "open_conn"))
    write(tmp_path, "open/conn_long.log", tsv([late, conn(2)], "conn_long"))
    first, second = Read(tmp_path / "open", engine=engine).sessions
    assert (first["orig_bytes"], first["hints"], second["hints"]) == (2000, "open", "open")
    write(tmp_path, "open/conn.log", tsv([conn(1)]))
    done, still = Read(tmp_path / "open", engine=engine).sessions
    assert (done["orig_bytes"], done["hints"], still["hints"]) == (5000, None, "open")


def test_two_sensors_count_once(tmp_path: pathlib.Path, engine: str) -> None:
    write(tmp_path, "a/conn.log", tsv([conn(1, ts=100.0), conn(2, ts=200.0)]))
    other = [conn(3, ts=100.01, orig_p=40001, orig_pkts=9), conn(4, ts=203.0, orig_p=40002)]
    write(tmp_path, "b/conn.log", tsv(other))
    write(tmp_path, "b/ssl.log", tsv([conn(3) | {"server_name": "seen.example", "established": True}], "ssl", SSL))
    found = Read(tmp_path, engine=engine)
    assert [(row["uid"][-1], row["hints"], row["server_name"]) for row in found.sessions] == [
        ("1", "sensor2=C00000000000000003", "seen.example"), ("2", None, None), ("4", None, None),
    ]  # fmt: skip


BYTES: list[tuple[str, dict[str, Any], tuple[int, int | None, str]]] = [
    ("sound", {}, (5000, 5000, "exact")),
    ("wild sequence number", {"orig_bytes": 1_982_834_349, "orig_pkts": 3, "orig_ip_bytes": 120, "history": "SWrRR"}, (0, 0, "bounded")),
    ("gap inside data", {"orig_bytes": 9000, "missed_bytes": 4000}, (4720, 9000, "bounded")),
    ("gap that the counters hold", {"missed_bytes": 4000}, (4720, 5000, "bounded")),
    ("picked up late", {"history": "DadA"}, (5000, None, "bounded")),
    ("one side dropped", {"orig_bytes": 0, "orig_pkts": 0, "orig_ip_bytes": 0, "history": "^hadf"}, (0, None, "unknown")),
    ("bad checksums", {"orig_bytes": 0, "orig_pkts": 3, "orig_ip_bytes": 120, "history": "ShACadC"}, (0, None, "unknown")),
    ("no counters", {"orig_pkts": 0, "orig_ip_bytes": 0, "resp_pkts": 0, "resp_ip_bytes": 0}, (5000, 5000, "exact")),
    ("no history, no packets", dict.fromkeys(["orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes", "history"]), (5000, 5000, "exact")),
    ("unanswered", {"orig_bytes": None, "resp_bytes": None, "duration": None, "history": "S", "orig_pkts": 1, "orig_ip_bytes": 60, "resp_pkts": 0,
                    "resp_ip_bytes": 0, "conn_state": "S0"}, (0, 0, "exact")),
]  # fmt: skip


@pytest.mark.parametrize(("change", "want"), [case[1:] for case in BYTES], ids=[case[0] for case in BYTES])
def test_byte_truth(tmp_path: pathlib.Path, engine: str, change: dict[str, Any], want: tuple[int, int | None, str]) -> None:
    row = Read(write(tmp_path, "conn.log", tsv([conn(1, **change)])), engine=engine).one
    assert (row["orig_low"], row["orig_high"], row["orig_quality"]) == want


def test_a_sensor_that_drops_bad_checksums_is_told_once(tmp_path: pathlib.Path, engine: str) -> None:
    lost = [conn(n, orig_bytes=0, orig_pkts=0, orig_ip_bytes=0, history="^hadf") for n in range(1, 6)]
    found = Read(write(tmp_path, "conn.log", tsv([*lost, conn(9)])), engine=engine)
    note, = [note for note in found.notes if note.kind == "offload"]
    assert (note.count, note.loss) == (5, False)
    assert "zeek -C" in note.reason
    assert [row["hints"] for row in found.sessions] == ["offload,onesided"] * 5 + [None]


def test_logs_that_belong_to_no_session_are_not_a_clean_result(tmp_path: pathlib.Path, engine: str) -> None:
    row = {name: value for name, value in conn(1).items() if name in SSL} | {"server_name": "drop.example"}
    write(tmp_path, "ssl.log", tsv([row], "ssl", SSL))
    shipped = write(tmp_path, "shipped.json", jsonl([{"_path": "ssl", **row}]))
    for source in (tmp_path / "ssl.log", shipped, tmp_path):
        note, = [note for note in Read(source, engine=engine).notes if note.kind == "sessionless"]
        assert note.loss
        assert "conn.log" in note.reason
    assert not Read(tmp_path, engine=engine, keep_facts=True).notes  # the sessions may come with a later run
    write(tmp_path, "conn.log", tsv([]))
    assert not Read(tmp_path, engine=engine).notes  # a quiet hour


def test_tunnels_proxies_starttls_and_ftp_data(tmp_path: pathlib.Path, engine: str) -> None:
    ends = dict(list(CONN.items())[:6])
    data = conn(4, ts=1700000010.0, resp_p=50021, service=None)
    rows = [conn(1, tunnel_parents=["Couter"]), conn(2, tunnel_parents=["Celse"]), conn(3, service="http"), data, conn(5, service="ssl,smtp")]
    write(tmp_path, "conn.log", tsv(rows))
    outer = conn(9, uid="Couter") | {"tunnel_type": "Tunnel::VXLAN", "action": "Tunnel::DISCOVER"}
    write(tmp_path, "tunnel.log", tsv([outer], "tunnel", ends | {"tunnel_type": "enum", "action": "enum"}))
    proxied = conn(3) | {"method": "CONNECT", "host": "h", "uri": "drop.example:443"}
    write(tmp_path, "http.log", tsv([proxied], "http", ends | {"method": "string", "host": "string", "uri": "string"}))
    ftp = ends | {"command": "string", "arg": "string", "data_channel.resp_h": "addr", "data_channel.resp_p": "port"}
    announced = {"command": "PASV", "data_channel.resp_h": "203.0.113.9", "data_channel.resp_p": 50021}
    write(tmp_path, "ftp.log", tsv([conn(7, ts=1700000009.0, uid="Ccontrol") | announced], "ftp", ftp))
    write(tmp_path, "smtp.log", tsv([conn(5) | {"tls": True}], "smtp", ends | {"helo": "string", "tls": "bool"}))
    found = {row["uid"][-1]: row for row in Read(tmp_path, engine=engine).sessions}
    assert (found["1"]["tunnel"], found["2"]["tunnel"]) == ("vxlan", "tunnel")
    assert found["3"]["hints"] == "connect=drop.example:443"
    assert found["4"]["hints"] == "control=Ccontrol,ftp_data"
    assert (found["5"]["hints"], found["5"]["service"]) == ("starttls", "smtp,ssl")


def test_ranges_read_complete_lines_only(tmp_path: pathlib.Path, engine: str) -> None:
    text = tsv([conn(1), conn(2), conn(3)])
    path = write(tmp_path, "conn.log", text)
    ends = [index + 1 for index, letter in enumerate(text) if letter == "\n"]
    for name, data in (("conn.log", text), ("conn.log.gz", text)):
        path = write(tmp_path, name, data)
        found = Read(path, engine=engine, ranges={str(path): (ends[-3], ends[-2])})
        assert found.one["uid"].endswith("2")
        assert not found.notes
        whole = [Read(path, engine=engine, ranges={str(path): span}) for span in ((0, ends[-3]), (ends[-3], None))]
        assert [len(part.sessions) for part in whole] == [1, 2]


def test_a_range_is_read_with_the_header_that_stands_before_it(tmp_path: pathlib.Path, engine: str) -> None:
    turned = dict(reversed(CONN.items()))
    text = tsv([conn(1), conn(2)]) + tsv([conn(3), conn(4)], fields=turned)
    start = len(text) - len(text.splitlines(keepends=True)[-1])
    for name in ("conn.log", "conn.log.gz"):
        path = write(tmp_path, name, text)
        found = Read(path, engine=engine, ranges={str(path): (start, None)})
        assert found.one["uid"] == conn(4)["uid"]
        assert (found.one["resp_h"], found.one["orig_bytes"]) == ("203.0.113.9", 5000)
        assert not found.notes


def test_facts_kept_for_sessions_that_come_later(tmp_path: pathlib.Path, engine: str) -> None:
    ssl = {name: conn(1)[name] for name in list(SSL)[:6]} | {"server_name": "late.example", "established": True}
    first = Read(write(tmp_path, "ssl.log", tsv([ssl], "ssl", SSL)), engine=engine, keep_facts=True)
    assert not first.sessions
    assert len(first.facts) == 1
    second = Read(write(tmp_path, "conn.log", tsv([conn(1)])), engine=engine, keep_facts=True)
    second.con.execute("INSERT INTO fact BY NAME SELECT ? AS uid, 'ssl' AS kind, 1.0 AS ts, 'late.example' AS server_name", [conn(1)["uid"]])
    for _ in range(2):
        read.merge(second.con)
        assert second.con.execute("SELECT count(*), max(server_name) FROM session").fetchone() == (1, "late.example")


def test_analysis_leaves_out_what_cannot_be_outbound(tmp_path: pathlib.Path, engine: str) -> None:
    rows = [
        conn(1), conn(2, resp_p=50000, service=None, orig_bytes=1), conn(3, resp_h="10.0.0.9"), conn(4, resp_h="10.0.0.9", orig_bytes=1_000_000),
        conn(5, resp_h="10.0.0.9", resp_bytes=1_000_000), conn(6, orig_h="198.51.100.1", resp_h="10.0.0.7", resp_p=22),
        conn(7, orig_h="198.51.100.1", resp_h="10.0.0.7", resp_p=80, service="http", resp_bytes=9000),
        conn(8, orig_h="198.51.100.1", resp_h="10.0.0.7", resp_p=80, service="http"), conn(9, orig_h="198.51.100.1"),
        conn(10, orig_h="198.51.100.1", resp_p=80, service="http"), conn(11, resp_h="224.0.0.251"), conn(12, orig_h="fe80::1", resp_h="2001:db8::2"),
    ]  # fmt: skip
    for text, name in ((tsv(rows), "conn.log"), (jsonl(rows), "conn.json")):
        found = Read(write(tmp_path, name, text), engine=engine, only_outbound=True)
        assert [int(row["uid"][1:]) for row in found.sessions] == [1, 2, 4, 5, 6, 7, 9]
        mine = Read(tmp_path / name, engine=engine, only_outbound=True, policy=Policy(inside=["198.51.100.0/24"]))
        assert {9, 10} <= {int(row["uid"][1:]) for row in mine.sessions}


def test_times_asked_for(tmp_path: pathlib.Path, engine: str) -> None:
    path = write(tmp_path, "conn.log", tsv([conn(n) for n in range(10)]))
    found = Read(path, engine=engine, since=1700000003.5, until=1700000005.5)
    assert [row["uid"][-1] for row in found.sessions] == ["3", "4"]
