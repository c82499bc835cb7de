//! Addresses as numbers.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::super::quick;

/// Addresses as numbers: IPv4 is one, others are counted from 2^32 on.
#[derive(Default)]
pub struct Words {
    words: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u64>,
}

const V4: u64 = 1 << 32;

impl Words {
    pub fn number(&mut self, word: &str) -> u64 {
        if let Some(address) = quick::ipv4(word.as_bytes()) {
            return address.into();
        }
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let number = V4 + self.words.len() as u64;
        let word: Arc<str> = word.into();
        self.words.push(Arc::clone(&word));
        self.numbers.insert(word, number);
        number
    }

    pub fn write(&self, number: u64, out: &mut String) {
        match u32::try_from(number) {
            Ok(address) => drop(write!(out, "{}", Ipv4Addr::from(address))),
            Err(_) => out.push_str(usize::try_from(number - V4).ok().and_then(|at| self.words.get(at)).map_or("", |word| word)),
        }
    }
}
