//! The published keys of QUIC's Initial packets (RFC 9001 5.2, RFC 9369), and what they open.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes_gcm::Aes128Gcm;
use aes_gcm::aead::{Aead, Payload};
use hkdf::Hkdf;
use sha2::Sha256;

use super::Packet;
use crate::hello::bytes::Bytes;

/// A version whose Initial packets can be opened.
pub(super) struct Version {
    first: u32,
    last: u32,
    salt: [u8; 20],
    /// `quic key`, `quicv2 key` …: the part in front of the space.
    label: &'static str,
    /// The two type bits of an Initial packet.
    pub initial: u8,
}

const SALT_29: [u8; 20] =
    [0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43, 0x90, 0xa8, 0x99];
const SALT_23: [u8; 20] =
    [0xc3, 0xee, 0xf7, 0x12, 0xc7, 0x2e, 0xbb, 0x5a, 0x11, 0xa7, 0xd2, 0x43, 0x2b, 0xb4, 0x63, 0x65, 0xbe, 0xf9, 0xf5, 0x02];
const SALT_1: [u8; 20] = [0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a];
const SALT_2: [u8; 20] = [0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9];
const SALT_T050: [u8; 20] =
    [0x7f, 0xf5, 0x79, 0xe5, 0xac, 0xd0, 0x72, 0x91, 0x55, 0x80, 0x30, 0x4c, 0x43, 0xa2, 0x36, 0x7c, 0x60, 0x48, 0x83, 0x10];
const SALT_T051: [u8; 20] =
    [0x7a, 0x4e, 0xde, 0xf4, 0xe7, 0xcc, 0xee, 0x5f, 0xa4, 0x50, 0x6c, 0x19, 0x12, 0x4f, 0xc8, 0xcc, 0xda, 0x6e, 0x03, 0x3d];

const VERSIONS: &[Version] = &[
    Version { first: 1, last: 1, salt: SALT_1, label: "quic", initial: 0 },
    Version { first: 0x6b33_43cf, last: 0x6b33_43cf, salt: SALT_2, label: "quicv2", initial: 1 },
    Version { first: 0xff00_001d, last: 0xff00_0020, salt: SALT_29, label: "quic", initial: 0 },
    Version { first: 0xff00_0017, last: 0xff00_001c, salt: SALT_23, label: "quic", initial: 0 },
    // Facebook's stack with draft 27.
    Version { first: 0xface_b002, last: 0xface_b002, salt: SALT_23, label: "quic", initial: 0 },
    // Google's T050 and T051: its own wire image with the TLS handshake.
    Version { first: 0x5430_3530, last: 0x5430_3530, salt: SALT_T050, label: "quic", initial: 0 },
    Version { first: 0x5430_3531, last: 0x5430_3531, salt: SALT_T051, label: "quic", initial: 0 },
];


pub(super) struct Keys {
    pub key: [u8; 16],
    pub iv: [u8; 12],
    pub header: [u8; 16],
}

impl Keys {
    /// The client's Initial keys for a destination connection id.
    pub fn derive(version: &Version, id: &[u8]) -> Option<Self> {
        let initial = Hkdf::<Sha256>::new(Some(&version.salt), id);
        let mut secret = [0; 32];
        expand(&initial, "client in", &mut secret)?;
        let client = Hkdf::<Sha256>::from_prk(&secret).ok()?;
        let mut keys = Self { key: [0; 16], iv: [0; 12], header: [0; 16] };
        expand(&client, &format!("{} key", version.label), &mut keys.key)?;
        expand(&client, &format!("{} iv", version.label), &mut keys.iv)?;
        expand(&client, &format!("{} hp", version.label), &mut keys.header)?;
        Some(keys)
    }

    /// The frames of a packet; `None` where these are not its keys.
    pub fn open(&self, packet: &Packet<'_>) -> Option<Vec<u8>> {
        let mut left = Bytes::new(packet.bytes);
        let head = left.take(packet.number_at)?;
        let mut sampled = left;
        sampled.take(4)?;
        let mut mask = [0; 16];
        mask.copy_from_slice(sampled.take(16)?);
        encrypt(&self.header, &mut mask);
        let [first_mask, number_mask @ ..] = mask;
        let (first, head) = head.split_first()?;
        let first = first ^ first_mask & 0x0f;
        let sealed_number = left.take(usize::from(first & 3) + 1)?;
        let number: Vec<u8> = sealed_number.iter().zip(number_mask).map(|(byte, mask)| byte ^ mask).collect();
        let mut nonce = self.iv;
        nonce.iter_mut().rev().zip(number.iter().rev()).for_each(|(byte, part)| *byte ^= part);
        if !packet.complete {
            return Some(self.open_cut(nonce, left.rest()));
        }
        let header = [&[first], head, &number].concat();
        let payload = Payload { msg: left.rest(), aad: &header };
        Aes128Gcm::new(&self.key.into()).decrypt(&nonce.into(), payload).ok()
    }

    /// What a cut packet still shows. Its tag is gone, so nothing vouches for it but that frames can be read.
    fn open_cut(&self, nonce: [u8; 12], sealed: &[u8]) -> Vec<u8> {
        let mut open = sealed.to_vec();
        for (counter, chunk) in (2_u32..).zip(open.chunks_mut(16)) {
            let mut block = [0; 16];
            let counted = nonce.iter().copied().chain(counter.to_be_bytes());
            block.iter_mut().zip(counted).for_each(|(to, from)| *to = from);
            encrypt(&self.key, &mut block);
            chunk.iter_mut().zip(block).for_each(|(byte, pad)| *byte ^= pad);
        }
        open
    }
}

pub(super) fn encrypt(key: &[u8; 16], block: &mut [u8; 16]) {
    Aes128::new(&(*key).into()).encrypt_block(block.into());
}

/// HKDF-Expand-Label of TLS 1.3 (RFC 8446 7.1) with an empty context.
fn expand(from: &Hkdf<Sha256>, label: &str, into: &mut [u8]) -> Option<()> {
    let length = u16::try_from(into.len()).ok()?.to_be_bytes();
    let label_length = [u8::try_from(label.len() + 6).ok()?];
    from.expand_multi_info(&[&length, &label_length, b"tls13 ", label.as_bytes(), &[0]], into).ok()
}


pub(super) fn find(version: u32) -> Option<&'static Version> {
    VERSIONS.iter().find(|known| (known.first..=known.last).contains(&version))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may fail
pub(super) mod tests {
    use super::*;
    use crate::hello::bytes::hex;

    pub const ID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

    pub fn keys(version: u32) -> Keys {
        Keys::derive(find(version).unwrap(), &ID).unwrap()
    }

    #[test]
    fn keys_are_those_of_rfc_9001_and_rfc_9369() {
        let told = |version| {
            let keys = keys(version);
            [hex(&keys.key), hex(&keys.iv), hex(&keys.header)]
        };
        assert_eq!(told(1), ["1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c", "9f50449e04a0e810283a1e9933adedd2"]);
        assert_eq!(told(0x6b33_43cf), ["8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f", "45b95e15235d6f45a6b19cbcb0294ba9"]);
    }
}
