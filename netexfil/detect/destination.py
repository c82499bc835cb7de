"""What kind of place is it?

Asks: a file-sharing or storage service, a bare address, a certificate nobody vouches for, a name anyone can register in a minute?
Why: published cases end at MEGA, rented servers reached by address, and buckets of somebody else.
Fooled by: companies that use the same services (prevalence speaks against), appliances with self-signed certificates.
"""

from __future__ import annotations

import numpy as np

from netexfil.detect.question import Candidates, Code, Reason, held
from netexfil.entity import is_address
from netexfil.policy import Policy

CODES = (
    Code("file_sharing", "destination", "name", "{value} is a file-sharing or storage service", "Is it a service for sharing files?", "mega.nz"),
    Code("dynamic_name", "destination", "name", "{value} is a name that anyone can point anywhere in a minute",
        "Is it dynamic DNS or a tunnel service?",
         "x1.duckdns.org"),
    Code("bare_address", "destination", "address", "reached by address, without a name", "Was it reached without any name?",
        "TLS to 203.0.113.9 without SNI"),
    Code("self_signed", "destination", "certificate", "self-signed certificate: {value}", "Does nobody vouch for the certificate?", "CN=localhost"),
    Code("denied_issuer", "destination", "certificate", "certificate issued by {value}, which the policy denies",
         "Is the issuer on certificate_issuer_denylist?", "O=Evil CA"),
)
SHARING = (
    "mega.nz", "mega.co.nz", "mega.io", "dropbox.com", "dropboxapi.com", "wetransfer.com", "transfer.sh", "temp.sh", "gofile.io", "anonfiles.com",
    "file.io", "filebin.net", "sendspace.com", "mediafire.com", "4shared.com", "ufile.io", "easyupload.io", "bashupload.com", "0x0.st", "catbox.moe",
    "pcloud.com", "put.io", "premiumize.me", "box.com", "sendgb.com", "dropmefiles.com", "qaz.im", "privatlab.com", "backblazeb2.com",
    "wasabisys.com",
    "pixeldrain.com", "krakenfiles.com", "send.cm", "workupload.com", "uploadfiles.io", "filemail.com", "tresorit.com", "icedrive.net", "yandex.net",
    "storj.io", "tutanota.com", "proton.me", "pastebin.com", "telegram.org", "discordapp.com",
)
DYNAMIC = ("duckdns.org", "ddns.net", "no-ip.org", "dyndns.org", "hopto.org", "zapto.org", "sytes.net", "trycloudflare.com", "ngrok.io", "ngrok.app",
           "ngrok-free.app", "loca.lt", "serveo.net", "localhost.run", "nip.io", "sslip.io")


def under(name: str | None, domains: tuple[str, ...]) -> bool:
    """Whether a name is one of these domains or lies below one."""
    text = (name or "").lower().rstrip(".")
    return any(text == domain or text.endswith("." + domain) for domain in domains)


def ask(c: Candidates, policy: Policy) -> list[Reason]:
    names = c.text("server_name")
    out = c.columns["direction"] == "out"
    least = (c.num("bytes_low") >= policy.threshold("asymmetry_small")) & out
    sharing = np.array([under(name, SHARING) for name in names], bool)
    dynamic = np.array([under(name, DYNAMIC) for name in names], bool)
    bare = np.array([name is None or is_address(name) for name in names], bool) & (c.num("tls_sessions") > 0) & (c.num("midstream") == 0)
    signed = c.num("self_signed") > 0
    issuers = np.array([_denied(issuer, policy) for issuer in c.text("cert_issuer")], bool)
    return [
        held("file_sharing", sharing & least, names, None, 8),
        held("dynamic_name", dynamic & least, names, None, 8),
        held("bare_address", bare & least, c.text("remote_h"), None, 3),
        held("self_signed", signed & least, c.text("cert_subject"), None, 8),
        held("denied_issuer", issuers & least, c.text("cert_issuer"), None, 15),
    ]


def _denied(issuer: str | None, policy: Policy) -> bool:
    return bool(issuer) and any(word.lower() in str(issuer).lower() for word in policy.certificate_issuer_denylist)
