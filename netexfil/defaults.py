"""Every threshold and default in one table: value, unit, meaning and where the number comes from."""

from __future__ import annotations

from dataclasses import dataclass

WATCHED = (22, 443, 465, 587, 990, 993, 8443, 21)
INSIDE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
EXTENSIONS = ("zip", "7z", "rar", "gz", "tgz", "tar", "bak", "pst", "ost", "vmdk", "vhdx", "sql", "mdf", "csv", "xlsx", "docx", "pdf")


@dataclass(frozen=True, slots=True)
class Threshold:
    """A default. Where `share_of` names another threshold, `value` is a factor of it."""

    value: float
    unit: str
    text: str
    source: str
    share_of: str | None = None


THRESHOLDS: dict[str, Threshold] = {
    "outbound_volume": Threshold(
        10_485_760, "bytes", "bytes sent on one channel in one window (DET0512 OutboundTrafficVolumeThreshold)",
        "10 MiB: Suricata pawpatrules flow limit for SSH/SFTP; largeUpload.bro used 15 MB, ATT&CK DET0131 names 50 MB as an example"),
    "small_volume": Threshold(
        0.1, "bytes", "below this an upload is told but scores nothing by size",
        "a tenth of the line: one decade of room", "outbound_volume"),
    "ledger_7d": Threshold(
        1.0, "bytes", "bytes sent to one entity in 7 days when no single day was large",
        "the daily line spread over a week", "outbound_volume"),
    "ledger_30d": Threshold(
        2.0, "bytes", "bytes sent to one entity in 30 days when no single day was large",
        "twice the daily line spread over a month", "outbound_volume"),
    "ledger_steady": Threshold(
        0.5, "bytes", "bytes in 7 days when they come as regular chunks, or on most days",
        "half the weekly line", "outbound_volume"),
    "host_day": Threshold(
        10.0, "bytes", "bytes that one host sent to rarely used entities in one window",
        "ten single lines", "outbound_volume"),
    "asymmetry": Threshold(
        0.8, "PCR", "producer-consumer ratio from which an upload is one-sided",
        "nine bytes out for one in; lab transfers measure 0.91 to 0.996"),
    "asymmetry_small": Threshold(
        65536, "bytes", "asymmetry says nothing below this",
        "a few handshakes and one form"),
    "handshake_out": Threshold(
        2048, "bytes a session", "what a handshake alone sends",
        "lab: 0.8 to 2.6 kB"),
    "handshake_in": Threshold(
        4096, "bytes a session", "what a handshake alone receives: certificates, tickets",
        "lab: 1.9 to 5.2 kB"),
    "rate": Threshold(
        1_048_576, "bytes/s", "sustained rate out over at least 10 s",
        "1 MiB/s: half of the published 2.4 MB/s SFTP exfiltration"),
    "chunk_spread": Threshold(
        0.2, "ratio", "relative spread (MAD) of session sizes below which chunks are regular",
        "T1030 DET0213 says ±5 %; TLS framing and jitter widen it"),
    "chunk_count": Threshold(
        12, "sessions", "regular chunks needed",
        "fewer could be chance; RITA asks for more than 4"),
    "rare_hosts": Threshold(
        2, "hosts", "an entity used by at most this many inside hosts is rare",
        "Darktrace and RITA: prevalence at or below 2 %"),
    "common_hosts": Threshold(
        5, "hosts", "an entity used by at least this many inside hosts is common",
        "a team, not a single user"),
    "common_share": Threshold(
        0.1, "share", "share of the active hosts that makes an entity part of the business",
        "RITA: -0.15 from 50 %; uploads weigh more"),
    "sender": Threshold(
        0.01, "bytes", "an inside host that sent this much to an entity in one window counts as a sender",
        "more than chatter: 100 KiB at the default line", "outbound_volume"),
    "fleet": Threshold(
        10, "hosts", "with fewer active inside hosts prevalence says nothing",
        "one in ten is the coarsest share used"),
    "established_days": Threshold(
        2, "days", "earlier days on which the host sent a like amount to the entity",
        "two repetitions make a habit"),
    "clients": Threshold(
        5, "addresses", "outside addresses served in 30 days that make an inside host a public server",
        "a service, not a single guest"),
    "collect_ratio": Threshold(
        0.5, "ratio", "inside bytes pulled beforehand, as a share of what was sent",
        "archives shrink; Vectra Data Smuggler, Darktrace Download and Upload"),
    "collect_hours": Threshold(
        24, "hours", "how long before the upload a collection may lie",
        "published cases: hours to one day"),
    "finding_floor": Threshold(
        20, "points", "below this no finding is written",
        "half of the alert line"),
}
