"""Which program sent it, as the wire says and as the endpoint says, and whether the two agree.

Asks: does an SSH banner, a key exchange or a linked process name a transfer tool? Does the process match the banner?
Why: WinSCP, FileZilla and rclone are in most published cases; a tool name lets a small upload count. A contradiction (svchost speaking rclone)
is nearly always a disguise.
Fooled by: `rclone --user-agent`, administrators who use the same tools (allow entries by host, user, destination).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netexfil import features
from netexfil.detect import tools
from netexfil.detect.links import is_disguised
from netexfil.detect.question import Candidates, Code, Mask, Reason, held
from netexfil.policy import Policy

CODES = (
    Code("tool_banner", "tool", "banner", "the SSH client calls itself {value}", "Does the SSH banner name a transfer tool or library?",
         "SSH-2.0-rclone/v1.69.0"),
    Code("tool_disguised", "tool", "banner", "the SSH client calls itself {value}, but its key exchange is that of a Go program (rclone and others)",
         "Does the key exchange belie the banner?", "an OpenSSH banner before Go's key exchange list"),
    Code("tool_process", "tool", "image", "the endpoint says {value} sent it", "Does a linked process name a transfer tool?", "C:\\Temp\\rclone.exe"),
    Code("tool_contradicted", "mismatch", "image", "on the wire it is {threshold}, on the endpoint {value}: renamed or disguised",
         "Do wire and endpoint name different programs?", "/var/tmp/svchost speaking rclone"),
    Code("tool_library", "tool", "JA4", "the TLS client looks like {value}", "Does the TLS fingerprint name a scripting library or transfer tool?",
         "Go's TLS client, as rclone has"),
    Code("parallel", "tool", "sessions at once", "{value} sessions at once on average, as transfer tools open them",
        "Did several sessions send at once?",
         "rclone's four transfers"),
    Code("unusual_client", "tool", "image", "{value} is no program that speaks TLS here (ssl_client_process_baseline)",
         "Is the program one that usually speaks TLS here?", "notepad.exe over TLS"),
    Code("familiar_program", "tool", "image", "the endpoint says {value} sent it, which the policy allows to",
        "Is the linked process on the site's list?",
         "OneDrive.exe on binary_allowlist"),
)


def ask(c: Candidates, policy: Policy) -> list[Reason]:
    least = c.num("bytes_low") >= policy.threshold("asymmetry_small")
    banners = [tools.by_banner(banner) for banner in c.text("ssh_client")]
    wire = np.array([tool.wire if tool else 0 for tool in banners], float)
    pairs = zip(c.text("hassh"), banners, strict=True)
    disguised = np.array([is_disguised(hassh, tool) for hassh, tool in pairs], bool)
    process = c.num("process_points")
    degree = np.nan_to_num(features.rate(c.num("busy"), c.num("last_ts") - c.num("first_ts")))
    pushing = c.num("push_sessions")
    several = (degree >= 1.8) & (pushing >= 2) & (pushing <= 16) & (c.num("siblings") == 0)
    library = np.array([tools.LIBRARY_JA4.get(ja4 or "") for ja4 in c.text("ja4")], object)
    known = np.array([name is not None for name in library], bool)
    allowed = _among(c, policy.binary_allowlist)
    usual = _among(c, policy.ssl_client_process_baseline)
    strange = np.array([image is not None for image in c.text("image")], bool) & ~usual & bool(policy.ssl_client_process_baseline)
    return [
        held("tool_banner", (wire > 0) & least, c.text("ssh_client"), None, wire, "ssh"),
        held("tool_disguised", disguised, c.text("ssh_client"), None, 25, "ssh"),
        held("tool_process", (process > 0) & least & ~allowed, c.text("image"), None, process, "endpoint"),
        held("tool_contradicted", c.is_("verdict", "contradicted") & least, c.text("image"), None, 20, "endpoint"),
        held("tool_library", known & least, library, None, 3, "ssl"),
        held("parallel", several & least, degree.round(1), 1.8, 4),
        held("unusual_client", strange & (c.num("tls_sessions") > 0) & least, c.text("image"), None, 8, "endpoint"),
        held("familiar_program", allowed, c.text("image"), None, -20, "endpoint"),
    ]


def _among(c: Candidates, programs: Sequence[str]) -> Mask:
    """Where the sending program's file name is on the list."""
    names = {tools.base(program) for program in programs}
    return np.array([image is not None and tools.base(image) in names for image in c.text("image")], bool)
