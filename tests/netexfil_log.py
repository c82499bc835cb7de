"""netexfil.log as the package in zeek_scripts/ writes it, made from the full logs of the same capture.

The rules are those of netexfil_log.zeek (`is_wanted`, `log_session`, `log_answer`), read again here so that the reader and the
findings can be tested where no Zeek is installed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

COLUMNS = {
    "ts": "time", "kind": "string", "uid": "string", "id.orig_h": "addr", "id.orig_p": "port", "id.resp_h": "addr", "id.resp_p": "port",
    "proto": "enum", "service": "string", "duration": "interval", "orig_bytes": "count", "resp_bytes": "count", "conn_state": "string",
    "local_orig": "bool", "local_resp": "bool", "missed_bytes": "count", "history": "string", "orig_pkts": "count",
    "orig_ip_bytes": "count", "resp_pkts": "count", "resp_ip_bytes": "count", "tunnel_parents": "set[string]", "server_name": "string",
    "tls_version": "string", "alpn": "string", "cert_subject": "string", "cert_issuer": "string", "cert_fingerprint": "string",
    "ssh_client": "string", "ssh_server": "string", "address": "addr", "name": "string",
}
PORTS = {("tcp", port) for port in (21, 22, 443, 465, 587, 990, 993, 8443)} | {("udp", 443)}
INSIDE = [ipaddress.ip_network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]
NOWHERE = [
    ipaddress.ip_network(net)
    for net in ("0.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "::/128", "::1/128",
                "fe80::/10", "ff00::/8")
]
LOG_BYTES, LOG_INSIDE_BYTES = 16384, 1048576

Row = dict[str, str]


def rows(path: Path) -> Iterator[Row]:
    """Rows of a TSV log; unset and empty columns are left out."""
    names: list[str] = []
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        if line.startswith("#fields"):
            names = line.split("\t")[1:]
        elif not line.startswith("#"):
            yield {name: value for name, value in zip(names, line.split("\t"), strict=True) if value not in ("-", "(empty)")}


def compact(logs: Path) -> str:
    """The text of netexfil.log for a folder of full logs."""
    ssl = {row["uid"]: row for row in rows(logs / "ssl.log")}
    ssh = {row["uid"]: row for row in rows(logs / "ssh.log")}
    x509 = {row["fingerprint"]: row for row in rows(logs / "x509.log")}
    lines = [_session(row, ssl, ssh, x509) for row in rows(logs / "conn.log") if _wanted(row)]
    lines += _names(logs)
    head = ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-", "#path\tnetexfil"]
    head += ["#fields\t" + "\t".join(COLUMNS), "#types\t" + "\t".join(COLUMNS.values())]
    body = ["\t".join(line.get(name, "-") for name in COLUMNS) for line in sorted(lines, key=lambda line: float(line["ts"]))]
    return "\n".join([*head, *body]) + "\n"


def _wanted(row: Row) -> bool:
    size = max(int(row.get("orig_bytes", 0)), int(row.get("resp_bytes", 0)))
    watched = (row["proto"], int(row["id.resp_p"])) in PORTS
    near = watched or size >= LOG_BYTES or bool({"ssl", "ssh", "quic", "dtls"} & set(row.get("service", "").split(",")))
    orig, resp = row["id.orig_h"], row["id.resp_h"]
    outbound = _public(resp) if _inside(orig) else watched and _public(orig) and _public(resp)
    if outbound:
        return near
    return size >= LOG_INSIDE_BYTES or (size >= LOG_BYTES and _public(orig))


def _inside(address: str) -> bool:
    return any(ipaddress.ip_address(address) in net for net in INSIDE)


def _public(address: str) -> bool:
    return not _inside(address) and not any(ipaddress.ip_address(address) in net for net in NOWHERE)


def _session(row: Row, ssl: dict[str, Row], ssh: dict[str, Row], x509: dict[str, Row]) -> Row:
    line = {name: row[name] for name in COLUMNS if name in row} | {"kind": "session"}
    tls, shell = ssl.get(row["uid"], {}), ssh.get(row["uid"], {})
    leaf = x509.get(tls.get("cert_chain_fps", "").split(",")[0], {})
    found = {
        "server_name": tls.get("server_name"), "tls_version": tls.get("version"), "alpn": tls.get("next_protocol"),
        "cert_subject": leaf.get("certificate.subject"), "cert_issuer": leaf.get("certificate.issuer"),
        "cert_fingerprint": leaf.get("fingerprint"), "ssh_client": shell.get("client"), "ssh_server": shell.get("server"),
    }
    return line | {name: value for name, value in found.items() if value is not None}


def _names(logs: Path) -> list[Row]:
    told: set[tuple[str, str]] = set()
    lines = []
    for row in rows(logs / "dns.log"):
        for answer in row.get("answers", "").split(","):
            if "query" in row and _address(answer) and (answer, row["query"]) not in told:
                told.add((answer, row["query"]))
                ts = str(float(row["ts"]) + float(row.get("rtt", 0)))
                lines.append({"ts": ts, "kind": "dns", "address": answer, "name": row["query"]})
    return lines


def _address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
