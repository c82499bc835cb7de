"""Suricata's eve.json as a further dialect: its records as rows of the logs that Zeek would write, tied by flow_id.

`flow.bytes_*` are frame bytes. Less a 14 byte Ethernet header a packet they are IP bytes; payload is then bounded, not counted
(exact for UDP, whose header has one size), which `bounds` writes into the sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netexfil.read import fields, rows, values

if TYPE_CHECKING:
    import duckdb

    from netexfil.read.find import Log

LINK_HEADER = 14
USUAL_OPTIONS = 12  # TCP time stamps

# Suricata's words for protocols that Zeek names otherwise.
SERVICES: Mapping[str, str | None] = {"tls": "ssl", "failed": None, "unknown": None, "smb": "smb", "dcerpc": "dce_rpc", "krb5": "krb"}

Made = tuple[str, dict[str, Any]]


def read(log: Log, wanted: Sequence[str], keep: rows.Keep | None, span: tuple[int, int | None] | None, tally: rows.Tally) -> Iterator[rows.Row]:
    """Rows of an eve.json file, as `rows.read` gives them for Zeek logs."""
    for line in rows.lines(log.path, span, tally):
        if not line.data.strip():
            continue
        try:
            made = _record(rows.parse(line.data.strip().removeprefix(b"\xef\xbb\xbf")))
            found = made and (made[0], [_value(one, made[1].get(one.name)) for one in fields.LOGS[made[0]]])
        except rows.Refused as error:
            rows.refuse(tally, line, str(error) if line.whole else "the last line is not complete")
            continue
        if not found or found[0] not in wanted:
            tally.other += 1
        elif found[0] == "conn" and keep is not None and not keep(found[1]):
            tally.dropped += 1
        else:
            tally.rows += 1
            yield found[0], found[0], found[1]


def _value(one: fields.Field, cell: Any) -> Any:
    if cell is None or cell == "":
        if one.filled:
            raise rows.Refused(f"no {one.name}")
        return None
    return rows.value(one, cell)


def _record(record: Mapping[str, Any]) -> Made | None:
    try:
        return _made(record)
    except values.Bad as error:
        raise rows.Refused(str(error)) from None


def _made(record: Mapping[str, Any]) -> Made | None:
    """The row that a record makes, by its event type; None for records that say nothing of sessions."""
    kind = record.get("event_type")
    make = KINDS.get(kind) if isinstance(kind, str) else None
    body = record.get(kind) if isinstance(kind, str) else None
    if make is None or not isinstance(body, Mapping):
        return None
    if record.get("flow_id") is None:
        raise rows.Refused("no flow_id")
    made = make(record, body)
    if made is None:
        return None
    ends = {"orig_h": record.get("src_ip"), "orig_p": record.get("src_port", 0)}
    ends |= {"resp_h": record.get("dest_ip"), "resp_p": record.get("dest_port", 0)}
    return made[0], {"ts": record.get("timestamp"), "uid": f"S{record['flow_id']}"} | ends | made[1]


def _flow(record: Mapping[str, Any], flow: Mapping[str, Any]) -> Made:
    proto = str(record.get("proto", "")).lower()
    begun, ended = values.time(flow["start"]) if "start" in flow else None, values.time(flow["end"]) if "end" in flow else None
    head = (40 if ":" in str(record.get("src_ip")) else 20) + (20 + USUAL_OPTIONS if proto == "tcp" else 8)
    sides: dict[str, int] = {}
    for me, way in (("orig", "toserver"), ("resp", "toclient")):
        packets, frames = _count(flow.get(f"pkts_{way}")), _count(flow.get(f"bytes_{way}"))
        inside = max(frames - LINK_HEADER * packets, 0)
        sides |= {f"{me}_pkts": packets, f"{me}_ip_bytes": inside, f"{me}_bytes": max(inside - head * packets, 0)}
    services = {SERVICES.get(str(name), str(name)) for name in (record.get("app_proto"), record.get("app_proto_orig")) if name} - {None}
    return "conn", sides | {
        "ts": begun if begun is not None else record.get("timestamp"), "proto": proto or None,
        "duration": max(ended - begun, 0.0) if begun is not None and ended is not None else None,
        "service": ",".join(sorted(str(name) for name in services)) or None, "conn_state": _state(record, flow, proto),
        "community_id": record.get("community_id"), "sensor": record.get("host"),
    }  # fmt: skip


def _count(cell: Any) -> int:
    return values.whole(cell) if cell is not None else 0


def _state(record: Mapping[str, Any], flow: Mapping[str, Any], proto: str) -> str:
    """Zeek's word that comes nearest to Suricata's: S0 unanswered, SF closed or (UDP) answered, RSTO reset, S1 else."""
    if not flow.get("pkts_toclient"):
        return "S0"
    tcp = record.get("tcp")
    if proto != "tcp" or not isinstance(tcp, Mapping):
        return "SF"
    if tcp.get("rst"):
        return "RSTO"
    return "SF" if tcp.get("fin") or tcp.get("state") == "closed" else "S1"


def _tls(record: Mapping[str, Any], tls: Mapping[str, Any]) -> Made:
    alpns, ja3 = tls.get("server_alpns"), tls.get("ja3")
    version = str(tls.get("version", "")).replace("TLS 1.", "TLSv1").replace("TLSv1.", "TLSv1")
    return "ssl", {
        "version": version if version.startswith(("TLSv1", "SSL")) else None, "server_name": tls.get("sni"),
        "next_protocol": alpns[0] if isinstance(alpns, list) and alpns else None, "ja3": ja3.get("hash") if isinstance(ja3, Mapping) else None,
        "ja4": tls.get("ja4"), "subject": tls.get("subject"), "issuer": tls.get("issuerdn"),
        "cert_hash": str(tls["fingerprint"]).replace(":", "").lower() if tls.get("fingerprint") else None,
    }  # fmt: skip


def _ssh(record: Mapping[str, Any], ssh: Mapping[str, Any]) -> Made:
    found: dict[str, Any] = {}
    for side, hassh in (("client", "hassh"), ("server", "hassh_server")):
        said = ssh.get(side)
        if isinstance(said, Mapping):
            if said.get("software_version"):
                found[side] = f"SSH-{said.get('proto_version', '2.0')}-{said['software_version']}"
            hashed = said.get("hassh")
            found[hassh] = hashed.get("hash") if isinstance(hashed, Mapping) else None
    return "ssh", found


def _quic(record: Mapping[str, Any], quic: Mapping[str, Any]) -> Made:
    return "quic", {"version": quic.get("version"), "server_name": quic.get("sni"), "ja4": quic.get("ja4")}


def _dns(record: Mapping[str, Any], dns: Mapping[str, Any]) -> Made | None:
    """An answer: version 1 and 2 put the question into `rrname`, version 3 into `queries`."""
    queries = dns.get("queries")
    asked = queries[0].get("rrname") if isinstance(queries, list) and queries and isinstance(queries[0], Mapping) else dns.get("rrname")
    answers = [part.get("rdata") for part in _items(dns.get("answers")) if isinstance(part, Mapping)]
    if dns.get("rdata"):
        answers.append(dns["rdata"])
    grouped = dns.get("grouped")
    for kind in ("A", "AAAA"):
        answers += _items(grouped.get(kind)) if isinstance(grouped, Mapping) else []
    return ("dns", {"query": asked, "answers": [answer for answer in answers if answer]}) if asked and answers else None


def _items(cell: Any) -> list[Any]:
    return cell if isinstance(cell, list) else []


def _http(record: Mapping[str, Any], http: Mapping[str, Any]) -> Made:
    found = {"method": "http_method", "host": "hostname", "uri": "url", "user_agent": "http_user_agent"}
    return "http", {name: http.get(theirs) for name, theirs in found.items()}


def _ftp(record: Mapping[str, Any], ftp: Mapping[str, Any]) -> Made | None:
    """Only what announces a data channel."""
    if not ftp.get("dynamic_port"):
        return None
    passive = str(ftp.get("command", "")).upper() in ("PASV", "EPSV")
    listener = record.get("dest_ip" if passive else "src_ip")
    return "ftp", {"command": ftp.get("command"), "data_resp_h": listener, "data_resp_p": ftp["dynamic_port"]}


KINDS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Made | None]] = {
    "flow": _flow, "tls": _tls, "ssh": _ssh, "quic": _quic, "dns": _dns, "http": _http, "ftp": _ftp,
}  # fmt: skip


def bounds(con: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> None:
    """Write what frame bytes say of payload into the sessions of these files."""
    head = "(CASE WHEN contains(orig_h, ':') THEN 40 ELSE 20 END + CASE proto WHEN 'tcp' THEN 20 ELSE 8 END)"
    options = "CASE proto WHEN 'tcp' THEN 40 ELSE 0 END"
    sides = ", ".join(
        f"""{me}_low = greatest({me}_ip_bytes - {me}_pkts * ({head} + {options}), 0), {me}_high = greatest({me}_ip_bytes - {me}_pkts * {head}, 0),
        {me}_quality = CASE WHEN proto = 'udp' OR {me}_pkts = 0 THEN 'exact' ELSE 'bounded' END"""
        for me in ("orig", "resp")
    )
    con.execute(f"UPDATE session SET {sides} WHERE source IN (SELECT unnest(?))", [list(paths)])
