"""AES-128-GCM in plain Python, for the one packet that QUIC needs sealed. Slow and not hardened: for made-up captures only."""

from __future__ import annotations


def _sbox() -> list[int]:
    """The substitution box: the inverse in GF(2^8), then the affine map (FIPS 197, 5.1.1)."""
    box, p, q = [0x63] * 256, 1, 1
    while True:
        p = p ^ (p << 1) & 0xFF ^ (0x1B if p & 0x80 else 0)
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q &= 0xFF
        q ^= 0x09 if q & 0x80 else 0
        x = q ^ _left(q, 1) ^ _left(q, 2) ^ _left(q, 3) ^ _left(q, 4)
        box[p] = x ^ 0x63
        if p == 1:
            return box


def _left(value: int, by: int) -> int:
    return ((value << by) | (value >> (8 - by))) & 0xFF


SBOX = _sbox()


def schedule(key: bytes) -> list[list[int]]:
    """Eleven round keys of 16 bytes."""
    words = [list(key[at : at + 4]) for at in range(0, 16, 4)]
    power = 1
    for number in range(4, 44):
        word = list(words[-1])
        if number % 4 == 0:
            word = [SBOX[value] for value in word[1:] + word[:1]]
            word[0] ^= power
            power = _double(power)
        words.append([a ^ b for a, b in zip(word, words[number - 4], strict=True)])
    return [[value for word in words[at : at + 4] for value in word] for at in range(0, 44, 4)]


def _double(value: int) -> int:
    return ((value << 1) ^ (0x1B if value & 0x80 else 0)) & 0xFF


def block(keys: list[list[int]], data: bytes) -> bytes:
    """One block encrypted."""
    state = [a ^ b for a, b in zip(data, keys[0], strict=True)]
    for number, key in enumerate(keys[1:], 1):
        state = [SBOX[state[(at + 4 * (at % 4)) % 16]] for at in range(16)]
        if number < 10:
            state = [value for at in range(0, 16, 4) for value in _mix(state[at : at + 4])]
        state = [a ^ b for a, b in zip(state, key, strict=True)]
    return bytes(state)


def _mix(column: list[int]) -> list[int]:
    total = column[0] ^ column[1] ^ column[2] ^ column[3]
    return [value ^ total ^ _double(value ^ column[(at + 1) % 4]) for at, value in enumerate(column)]


def seal(key: bytes, iv: bytes, plain: bytes, extra: bytes) -> bytes:
    """AES-GCM (SP 800-38D) with a 12-byte nonce: ciphertext and its 16-byte tag."""
    keys = schedule(key)
    stream = b"".join(block(keys, iv + (2 + at).to_bytes(4, "big")) for at in range((len(plain) + 15) // 16))
    sealed = bytes(a ^ b for a, b in zip(plain, stream, strict=False))
    h = int.from_bytes(block(keys, bytes(16)), "big")
    total = 0
    for part in (extra, sealed):
        for at in range(0, len(part), 16):
            total = _times(total ^ int.from_bytes(part[at : at + 16].ljust(16, b"\0"), "big"), h)
    total = _times(total ^ ((len(extra) * 8) << 64 | len(sealed) * 8), h)
    return sealed + (total ^ int.from_bytes(block(keys, iv + b"\0\0\0\1"), "big")).to_bytes(16, "big")


def _times(x: int, y: int) -> int:
    """The product in GCM's GF(2^128)."""
    z = 0
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            z ^= y
        y = (y >> 1) ^ (0xE1 << 120 if y & 1 else 0)
    return z
