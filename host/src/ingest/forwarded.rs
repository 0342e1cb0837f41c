//! Whose request it is, behind proxies: `Forwarded` (RFC 7239) and `X-Forwarded-For`.
//!
//! Pure, and made for hostile input. A header is believed as far as trusted proxies wrote it:
//! each adds to the right, so it is read from the right, until an address that is not a
//! trusted proxy's. What stands left of that anybody may have written. Where reading ends
//! because something is not an address (`unknown`, `_hidden`, nonsense), the last address
//! that is known counts: a proxy's, which no list of senders has.

use std::net::{IpAddr, SocketAddr};

use super::address::Networks;

/// Proxies that a request may have passed.
const HOPS_MAX: usize = 32;

/// The address that a request came from, given whom we spoke to and the lines of both
/// headers, in their order.
///
/// A proxy that writes one of the headers passes on what a sender wrote into the other.
/// Where both are there and name different addresses, neither is believed.
pub fn client<'h>(
    peer: IpAddr,
    trusted: &Networks,
    forwarded: impl DoubleEndedIterator<Item = &'h [u8]>,
    x_forwarded_for: impl DoubleEndedIterator<Item = &'h [u8]>,
) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted.contains(peer) {
        return peer;
    }
    let forwarded = walk(peer, trusted, forwarded, elements);
    let x_forwarded_for = walk(peer, trusted, x_forwarded_for, addresses);
    match (forwarded, x_forwarded_for) {
        (None, None) => peer,
        (Some(one), None) | (None, Some(one)) => one,
        (Some(one), Some(other)) if one == other => one,
        (Some(_), Some(_)) => peer,
    }
}

/// Follows one header from the right; none if it is not there.
fn walk<'h>(
    peer: IpAddr,
    trusted: &Networks,
    lines: impl DoubleEndedIterator<Item = &'h [u8]>,
    read: impl Fn(&str) -> Vec<Option<IpAddr>>,
) -> Option<IpAddr> {
    let mut last = None;
    let mut hops = 0;
    for line in lines.rev() {
        let known = *last.get_or_insert(peer);
        let Ok(line) = std::str::from_utf8(line) else {
            return Some(known);
        };
        for hop in read(line).into_iter().rev() {
            hops += 1;
            let Some(address) = hop.filter(|_| hops <= HOPS_MAX) else {
                return last;
            };
            last = Some(address);
            if !trusted.contains(address) {
                return last;
            }
        }
    }
    last
}

/// The addresses of an `X-Forwarded-For` line; none for what is not one.
fn addresses(line: &str) -> Vec<Option<IpAddr>> {
    line.split(',').map(|text| node(text.trim())).collect()
}

/// The `for` of each element of a `Forwarded` line; none where there is none. A line that
/// breaks the grammar is one element without: its quotes may be a sender's, meant to swallow
/// what a proxy added.
fn elements(line: &str) -> Vec<Option<IpAddr>> {
    read_elements(line).unwrap_or_else(|| vec![None])
}

fn read_elements(line: &str) -> Option<Vec<Option<IpAddr>>> {
    let mut elements = Vec::new();
    let mut rest = line;
    loop {
        let (address, after) = element(rest)?;
        elements.push(address);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None => return Some(elements),
        }
    }
}

/// One element, up to the comma behind it or the end: its `for`, and what is left.
fn element(text: &str) -> Option<(Option<IpAddr>, &str)> {
    let mut rest = text.trim_start_matches(is_space);
    let mut found: Option<Option<IpAddr>> = None;
    loop {
        // Empty pairs are allowed, as in `for=a;;by=b`.
        if !rest.starts_with([';', ',']) && !rest.is_empty() {
            let (name, value) = rest.split_once('=')?;
            if name.is_empty() || !name.bytes().all(is_token) {
                return None;
            }
            let (value, after) = pair_value(value)?;
            if name.eq_ignore_ascii_case("for") {
                // Twice is not once: which of them the proxy wrote, nobody knows.
                found = Some(if found.is_some() { None } else { node(&value) });
            }
            rest = after.trim_start_matches(is_space);
        }
        match rest.strip_prefix(';') {
            Some(after) => rest = after.trim_start_matches(is_space),
            None if rest.is_empty() || rest.starts_with(',') => {
                return Some((found.flatten(), rest));
            }
            None => return None,
        }
    }
}

/// A token or a quoted text, and what is left.
fn pair_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        // Ports and IPv6 are to be quoted; not every proxy does.
        let is_ours = |byte: u8| is_token(byte) || b":[]".contains(&byte);
        let end = text.bytes().position(|byte| !is_ours(byte));
        let (value, rest) = text.split_at(end.unwrap_or(text.len()));
        return (!value.is_empty()).then(|| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// The address in `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or
/// `[2001:db8::1]:80`; a port may be hidden (`_http`).
fn node(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip().to_canonical());
    }
    let (address, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (address, port) = bracketed.split_once(']')?;
            let address: std::net::Ipv6Addr = address.parse().ok()?;
            (
                IpAddr::V6(address),
                port.strip_prefix(':').or(port.is_empty().then_some("_"))?,
            )
        }
        None => {
            let (address, port) = text.split_once(':')?;
            (IpAddr::V4(address.parse().ok()?), port)
        }
    };
    let is_hidden = |port: &str| port.starts_with('_') && port.bytes().all(is_token);
    is_hidden(port).then(|| address.to_canonical())
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_space(c: char) -> bool {
    c == ' ' || c == '\t'
}

#[cfg(test)]
mod tests;
