//! What the sessions of P1 say: the mix of protocols, and the turns of each.

use crate::hello;
use crate::mixed::outside;
use crate::random::Random;

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Tls,
    StartTls,
    Ssh,
    Ftp,
    Http,
    Plain,
    Dns,
    Quic,
    Ntp,
    Scan,
}

/// Share of all sessions, port, what is spoken.
pub const MIX: [(f64, u16, Kind); 16] = [
    (0.44, 443, Kind::Tls),
    (0.015, 22, Kind::Ssh),
    (0.015, 587, Kind::StartTls),
    (0.01, 465, Kind::Tls),
    (0.01, 993, Kind::Tls),
    (0.005, 990, Kind::Tls),
    (0.01, 8443, Kind::Tls),
    (0.005, 21, Kind::Ftp),
    (0.03, 445, Kind::Plain),
    (0.005, 3389, Kind::Plain),
    (0.07, 80, Kind::Http),
    (0.22, 53, Kind::Dns),
    (0.03, 443, Kind::Quic),
    (0.03, 123, Kind::Ntp),
    (0.06, 22, Kind::Scan),
    (0.045, 3306, Kind::Scan),
];

/// Bytes one side sends: some of its own, then as many as asked for of noise.
pub struct Turn {
    pub to_server: bool,
    pub head: Vec<u8>,
    pub bulk: usize,
}

pub fn turns(kind: Kind, random: &mut Random) -> Vec<Turn> {
    let say = |to_server: bool, head: &[u8]| Turn { to_server, head: head.to_vec(), bulk: 0 };
    let mut turns = Vec::new();
    match kind {
        Kind::Tls => {}
        Kind::StartTls => turns.extend([
            say(false, b"220 mail.example.net ESMTP\r\n"),
            say(true, b"EHLO client.example.org\r\n"),
            say(false, b"250-mail.example.net\r\n250-STARTTLS\r\n250 8BITMIME\r\n"),
            say(true, b"STARTTLS\r\n"),
            say(false, b"220 2.0.0 Ready to start TLS\r\n"),
        ]),
        Kind::Ssh => {
            let (client, server) = (hello::ssh_banner(random, true), hello::ssh_banner(random, false));
            let (first, second) = (hello::ssh_kexinit(random), hello::ssh_kexinit(random));
            turns.extend([say(true, &client), say(false, &server), say(true, &first), say(false, &second)]);
        }
        Kind::Ftp => turns.extend([
            say(false, b"220 files.example.net\r\n"),
            say(true, b"USER drop\r\n"),
            say(false, b"331 Password required\r\n"),
            say(true, b"PASS guest\r\n"),
            say(false, b"230 Logged in\r\n"),
            say(true, b"PASV\r\n"),
            say(false, b"227 Entering Passive Mode (203,0,113,5,156,64)\r\n"),
        ]),
        Kind::Http => turns.push(say(true, b"GET /index.html HTTP/1.1\r\nHost: www.example.net\r\nUser-Agent: bench/1.0\r\n\r\n")),
        Kind::Dns => {
            let mut query = random.next().to_be_bytes()[..2].to_vec();
            query.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
            for label in hello::name(random).split('.') {
                query.push(label.len() as u8);
                query.extend_from_slice(label.as_bytes());
            }
            query.extend_from_slice(&[0, 0, 1, 0, 1]);
            let mut answer = query.clone();
            answer[2] = 0x81;
            answer[3] = 0x80;
            answer[7] = 1;
            answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4]);
            answer.extend_from_slice(&outside(random, false)[..4]);
            turns.extend([say(true, &query), say(false, &answer)]);
        }
        Kind::Ntp => turns.extend([Turn { to_server: true, head: vec![0x23; 48], bulk: 0 }, Turn { to_server: false, head: vec![0x24; 48], bulk: 0 }]),
        Kind::Quic => turns.push(say(true, hello::QUIC_INITIAL)),
        Kind::Plain => turns.push(say(true, b"\x00\x00\x00\x54\xfeSMB@\x00")),
        Kind::Scan => return turns,
    }
    if matches!(kind, Kind::Tls | Kind::StartTls) {
        let name = hello::name(random);
        let modern = random.chance(0.75);
        turns.push(Turn { to_server: true, head: hello::client_hello(random, &name), bulk: 0 });
        turns.push(Turn { to_server: false, head: hello::server_hello(random, modern), bulk: 0 });
        turns.push(Turn { to_server: true, head: vec![20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 53], bulk: 53 });
    }
    if matches!(kind, Kind::Dns | Kind::Ntp) {
        return turns;
    }
    let upload = random.chance(0.03);
    let rounds = 1 + random.below(5);
    for _ in 0..rounds {
        let up = random.size(if upload { 45_000.0 } else { 900.0 }, 1.0) as usize;
        let down = random.size(if upload { 400.0 } else { 3_000.0 }, 1.15) as usize;
        for (to_server, bulk) in [(true, up.clamp(40, 4_000_000)), (false, down.clamp(40, 8_000_000))] {
            let head = if matches!(kind, Kind::Tls | Kind::StartTls) { hello::data_record(bulk) } else { Vec::new() };
            turns.push(Turn { to_server, head, bulk });
        }
    }
    turns
}
