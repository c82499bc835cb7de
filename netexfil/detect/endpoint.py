"""Did an endpoint rule fire on the process that sent it?

Asks: is an endpoint alert linked to a session of the channel, and how sure is the link?
Why: what the process was told to do is the one thing that the wire cannot show.
Fooled by: links by time alone when many processes run (they count by the share of such links that are right), rules that fire on every curl.
"""

from __future__ import annotations

import numpy as np

from netexfil.detect.question import Candidates, Code, Reason, held
from netexfil.policy import Policy

CODES = (
    Code("endpoint_alert", "endpoint", "rule", "endpoint alert on the sending process: {value}", "Did an endpoint rule fire on the sending process?",
         "LogScale: rclone.exe copy to sftp"),
    Code("endpoint_unseen", "endpoint", "reason", "endpoint alert {threshold}: {value}", "Did an endpoint rule fire on an upload that no sensor saw?",
         "the laptop was at home"),
    Code("endpoint_session", "volume", "bytes", "the linked session does not leave the network, and carried {value} one-sidedly",
         "Did the alerted process upload on a session that is not outbound?", "UploadData to 127.0.0.1:4443"),
)


def ask(c: Candidates, policy: Policy) -> list[Reason]:
    titles, points = c.text("alert_title"), c.num("alert_points")
    fired = np.array([title is not None for title in titles], bool)
    return [held("endpoint_alert", fired, titles, None, points, "endpoint")]
