"""Does it look like something ordinary, or like a tunnel?

Asks: media both ways over UDP, a public server answering many clients, SSH carrying bulk both ways for long?
Why: these shapes move gigabytes without being a copy of files, or hide one.
Fooled by: covert channels inside a video call (nothing on the wire tells).
"""

from __future__ import annotations

import numpy as np

from netexfil import features
from netexfil.detect.question import Candidates, Code, Reason, held
from netexfil.policy import Policy

CODES = (
    Code("conference", "shape", "bytes", "UDP both ways, {value} came in: the shape of a call or a VPN", "Is it media both ways?",
        "120 MB out, 160 MB in on udp/443"),
    Code("public_server", "shape", "addresses", "{value} outside addresses were served on this port in 30 days: a public server",
         "Does the inside host serve many outside clients?", "a web server in the DMZ"),
    Code("ssh_tunnel", "shape", "bytes", "SSH open for {minutes} minutes with bulk both ways ({value} in): the shape of a tunnel",
         "Does SSH carry bulk both ways for long?", "ssh -D used as a proxy"),
    Code("also_received", "shape", "bytes", "{value} came in as well, an eighth or more of what left", "Did much come back?",
        "a sync in both directions"),
)


def ask(c: Candidates, policy: Policy) -> list[Reason]:
    low, back = c.num("bytes_low"), features.net(np.nan_to_num(c.num("bytes_in")), c.num("sessions"), policy.threshold("handshake_in"))
    line = policy.threshold("outbound_volume")
    udp = c.columns["proto"] == "udp"
    call = udp & (back >= 0.2 * line) & (back >= low / 16)
    clients = np.nan_to_num(c.num("clients"))
    tunnel = (c.num("ssh_sessions") > 0) & (c.num("busy") >= 600) & (back >= 0.1 * low) & (low >= 0.1 * back) & (low >= line)
    alone = (c.num("push_low") >= line) & (c.num("push_low") >= 8 * c.num("push_in"))
    received = ~udp & ~tunnel & ~alone & (low >= line) & (back >= low / 8) & (back >= line / 4)
    return [
        held("conference", call, back, None, -15),
        held("public_server", clients >= policy.threshold("clients"), clients.astype(int), int(policy.threshold("clients")), -30,
            "the host's 30 days"),
        held("ssh_tunnel", tunnel, back, None, 10),
        held("also_received", received, back, None, -8),
    ]
