//! Which node has which slots: what the nodes say of it, and the slot of a key.

use redis::{Value, cmd};

use crate::connector::Address;
use crate::error::Failure;
use crate::link::Link;

/// How many slots a cluster has.
const SLOTS: u16 = 16_384;

/// First and last slot, and the master that has them.
pub(super) type Range = (u16, u16, Address);

/// The master of a slot, if it is known.
pub(super) fn master_in(ranges: &[Range], slot: u16) -> Option<Address> {
    ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot)).map(|(_, _, address)| address.clone())
}

/// The address in "SLOT HOST:PORT". A node that doesn't know the other's name means its own host.
pub(super) fn moved_to(detail: &str, asked: &Address) -> Option<Address> {
    let (host, port) = detail.split_whitespace().nth(1)?.rsplit_once(':')?;
    let host = if host.is_empty() || host == "?" { &asked.host } else { host };
    Some(Address::new(host, port.parse().ok()?))
}

/// Asks a node which has which slots.
pub(super) async fn ask(link: &Link, asked: &Address) -> Result<Vec<Range>, Failure> {
    let answer = link.send(cmd("CLUSTER").arg("SLOTS")).await?;
    let Value::Array(ranges) = &answer else { return Err(link.odd(&answer)) };
    if ranges.is_empty() {
        return Err(link.odd(&"a cluster without slots"));
    }
    ranges.iter().map(|range| parse(range, asked).ok_or_else(|| link.odd(range))).collect()
}

/// `[first, last, [host, port, ...], ...]`; the first node is the master.
fn parse(range: &Value, asked: &Address) -> Option<Range> {
    let Value::Array(parts) = range else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = parts.as_slice() else { return None };
    let [host, Value::Int(port), ..] = master.as_slice() else { return None };
    let host = match host {
        Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
        Value::SimpleString(host) => host.clone(),
        _ => String::new(),
    };
    // A node that doesn't know its own name is where it was asked.
    let host = if host.is_empty() || host == "?" { asked.host.clone() } else { host };
    Some((u16::try_from(*first).ok()?, u16::try_from(*last).ok()?, Address::new(host, u16::try_from(*port).ok()?)))
}

/// The slot of a key: CRC-16 (XMODEM) of its hash tag, or of all of it.
pub(super) fn slot_of(name: &str) -> u16 {
    let tag = name.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(name);
    let crc = hashed.bytes().fold(0_u16, |crc, byte| {
        (0..8)
            .fold(crc ^ (u16::from(byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // "123456789" has the CRC 0x31C3.
        assert_eq!(slot_of("123456789"), 0x31C3 % SLOTS);
        assert_eq!(slot_of("{123456789}:queue"), 0x31C3 % SLOTS);
        assert_eq!(slot_of("foo"), 12_182);
        assert_ne!(slot_of("{}foo"), slot_of("foo"));
    }

    #[test]
    fn a_redirection_names_a_host_or_means_the_one_that_was_asked() {
        let asked = Address::new("h", 1);
        assert_eq!(moved_to("3999 127.0.0.1:6381", &asked), Some(Address::new("127.0.0.1", 6381)));
        assert_eq!(moved_to("3999 ::1:6381", &asked), Some(Address::new("::1", 6381)));
        assert_eq!(moved_to("3999 :6381", &asked), Some(Address::new("h", 6381)));
        assert_eq!(moved_to("3999", &asked), None);
    }
}
