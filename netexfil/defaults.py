"""Every threshold and default in one table: value, unit, meaning and where the number comes from."""

from __future__ import annotations

from dataclasses import dataclass

WATCHED = (22, 443, 465, 587, 990, 993, 8443, 21)
INSIDE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
KEEP_SESSIONS_DAYS, KEEP_DAYS = 7, 35
EXTENSIONS = ("zip", "7z", "rar", "gz", "tgz", "tar", "bak", "pst", "ost", "vmdk", "vhdx", "sql", "mdf", "csv", "xlsx", "docx", "pdf")


# The tuning items of the two seed detections, as knobs that lower matching endpoint alerts to `info`; each takes lists of any TUNING_FIELDS.
TUNING = {
    "it_staff": "authorised IT staff using rclone, WinSCP, FileZilla or SCP for sanctioned transfers to managed servers",
    "devops": "DevOps and CI/CD publishing with sftp, scp, curl or rclone to S3, Azure Blob, GCS",
    "agents": "monitoring and security agents that send telemetry over HTTPS to their vendor",
    "backup": "backup agents and DR sites reached over SFTP, FTPS or HTTPS",
    "security_team": "vulnerability scans and forensic images moved over SFTP",
    "updates": "software update and telemetry mechanisms over HTTPS to vendor endpoints",
}
TUNING_FIELDS = ("users", "hosts", "processes", "parents", "commands", "destinations")

DET0512 = {
    "certificate_issuer_denylist": "words of certificate issuers that speak against a destination (CertificateIssuerDenylist)",
    "binary_allowlist": "programs that may send: their uploads weigh less (BinaryAllowlist), e.g. OneDrive.exe",
    "connection_destination_scope": "judge only these destinations: addresses, CIDRs, domains; empty judges all (ConnectionDestinationScope)",
    "ssl_client_process_baseline": "programs known to speak TLS here; another program's upload weighs more (SSLClientProcessBaseline); empty: off",
    "file_access_extension_list": "endings of files that the sending process wrote or read which count as staging (FileAccessExtensionList)",
    "file_sensitivity_context": "words in file names that mark them sensitive, e.g. payroll (FileSensitivityContext)",
}


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


def template() -> str:
    """The commented policy file with every setting at its default."""
    lines = [
        "# Site policy of netexfil. Every setting stands here at its default; remove what you do not change.", "",
        "[networks]", "# What counts as inside; replaces the default (RFC 1918 and ULA).",
        f"inside = [{_listed(INSIDE)}]", '# "default", or "rfc1918": everything but 10/8, 172.16/12, 192.168/16 and 127/8 is public.', 'public = "default"', "",
        "[ports]", "# Responder ports whose sessions are outbound by themselves (tcp; udp for 443 and 8443).",
        f"watched = [{', '.join(map(str, WATCHED))}]", "",
        "[time]", "# The zone of working hours and schedules. Without it no upload counts as sent outside working hours.",
        '# zone = "Europe/Berlin"', 'working_hours = "Mon-Fri 06:00-22:00"', "",
        "[det0512]", "# The remaining tunables of ATT&CK's detection strategy DET0512.",
    ]
    for name, text in DET0512.items():
        lines += [f"# {text}", f"{name} = [{_listed(EXTENSIONS) if name == 'file_access_extension_list' else ''}]"]
    lines += ["", "[thresholds]", "# Values after 'x' in a comment are shares: they follow the named threshold unless set here."]
    for name, item in THRESHOLDS.items():
        lines.append(f"# {item.text}. {item.unit}. Source: {item.source}")
        value = f"{item.value:g}" if item.value < 1e5 else str(int(item.value))
        lines.append(f"{name} = {value}" if item.share_of is None else f"# {name} = {value} x {item.share_of}")
    lines += ["", "[state]", "# Days of event time for which --state keeps sessions and events; later sessions of older days are refused, with a word.",
              f"keep_sessions_days = {KEEP_SESSIONS_DAYS}", "# Days for which it keeps channels, names and findings: what ledgers and novelty look back on.",
              f"keep_days = {KEEP_DAYS}"]
    lines += ["", "# Tuning items of the seed detections: what fits (all named fields) is kept as an endpoint alert of severity info.",
              f"# Each knob takes lists of {', '.join(TUNING_FIELDS)}."]
    for name, text in TUNING.items():
        lines += [f"# {text}", f"# [tuning.{name}]", "# users = ['CORP\\svc-transfer']"]
    return "\n".join([*lines, "", *_ALLOW_EXAMPLE, ""])


_ALLOW_EXAMPLE = (
    "# Transfers that you sanction. All named fields must fit; what an entry hides is still counted and listed.",
    "# [[allow]]",
    '# destination = "203.0.113.30"      # address, CIDR or domain suffix',
    '# host = "10.1.2.3"                 # address, CIDR or host name',
    "# port = 22",
    '# tool = "restic"                   # as the finding names it',
    '# process = "/usr/bin/restic"       # path or file name, from a sure link; of every program that is known to have sent',
    "# user = 'CORP\\backup'",
    '# schedule = "Mon-Sun 01:00-05:00"  # in the zone above; the whole upload must lie within',
    "# ceiling = 50000000000             # bytes in one window",
    '# reason = "nightly backup"         # required',
    "# expires = 2027-01-01              # first day on which it no longer holds, by the traffic's own time",
)


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(f'"{value}"' for value in values)
