"""What the two ends say over each protocol: one function a service, all of the shape (conversation, act)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from netexfil.simulate import hello
from netexfil.simulate.wire import Conversation

CHUNK = 32_768  # what file transfer programs write at a time


@dataclass(frozen=True, slots=True)
class Act:
    """What one session is to carry: bytes to send away and to fetch (payload inside the encryption), and who speaks."""

    upload: int = 0
    download: int = 0
    client: str = "openssl"
    banner: str = "SSH-2.0-OpenSSH_9.6"
    name: str | None = None
    alpn: tuple[str, ...] = ()
    tls13: bool = True
    self_signed: bool = False
    pause: float = 0.0


def _bulk(c: Conversation, act: Act, overhead: int) -> None:
    """The transfer: chunks one way, each answered with a few bytes."""
    for out, size in ((True, act.upload), (False, act.download)):
        for at in range(0, size, CHUNK):
            part = min(CHUNK, size - at)
            c.send(out, c.rng.randbytes(part + overhead))
            if at % (4 * CHUNK) == 0:
                c.send(not out, c.rng.randbytes(48))
            c.now += act.pause


def ssh(c: Conversation, act: Act) -> None:
    """Banners, key exchange, log-in, and encrypted packets."""
    c.connect()
    server = "SSH-2.0-OpenSSH_9.2p1 Debian-2"
    c.send(True, act.banner.encode() + b"\r\n")
    c.send(False, server.encode() + b"\r\n")
    c.send(True, hello.kexinit(c.rng, act.client))
    c.send(False, hello.kexinit(c.rng, "openssh"))
    c.send(True, hello.ecdh(c.rng, False))
    c.send(False, hello.ecdh(c.rng, True) + hello.ssh_packet(b"\x15"))
    c.send(True, hello.ssh_packet(b"\x15"))
    for size in (44, 60, 620, 112):
        c.send(True, c.rng.randbytes(size))
        c.send(False, c.rng.randbytes(52))
    _bulk(c, act, 40)
    c.send(True, c.rng.randbytes(60))
    c.close()
    c.facts |= {"service": "ssh", "ssh_client": act.banner, "ssh_server": server}


def ssh_typed(c: Conversation, act: Act) -> None:
    """Someone types: each key there and back, now and then a screen of output."""
    ssh_start = Act(client=act.client, banner=act.banner)
    c.connect()
    c.send(True, ssh_start.banner.encode() + b"\r\n")
    c.send(False, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
    c.send(True, hello.kexinit(c.rng, act.client))
    c.send(False, hello.kexinit(c.rng, "openssh"))
    c.send(True, hello.ecdh(c.rng, False))
    c.send(False, hello.ecdh(c.rng, True) + hello.ssh_packet(b"\x15"))
    c.send(True, hello.ssh_packet(b"\x15") + c.rng.randbytes(620))
    for key in range(200):
        c.now += c.rng.uniform(0.05, 0.4)
        c.send(True, c.rng.randbytes(36))
        c.send(False, c.rng.randbytes(36 if key % 20 else 1800))
    c.close()
    c.facts |= {"service": "ssh", "ssh_client": act.banner, "ssh_server": "SSH-2.0-OpenSSH_9.2p1 Debian-2"}


def _tls_open(c: Conversation, act: Act) -> None:
    c.send(True, hello.record(22, hello.client_hello(c.rng, act.client, act.name, act.alpn, act.tls13)))
    answer = hello.record(22, hello.server_hello(c.rng, act.tls13))
    if act.tls13:
        c.send(False, answer + hello.record(20, b"\x01") + hello.record(23, c.rng.randbytes(2400)))
        c.send(True, hello.record(20, b"\x01") + hello.record(23, c.rng.randbytes(69)))
    else:
        subject = act.name or "upload"
        issuer = subject if act.self_signed else "Example Issuing CA"
        flight = hello.certificate(c.rng, subject, issuer) + hello.server_key(c.rng) + b"\x0e\x00\x00\x00"
        c.send(False, answer + hello.record(22, flight))
        exchange = b"\x10\x00\x00\x21\x20" + c.rng.randbytes(32)
        c.send(True, hello.record(22, exchange) + hello.record(20, b"\x01") + hello.record(22, c.rng.randbytes(40)))
        c.send(False, hello.record(20, b"\x01") + hello.record(22, c.rng.randbytes(40)))
        c.facts |= {"subject": f"CN={subject}", "issuer": f"CN={issuer}"}
    c.facts |= {
        "service": "ssl",
        "server_name": act.name or "",
        "alpn": act.alpn[0] if act.alpn else "",
        "version": "TLSv13" if act.tls13 else "TLSv12",
    }


def _tls_data(c: Conversation, out: bool, size: int, pause: float = 0.0) -> None:
    """Application data in records of at most 16 KiB."""
    for at in range(0, size, 16_384):
        c.send(out, hello.record(23, c.rng.randbytes(min(16_384, size - at) + 17)))
        c.now += pause


def tls(c: Conversation, act: Act) -> None:
    """Hello, a request, the transfer, an answer."""
    c.connect()
    _tls_open(c, act)
    _tls_data(c, True, 420)
    _tls_data(c, True, act.upload, act.pause)
    _tls_data(c, False, act.download or 380, act.pause)
    _tls_data(c, True, 24)
    c.close()


def smtp_starttls(c: Conversation, act: Act) -> None:
    """Mail submission on 587: plain greeting, STARTTLS, then TLS."""
    c.connect()
    for out, line in (
        (False, "220 mail.example ESMTP"),
        (True, "EHLO ws041"),
        (False, "250-mail.example\r\n250-STARTTLS\r\n250 SIZE 52428800"),
        (True, "STARTTLS"),
        (False, "220 2.0.0 Ready to start TLS"),
    ):
        c.send(out, line.encode() + b"\r\n")
    _tls_open(c, act)
    for size in (40, 60, 90, 60):
        _tls_data(c, True, size)
        _tls_data(c, False, 50)
    _tls_data(c, True, act.upload, act.pause)
    _tls_data(c, False, 60)
    c.close()
    c.facts["service"] = "smtp,ssl"


def ftps_control(c: Conversation, act: Act) -> None:
    """FTP control that asks for TLS (or begins with it on 990) and then hides its commands."""
    c.connect()
    if c.resp[1] != 990:
        for out, line in ((False, "220 ftp ready"), (True, "AUTH TLS"), (False, "234 Proceed with negotiation")):
            c.send(out, line.encode() + b"\r\n")
    _tls_open(c, act)
    for size in (30, 32, 20, 24, 40, 44):
        _tls_data(c, True, size)
        _tls_data(c, False, 60)
    if c.resp[1] != 990:
        c.facts["service"] = "ftp,ssl"


def media(c: Conversation, act: Act) -> None:
    """Symmetric datagrams, as in a call."""
    for _ in range(max(1, act.upload // 1000)):
        c.datagram(True, b"\x80\x60" + c.rng.randbytes(998))
        c.datagram(False, b"\x80\x60" + c.rng.randbytes(998))
        c.now += 0.02


def quic(c: Conversation, act: Act) -> None:
    """A real Initial, then protected packets."""
    connection = c.rng.randbytes(8)
    c.datagram(True, hello.quic_initial(c.rng, connection, act.name or ""))
    c.now += c.path.rtt
    c.datagram(False, hello.quic_long(c.rng, 0xC0) + hello.quic_long(c.rng, 0xE0))
    for number, at in enumerate(range(0, act.upload, 1200)):
        c.datagram(True, b"\x41" + connection + c.rng.randbytes(min(1200, act.upload - at) + 17))
        if number % 4 == 0:
            c.datagram(False, b"\x42" + c.rng.randbytes(38))
    c.facts |= {"service": "quic,ssl", "server_name": act.name or "", "alpn": "h3", "version": "TLSv13"}


SERVICES: Mapping[str, Callable[[Conversation, Act], None]] = {
    "ssh": ssh,
    "ssh_typed": ssh_typed,
    "tls": tls,
    "smtp_starttls": smtp_starttls,
    "ftps": ftps_control,
    "media": media,
    "quic": quic,
}
