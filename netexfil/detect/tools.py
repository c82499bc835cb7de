"""What is known of transfer tools: how they name themselves on the wire, what their processes are called, and what that is worth.

Sources: banners of the lab's own recordings (docs/fingerprints.md), public incident reports (FileZilla_3.68.1, rclone/v1.69.0), and the
process lists of the two seed detections. A JA4 or HASSH is shared by tools of one library, so it names a family, never a culprit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Tool:
    """`wire` and `process` are the points that the name is worth on either side; `banner`, `image` and `words` are patterns."""

    name: str
    banner: str | None = None
    image: str | None = None
    wire: int = 0
    process: int = 0
    words: str | None = None


TOOLS: Sequence[Tool] = (
    Tool("rclone", r"^SSH-2\.0-rclone", r"rclone", 25, 25, r"\brclone\b"),
    Tool("FileZilla", r"^SSH-2\.0-(PuTTY)?FileZilla", r"filezilla|fzsftp|fzputtygen", 15, 25, r"\bfilezilla\b"),
    Tool("WinSCP", r"^SSH-2\.0-WinSCP", r"winscp", 15, 25, r"\bwinscp\b"),
    Tool("PuTTY", r"^SSH-2\.0-PuTTY", r"pscp|psftp|plink|putty", 10, 25),
    Tool("paramiko", r"^SSH-2\.0-paramiko", None, 12, 25, r"\bparamiko\b"),
    Tool("AsyncSSH", r"^SSH-2\.0-AsyncSSH", None, 12, 25, r"\basyncssh\b"),
    Tool("ssh2 (Node)", r"^SSH-2\.0-ssh2js", None, 12, 25, r"\bssh2-sftp-client\b"),
    Tool("Go SSH", r"^SSH-2\.0-Go$", None, 15),
    Tool("SSH.NET", r"^SSH-2\.0-Renci", None, 12),
    Tool("JSch", r"^SSH-2\.0-JSCH", None, 10),
    Tool("libssh2", r"^SSH-2\.0-libssh2", None, 10),
    Tool("libssh", r"^SSH-2\.0-libssh[_-]", None, 10),
    Tool("Bitvise", r"FlowSsh|Bitvise", r"bvssh|bvterm|sftpc|scpc", 10, 20),
    Tool("Cyberduck", r"^SSH-2\.0-Cyberduck", r"cyberduck|duck", 15, 25, r"\bduck\b"),
    Tool("dropbear", r"^SSH-2\.0-dropbear", r"dbclient", 5, 10),
    Tool("OpenSSH", r"^SSH-2\.0-OpenSSH", r"ssh|scp|sftp", 0, 0),
    Tool("lftp", None, r"lftp", 0, 25, r"\blftp\b"),
    Tool("curl", None, r"curl", 0, 25, r"\bcurl\b"),
    Tool("wget", None, r"wget2?", 0, 25, r"\bwget\b"),
    Tool("rsync", None, r"rsync", 0, 25, r"\brsync\b"),
    Tool("AWS CLI", None, r"aws|s5cmd|s3cmd", 0, 25, r"\baws s3\b"),
    Tool("AzCopy", None, r"azcopy", 0, 25),
    Tool("gsutil", None, r"gsutil|gcloud", 0, 20),
    Tool("MEGA", None, r"megasync|megacmd\w*|mega-\w+|megatools|megaput", 0, 25, r"\bmegajs\b|\bmega-put\b"),
    Tool("restic", None, r"restic", 0, 20, r"\brestic\b"),
    Tool("borg", None, r"borg", 0, 20, r"\bborg\b"),
    Tool("Kopia", None, r"kopia", 0, 20, r"\bkopia\b"),
    Tool("Duplicati", None, r"duplicati(?:\.commandline|\.server)?", 0, 20),
    Tool("croc", None, r"croc", 0, 25, r"\bcroc send\b"),
    Tool("Magic Wormhole", None, r"wormhole(?:-william|-rs)?", 0, 25, r"\bwormhole (?:send|tx)\b"),
    Tool("GoodSync", None, r"goodsync|gsync", 0, 20),
    Tool("BITS", None, r"bitsadmin", 0, 20, r"\bbitsadmin\b"),
    Tool("certreq", None, r"certreq", 0, 20, r"\bcertreq(?:\.exe)? [-/]post\b"),
    Tool("DataSvcUtil", None, r"datasvcutil", 0, 25),
    Tool("ConfigSecurityPolicy", None, r"configsecuritypolicy", 0, 25),
    Tool("swaks", None, r"swaks", 0, 25, r"\bswaks\b"),
    Tool("msmtp", None, r"msmtp|sendemail|blat", 0, 20),
    Tool("openssl", None, r"openssl", 0, 20, r"\bopenssl s_client\b"),
    Tool("netcat", None, r"ncat|nc|socat", 0, 20),
    Tool("FreeFileSync", None, r"freefilesync", 0, 20),
    Tool("PowerShell", None, r"powershell|pwsh|powershell_ise", 0, 15),
    Tool("scp/sftp", None, r"scp|sftp", 0, 25, r"\b(scp|sftp)\b"),
)
# Go's SSH client and Go's TLS client, by the lab's recordings: a Go program behind an OpenSSH banner is a disguise.
GO_HASSH = frozenset({"4e066189c3bbeec38c99b1855113733a"})
GO_JA4 = frozenset({"t13d1910h2_9dc949149365_97f8aa674fd9"})
LIBRARY_JA4 = {
    "t13d1910h2_9dc949149365_97f8aa674fd9": "Go program (rclone and others)",
    "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6": "curl", "t13d311100_e8f1e7e78f70_b26ce05bbdd6": "curl",
    "t13i3111h2_e8f1e7e78f70_b26ce05bbdd6": "curl", "t13d3112h1_e8f1e7e78f70_b26ce05bbdd6": "Python with OpenSSL (aws-cli, requests)",
    "t13d3112h1_e8f1e7e78f70_d41ae481755e": "Python", "t13d311100_e8f1e7e78f70_d41ae481755e": "Python or Perl with OpenSSL",
    "t13i311000_e8f1e7e78f70_d41ae481755e": "Python or Perl with OpenSSL", "t13d291300_723694b0fccc_2cc26d266019": "lftp or msmtp (GnuTLS)",
    "t13d291400_723694b0fccc_e1567aa83b5c": "lftp (GnuTLS)", "t12d290700_fc2078a0b8c0_8c06664c3ac5": ".NET WebClient",
    "t13d5911h1_a33745022dd6_1f22a2ca17c4": "Node.js", "t13d5912h1_a33745022dd6_dbd39dd1d406": "Node.js",
    "t13i3712h2_db35923f8641_0c6f02743557": "Java", "t13i310900_e8f1e7e78f70_1f22a2ca17c4": "openssl s_client",
}


@cache
def _patterns(column: str, frame: str = "{}") -> list[tuple[Tool, re.Pattern[str]]]:
    """The tools that have this pattern, each with it compiled: when it is first asked for, since most inputs ask for none."""
    return [(tool, re.compile(frame.format(pattern), re.I)) for tool in TOOLS if (pattern := getattr(tool, column))]


def by_banner(banner: str | None) -> Tool | None:
    """The tool that an SSH client banner names."""
    return next((tool for tool, pattern in _patterns("banner") if pattern.search(banner)), None) if banner else None


def base(image: str | None) -> str:
    """File name of a path of either kind, lower case, without `.exe`."""
    name = re.split(r"[\\/]", (image or "").strip())[-1].lower()
    return name.removesuffix(".exe")


_IMAGE = r"^(?:{})(?:[-_ ]?v?[\d.]+)?(?:64|32)?$"


def by_image(image: str | None) -> Tool | None:
    """The tool that a process image names; the one worth most where several fit (scp is both OpenSSH and a transfer)."""
    name = base(image)
    fits = [tool for tool, pattern in _patterns("image", _IMAGE) if pattern.match(name)] if name else []
    return max(fits, key=lambda tool: tool.process, default=None)


def by_words(command_line: str | None) -> Tool | None:
    """The tool that a command line names, for scripts and renamed programs; the one worth most."""
    text = (command_line or "")[:4096]
    fits = [tool for tool, pattern in _patterns("words") if pattern.search(text)] if text else []
    return max(fits, key=lambda tool: tool.process, default=None)


_FAMILY = {"scp/sftp": "OpenSSH", "rsync": "OpenSSH", "borg": "OpenSSH", "restic": "OpenSSH", "Go SSH": "rclone"}


def family(name: str | None) -> str | None:
    """Names that may stand for the same program on wire and endpoint: PuTTY's tools are one, OpenSSH's are one."""
    return _FAMILY.get(name or "", name)
