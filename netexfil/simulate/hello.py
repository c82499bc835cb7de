"""First bytes of the protocols: SSH banners and KEXINIT, TLS hellos and a certificate, DNS, and QUIC's Initial."""

from __future__ import annotations

import hashlib
import hmac
import random
import struct

from netexfil.simulate import aes


def _vector(data: bytes, size: int = 2) -> bytes:
    return len(data).to_bytes(size, "big") + data


def _words(values: tuple[int, ...]) -> bytes:
    return b"".join(struct.pack(">H", value) for value in values)


# Key exchange lists as these programs send them: key exchange, host key, cipher, MAC.
KEX = {
    "openssh": (
        "sntrup761x25519-sha512@openssh.com,curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ext-info-c,kex-strict-c-v00@openssh.com",
        "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256",
        "chacha20-poly1305@openssh.com,aes128-ctr,aes256-gcm@openssh.com",
        "umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com",
    ),
    "go": (
        "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,diffie-hellman-group14-sha256,ext-info-c",
        "rsa-sha2-256,rsa-sha2-512,ecdsa-sha2-nistp256,ssh-ed25519",
        "aes128-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr",
        "hmac-sha2-256-etm@openssh.com,hmac-sha2-256",
    ),
    "putty": (
        "curve448-sha512,curve25519-sha256,ecdh-sha2-nistp256,diffie-hellman-group-exchange-sha256,rsa2048-sha256",
        "ssh-ed448,ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512",
        "aes256-ctr,aes256-cbc,chacha20-poly1305@openssh.com",
        "hmac-sha2-256,hmac-sha1",
    ),
    "paramiko": (
        "curve25519-sha256@libssh.org,ecdh-sha2-nistp256,diffie-hellman-group16-sha512",
        "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512",
        "aes128-ctr,aes192-ctr,aes256-ctr,aes128-cbc",
        "hmac-sha2-256,hmac-sha2-512",
    ),
}


def kexinit(rng: random.Random, kind: str) -> bytes:
    """SSH_MSG_KEXINIT (RFC 4253, 7.1) in its unencrypted packet."""
    kex, keys, cipher, mac = (part.encode() for part in KEX[kind])
    lists = b"".join(_vector(part, 4) for part in (kex, keys, cipher, cipher, mac, mac, b"none", b"none", b"", b""))
    return ssh_packet(b"\x14" + rng.randbytes(16) + lists + b"\0" + bytes(4))


def ecdh(rng: random.Random, reply: bool) -> bytes:
    """SSH_MSG_KEX_ECDH_INIT, or its REPLY with an ed25519 host key and a signature of random bytes (RFC 5656, 4)."""
    if not reply:
        return ssh_packet(b"\x1e" + _vector(rng.randbytes(32), 4))
    key, signed = (_vector(b"ssh-ed25519", 4) + _vector(rng.randbytes(size), 4) for size in (32, 64))
    return ssh_packet(b"\x1f" + _vector(key, 4) + _vector(rng.randbytes(32), 4) + _vector(signed, 4))


def ssh_packet(payload: bytes) -> bytes:
    pad = 8 - (len(payload) + 5) % 8
    pad += 8 if pad < 4 else 0
    return struct.pack(">IB", len(payload) + pad + 1, pad) + payload + bytes(pad)


# Cipher suites and ALPN as these programs offer them.
TLS_CLIENTS = {
    "openssl": ((0x1302, 0x1303, 0x1301, 0xC02C, 0xC030, 0x009F, 0xCCA9, 0xCCA8, 0xC02B, 0xC02F, 0x00FF), (29, 23, 30, 24)),
    "go": (
        (0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC009, 0xC013, 0xC00A, 0xC014, 0x009C, 0x009D, 0x002F, 0x0035, 0x1301, 0x1302, 0x1303),
        (29, 23, 24, 25),
    ),
    "schannel": ((0x1302, 0x1301, 0xC02C, 0xC02B, 0xC030, 0xC02F, 0x009F, 0x009E, 0xC024, 0xC023, 0xC028, 0xC027), (29, 23, 24)),
    "browser": (
        (0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC013, 0xC014, 0x009C, 0x009D, 0x002F, 0x0035),
        (29, 23, 24),
    ),
}


def client_hello(rng: random.Random, client: str, name: str | None, alpn: tuple[str, ...], tls13: bool = True, transport: bytes = b"") -> bytes:
    """The handshake message without its record. `transport` are QUIC transport parameters."""
    ciphers, groups = TLS_CLIENTS[client]
    extensions = []
    if name:
        extensions.append((0, _vector(b"\0" + _vector(name.encode()))))
    extensions += [(11, b"\x01\x00"), (10, _vector(_words(groups))), (35, b""), (23, b"")]
    if alpn:
        extensions.append((16, _vector(b"".join(_vector(part.encode(), 1) for part in alpn))))
    extensions.append((13, _vector(_words((0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)))))
    if tls13:
        extensions += [(43, b"\x04\x03\x04\x03\x03"), (45, b"\x01\x01"), (51, _vector(struct.pack(">H", 29) + _vector(rng.randbytes(32))))]
    if transport:
        extensions.append((57, transport))
    body = b"".join(struct.pack(">H", kind) + _vector(data) for kind, data in extensions)
    session = b"" if transport else rng.randbytes(32)
    hello = b"\x03\x03" + rng.randbytes(32) + _vector(session, 1) + _vector(_words(ciphers)) + b"\x01\x00" + _vector(body)
    return b"\x01" + _vector(hello, 3)


