"""Does the protocol fit the port?

Asks: SSH where web traffic runs, TLS on the SSH port, no TLS where only TLS belongs, bulk outside TLS and SSH on a port that is not watched?
Why: firewalls let 443 out; who hides SSH there wants to pass unseen. Told by the first bytes, never by the port.
Fooled by: administrators' SSH on 2222 or behind a 443 multiplexer (small points for other ports), captures that began mid-stream (nothing is said
then).
"""

from __future__ import annotations

import numpy as np

from netexfil.detect.question import Candidates, Code, Reason, held
from netexfil.policy import Policy

CODES = (
    Code("ssh_on_tls_port", "mismatch", "port", "SSH on port {value}, where TLS or web traffic belongs", "Does SSH run on a web or mail port?",
        "SSH on 443"),
    Code("ssh_off_port", "mismatch", "port", "SSH on port {value} instead of 22", "Does SSH run on an unusual port?", "SSH on 2222"),
    Code("tls_on_other_port", "mismatch", "port", "TLS on port {value}, which belongs to another protocol", "Does TLS run on 22, 53 or 80?",
        "TLS on 22"),
    Code("no_tls", "mismatch", "port", "the first bytes on port {value} are no TLS", "Is there no TLS where only TLS belongs?", "raw bytes to 443"),
    Code("clear_text", "mismatch", "port", "clear text on port {value}", "Is it in clear on a port for TLS?", "plain FTP on 990"),
    Code("clear_leg", "mismatch", "port", "sent without TLS or SSH on port {value}, which is not watched",
         "Did the data leave without TLS or SSH, on a port that is not watched?", "MEGA's API over TLS, the data over HTTP"),
)
WEB = (443, 8443, 80, 8080, 465, 587, 993, 990, 53, 25)


def ask(c: Candidates, policy: Policy) -> list[Reason]:
    port, ssh, tls = c.num("remote_p"), c.num("ssh_sessions") > 0, c.num("tls_sessions") > 0
    least = c.num("bytes_low") >= policy.threshold("asymmetry_small")
    hints = np.array([f",{text or ''}," for text in c.text("hints")], object)
    bare = np.array([",no_tls," in text for text in hints], bool)
    clear = np.array([",clear," in text for text in hints], bool)
    shown = np.nan_to_num(port).astype(int)
    odd_tls = tls & np.isin(port, (22, 53, 80)) & (c.columns["proto"] == "tcp")
    return [
        held("ssh_on_tls_port", ssh & np.isin(port, WEB) & least, shown, 22, 25),
        held("ssh_off_port", ssh & ~np.isin(port, (*WEB, 22)) & least, shown, 22, 8),
        held("tls_on_other_port", odd_tls & least, shown, None, 20),
        held("no_tls", bare & ~ssh & least, shown, None, 15),
        held("clear_text", clear & ~bare & least, shown, None, 12),
        held("clear_leg", (c.num("clear_leg") > 0) & least & ~np.isin(port, policy.watched), shown, None, 12),
    ]
