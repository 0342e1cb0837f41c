//! Which addresses are public; pure.
//!
//! What is not known to be public is not: of IPv6 only the global unicast range is let
//! through, and of that not the parts that carry an IPv4 address or belong to a registry's
//! special purposes (RFC 6890 and the IANA registries that it founded).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// To the internet.
    Public,
    /// To this machine, its networks, nowhere, or through a tunnel to who knows where.
    Private,
    /// To a cloud's service that gives a machine its own credentials.
    Metadata,
}

/// Special-purpose blocks of IPv4, by address and length of the prefix.
const SPECIAL_V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),       // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // shared by a carrier's customers
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // relays of 6to4
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),     // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),     // reserved, broadcast
];

/// What of IPv6 is global unicast.
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// Special-purpose blocks within it.
const SPECIAL_V6: [(Ipv6Addr, u32); 4] = [
    // Protocol assignments: Teredo, benchmarks, ORCHID.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),     // 6to4
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),     // documentation
];

/// Where clouds serve metadata and credentials to their machines.
const METADATA_V4: [Ipv4Addr; 8] = [
    Ipv4Addr::new(169, 254, 169, 254), // AWS, Google Cloud, Azure and most others
    Ipv4Addr::new(169, 254, 170, 2),   // AWS: containers
    Ipv4Addr::new(169, 254, 170, 23),  // AWS: pods
    Ipv4Addr::new(169, 254, 0, 23),    // Tencent Cloud
    Ipv4Addr::new(169, 254, 42, 42),   // Scaleway
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle Cloud, formerly
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba Cloud
    Ipv4Addr::new(168, 63, 129, 16),   // Azure: the machine's agent; a public address
];
/// The same over IPv6.
const METADATA_V6: [Ipv6Addr; 5] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), // AWS
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),  // AWS: pods
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),  // Google Cloud
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),   // Scaleway
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe), // OpenStack
];

/// Where an address leads.
pub(super) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    if METADATA_V4.contains(&address) {
        Reach::Metadata
    } else if SPECIAL_V4.iter().any(|(block, prefix)| {
        let rest = 32 - prefix;
        address.to_bits() >> rest == block.to_bits() >> rest
    }) {
        Reach::Private
    } else {
        Reach::Public
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    let is_in = |(block, prefix): &(Ipv6Addr, u32)| {
        let rest = 128 - prefix;
        address.to_bits() >> rest == block.to_bits() >> rest
    };
    let leads_to_metadata =
        || carried_v4(address).any(|carried| reach_v4(carried) == Reach::Metadata);
    if METADATA_V6.contains(&address) || leads_to_metadata() {
        Reach::Metadata
    } else if is_in(&GLOBAL_V6) && !SPECIAL_V6.iter().any(is_in) {
        Reach::Public
    } else {
        Reach::Private
    }
}

/// The IPv4 addresses that an IPv6 address leads to by way of a mapping or a tunnel.
fn carried_v4(address: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let last = Ipv4Addr::from_bits(low_32(address.to_bits()));
    let at = |shift: u32| Ipv4Addr::from_bits(low_32(address.to_bits() >> shift));
    let carried = match address.segments() {
        // Compatible, mapped (RFC 4291), translated (RFC 2765).
        [0, 0, 0, 0, 0, 0, _, _]
        | [0, 0, 0, 0, 0, 0xffff, _, _]
        | [0, 0, 0, 0, 0xffff, 0, _, _] => [Some(last), None],
        // NAT64: the well-known prefix (RFC 6052), and a network's own (RFC 8215).
        [0x64, 0xff9b, ..] => [Some(last), None],
        // 6to4 (RFC 3056).
        [0x2002, ..] => [Some(at(80)), None],
        // Teredo (RFC 4380): the server, and the client with its bits inverted.
        [0x2001, 0, ..] => [Some(at(64)), Some(Ipv4Addr::from_bits(!last.to_bits()))],
        _ => [None, None],
    };
    carried.into_iter().flatten()
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the low 32 bits are what is asked for"
)]
const fn low_32(bits: u128) -> u32 {
    bits as u32
}

#[cfg(test)]
mod tests {
    use super::{Reach, reach};

    #[track_caller]
    fn check(expected: Reach, addresses: &[&str]) {
        for address in addresses {
            let found = reach(address.parse().unwrap());
            assert_eq!(found, expected, "{address}");
        }
    }

    #[test]
    fn the_internet_is_public() {
        let v4 = [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
        ];
        check(Reach::Public, &v4);
        let v6 = ["2606:4700::1111", "2a00:1450::1", "2001:200::1", "3ffe::1"];
        check(Reach::Public, &v6);
    }

    #[test]
    fn what_has_a_special_purpose_is_private() {
        let v4 = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.170",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
        ];
        check(Reach::Private, &v4);
        let v6 = [
            "::",
            "::1",
            "::2",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        check(Reach::Private, &v6);
    }

    #[test]
    fn no_form_of_ipv6_leads_to_ipv4() {
        let carriers = [
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:0:127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::10.0.0.1",
            "64:ff9b:1:ffff::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "2001:0:808:808::f5ff:fffe",
        ];
        check(Reach::Private, &carriers);
    }

    #[test]
    fn metadata_is_known_in_each_form() {
        let metadata = [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "169.254.0.23",
            "100.100.100.200",
            "168.63.129.16",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "169.254.42.42",
            "192.0.0.192",
            "fd00:42::42",
            "fe80::a9fe:a9fe",
            "::169.254.169.254",
            "::ffff:169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "2001:0:a9fe:a9fe::1",
            // 169.254.169.254 as a client of Teredo, its bits inverted.
            "2001:0:808:808::5601:5601",
        ];
        check(Reach::Metadata, &metadata);
        check(Reach::Private, &["169.254.169.253", "fd00:ec2::253"]);
    }
}
