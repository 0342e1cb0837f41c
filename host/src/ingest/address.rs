//! Networks of addresses: who may send to a source, and whose word on addresses counts.
//!
//! Pure. An IPv4 address that comes in the clothes of IPv6 (`::ffff:192.0.2.1`, RFC 4291
//! section 2.5.5.2) is that IPv4 address, here and wherever addresses are compared.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// Addresses that begin alike: CIDR (RFC 4632), or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its first address.
    first: IpAddr,
    /// How many bits all its addresses have in common.
    bits: u8,
}

/// Any number of networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

/// Why a text is not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address nor a network such as `203.0.113.0/24` or `2001:db8::/32`")]
pub struct NetworkError(String);

/// What is counted as one host: an IPv4 address, or the /64 that one IPv6 host has to itself.
pub fn one_host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let subnet = u128::from(address) >> 64 << 64;
            IpAddr::V6(subnet.into())
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Network {
    /// Whether an address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let differing = u32::from(first) ^ u32::from(address);
                differing.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let differing = u128::from(first) ^ u128::from(address);
                differing.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// The network of an address and those that have its first `bits` in common.
    fn around(address: IpAddr, bits: u8) -> Option<Self> {
        let mapped = |address: Ipv6Addr| Some((address.to_ipv4_mapped()?, bits.checked_sub(96)?));
        let first = match address {
            IpAddr::V4(_) if bits > 32 => return None,
            IpAddr::V6(_) if bits > 128 => return None,
            IpAddr::V4(address) => {
                let host = u32::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
                IpAddr::V4((u32::from(address) & !host).into())
            }
            IpAddr::V6(address) => match mapped(address) {
                Some((address, bits)) => return Self::around(address.into(), bits),
                None => {
                    let host = u128::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
                    IpAddr::V6((u128::from(address) & !host).into())
                }
            },
        };
        Some(Self { first, bits })
    }
}

impl Networks {
    /// Whether an address is in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Network> {
        self.0.iter()
    }
}

impl Extend<Network> for Networks {
    fn extend<I: IntoIterator<Item = Network>>(&mut self, networks: I) {
        self.0.extend(networks);
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// `ADDRESS` or `ADDRESS/BITS`; of the address only these bits count.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let read = || {
            let Some((address, bits)) = text.split_once('/') else {
                let address: IpAddr = text.parse().ok()?;
                return Self::around(address, if address.is_ipv4() { 32 } else { 128 });
            };
            let is_number = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
            let bits = is_number.then(|| bits.parse().ok())??;
            Self::around(address.parse().ok()?, bits)
        };
        read().ok_or_else(|| NetworkError(text.to_owned()))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.bits) {
            (IpAddr::V4(_), 32) | (IpAddr::V6(_), 128) => self.first.fmt(f),
            (first, bits) => write!(f, "{first}/{bits}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Network;

    #[test]
    fn networks_hold_what_begins_alike() {
        for (network, inside, outside) in [
            ("203.0.113.0/24", "203.0.113.255", "203.0.114.0"),
            ("203.0.113.7/24", "203.0.113.0", "203.0.112.255"),
            ("203.0.113.7", "203.0.113.7", "203.0.113.6"),
            ("203.0.113.7/32", "::ffff:203.0.113.7", "::ffff:203.0.113.6"),
            ("10.128.0.0/9", "10.255.1.1", "10.127.255.255"),
            ("0.0.0.0/0", "255.1.2.3", "::1"),
            ("::ffff:192.0.2.0/120", "192.0.2.9", "192.0.3.9"),
            ("::ffff:192.0.2.9", "192.0.2.9", "::192.0.2.9"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
            ("2001:db8:8000::/33", "2001:db8:8000::", "2001:db8:7fff::"),
            ("::/0", "2001::", "1.2.3.4"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{network}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{network}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed), "{network}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in [
            "",
            "/",
            "/8",
            "10",
            "10.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0.0/ 8",
            "010.0.0.1",
            "10.0.0.256",
            "::/129",
            "2001:db8::/256",
            "[::1]",
            "localhost",
            "fe80::1%eth0",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