def server_hello(rng: random.Random, tls13: bool) -> bytes:
    extensions = b"\x00\x2b\x00\x02\x03\x04" + b"\x00\x33" + _vector(b"\x00\x1d" + _vector(rng.randbytes(32))) if tls13 else b"\xff\x01\x00\x01\x00"
    suite = 0x1302 if tls13 else 0xC030
    hello = b"\x03\x03" + rng.randbytes(32) + _vector(rng.randbytes(32), 1) + struct.pack(">HB", suite, 0) + _vector(extensions)
    return b"\x02" + _vector(hello, 3)


def server_key(rng: random.Random) -> bytes:
    """ServerKeyExchange of ECDHE with x25519 and an RSA-PSS signature of random bytes (RFC 8422, 5.4)."""
    return b"\x0c" + _vector(b"\x03\x00\x1d" + _vector(rng.randbytes(32), 1) + b"\x08\x04" + _vector(rng.randbytes(256)), 3)


def record(kind: int, data: bytes) -> bytes:
    return struct.pack(">BH", kind, 0x0303) + _vector(data)


def _der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = (
        bytes([len(body)])
        if len(body) < 128
        else (lambda n: bytes([0x80 + len(n)]) + n)(len(body).to_bytes((len(body).bit_length() + 7) // 8, "big"))
    )
    return bytes([tag]) + size + body


def certificate(rng: random.Random, subject: str, issuer: str) -> bytes:
    """The Certificate message with one X.509 certificate; its signature is random bytes (nobody verifies it here)."""

    def named(common: str) -> bytes:
        return _der(0x30, _der(0x31, _der(0x30, _der(0x06, b"\x55\x04\x03"), _der(0x0C, common.encode()))))

    algorithm = _der(0x30, _der(0x06, b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"), _der(0x05))
    key = _der(0x30, _der(0x02, b"\0" + bytes([rng.randrange(128, 256)]) + rng.randbytes(255)), _der(0x02, b"\x01\x00\x01"))
    public = _der(0x30, _der(0x30, _der(0x06, b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"), _der(0x05)), _der(0x03, b"\0" + key))
    valid = _der(0x30, _der(0x17, b"260101000000Z"), _der(0x17, b"360101000000Z"))
    body = _der(
        0x30, _der(0xA0, _der(0x02, b"\x02")), _der(0x02, b"\x01" + rng.randbytes(8)), algorithm, named(issuer), valid, named(subject), public
    )
    whole = _der(0x30, body, algorithm, _der(0x03, b"\0" + rng.randbytes(256)))
    return b"\x0b" + _vector(_vector(_vector(whole, 3), 3), 3)


def dns(rng: random.Random, name: str, address: str | None = None, number: int = 0) -> bytes:
    """A query, or with an address its answer."""
    labels = b"".join(_vector(part.encode(), 1) for part in name.split(".")) + b"\0"
    six = ":" in (address or "")
    question = labels + struct.pack(">HH", 28 if six else 1, 1)
    if address is None:
        return struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + question
    import ipaddress

    packed = ipaddress.ip_address(address).packed
    answer = b"\xc0\x0c" + struct.pack(">HHI", 28 if six else 1, 1, 300) + _vector(packed)
    return struct.pack(">HHHHHH", number, 0x8180, 1, 1, 0, 0) + question + answer


_SALT = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")  # RFC 9001, 5.2


def quic_initial(rng: random.Random, connection: bytes, name: str) -> bytes:
    """The client's first QUIC v1 packet (RFC 9001, 5 and appendix A), 1200 bytes, protected as the standard says."""
    source = rng.randbytes(8)
    hello = client_hello(rng, "go", name, ("h3",), transport=b"\x0f" + _vector(source, 1) + b"\x04\x04\x80\x10\x00\x00")
    head = b"\xc3\x00\x00\x00\x01" + _vector(connection, 1) + _vector(source, 1) + b"\x00"
    plain = b"\x06\x00" + struct.pack(">H", 0x4000 | len(hello)) + hello
    plain += bytes(1200 - len(head) - 2 - 4 - 16 - len(plain))
    head += struct.pack(">H", 0x4000 | (4 + len(plain) + 16)) + b"\x00\x00\x00\x00"
    secret = hmac.digest(_SALT, connection, "sha256")
    secret = _expand(secret, b"client in", 32)
    key, iv, mask_key = _expand(secret, b"quic key", 16), _expand(secret, b"quic iv", 12), _expand(secret, b"quic hp", 16)
    sealed = aes.seal(key, iv, plain, head)
    mask = aes.block(aes.schedule(mask_key), sealed[:16])
    first = bytes([head[0] ^ (mask[0] & 0x0F)])
    number = bytes(a ^ b for a, b in zip(head[-4:], mask[1:5], strict=True))
    return first + head[1:-4] + number + sealed


def quic_long(rng: random.Random, first: int) -> bytes:
    """A long-header packet of the server's (0xC0 Initial, 0xE0 Handshake) of 600 bytes, protected payload."""
    head = bytes([first | rng.randrange(4)]) + b"\x00\x00\x00\x01" + _vector(rng.randbytes(8), 1) + _vector(rng.randbytes(8), 1)
    head += b"\x00" if first == 0xC0 else b""
    rest = 600 - len(head) - 2
    return head + struct.pack(">H", 0x4000 | rest) + rng.randbytes(rest)


def _expand(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label of TLS 1.3 (RFC 8446, 7.1) for at most 32 bytes."""
    info = struct.pack(">H", size) + _vector(b"tls13 " + label, 1) + b"\0"
    return hmac.new(secret, info + b"\x01", hashlib.sha256).digest()[:size]
