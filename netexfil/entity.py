"""A destination as one knows it: the registrable domain of a name, or the owner's part of a shared hosting domain."""

from __future__ import annotations

import ipaddress

# Second-level labels under which countries register names (co.uk, com.au, co.nz …). The public suffix list has thousands of rows; these
# few labels carry nearly all names of companies. A wrong cut only makes an entity wider or narrower; ids do not depend on it.
SECOND_LEVEL = frozenset("ac co com edu gob gouv gov go govt ltd me mil ne net nhs nic or org plc sch".split())

# Domains whose subdomains belong to different customers: one more label names the owner (an attacker's bucket is not the company's bucket).
SHARED = (
    "amazonaws.com", "awsapps.com", "cloudfront.net", "blob.core.windows.net", "file.core.windows.net", "dfs.core.windows.net",
    "core.windows.net", "azurewebsites.net", "azureedge.net", "azurefd.net", "cloudapp.net", "cloudapp.azure.com", "trafficmanager.net",
    "storage.googleapis.com", "appspot.com", "firebaseapp.com", "firebaseio.com", "web.app", "run.app", "cloudfunctions.net",
    "digitaloceanspaces.com", "linodeobjects.com", "backblazeb2.com", "wasabisys.com", "r2.cloudflarestorage.com", "r2.dev",
    "workers.dev", "pages.dev", "trycloudflare.com", "herokuapp.com", "netlify.app", "vercel.app", "onrender.com", "fly.dev", "ngrok.io",
    "ngrok.app", "ngrok-free.app", "loca.lt", "github.io", "gitlab.io", "blogspot.com", "wordpress.com", "sharepoint.com", "my.salesforce.com",
    "service-now.com", "zendesk.com", "atlassian.net", "myshopify.com", "duckdns.org", "ddns.net", "no-ip.org", "dyndns.org", "hopto.org",
    "your-storagebox.de", "ovh.net", "contaboserver.net", "clients.your-server.de", "hstgr.cloud", "googleusercontent.com",
)
_SHARED = frozenset(SHARED)
_ENDS = frozenset(tuple(suffix.split(".")[-2:]) for suffix in SHARED)


def entity(name: str | None) -> str | None:
    """The owner's domain of a host name, lower case; None for no name or an address written as a name.

    >>> entity("a.b.example.co.uk"), entity("bucket.s3.amazonaws.com"), entity("192.0.2.1")
    ('example.co.uk', 'bucket.s3.amazonaws.com', None)
    """
    text = (name or "").strip().strip(".").lower()
    if not text or is_address(text):
        return None
    labels = text.split(".")
    if len(labels) <= 2:
        return text
    if (labels[-2], labels[-1]) in _ENDS:
        for take in range(4, 1, -1):
            if take < len(labels) and ".".join(labels[-take:]) in _SHARED:
                return text if take == 2 and labels[-2] == "amazonaws" else ".".join(labels[-take - 1:])
    take = 3 if len(labels[-1]) == 2 and labels[-2] in SECOND_LEVEL else 2
    return ".".join(labels[-take:])


def is_address(text: str) -> bool:
    """Whether a name is an IP address in letters."""
    bare = text.strip("[]")
    if ":" not in bare and not bare[-1:].isdigit():
        return False  # nearly all names, without the price of an exception
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return False
    return True
