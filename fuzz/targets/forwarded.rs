//! The headers that proxies write: nothing panics, and what no trusted proxy wrote counts
//! for nothing.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use hookbay::ingest::address::Networks;
use hookbay::ingest::forwarded::client;
use libfuzzer_sys::fuzz_target;

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

static TRUSTED: LazyLock<Networks> = LazyLock::new(|| {
    let networks = ["10.0.0.0/8", "fd00::/8"];
    networks
        .iter()
        .map(|text| text.parse().expect("it is a network"))
        .collect()
});

fuzz_target!(|input: &[u8]| {
    // Lines; an empty one parts one header from the other.
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let middle = lines
        .iter()
        .position(|line| line.is_empty())
        .unwrap_or(lines.len());
    let (forwarded, x_forwarded_for) = lines.split_at(middle);
    let ask = |peer| {
        client(
            peer,
            &TRUSTED,
            forwarded.iter().copied(),
            x_forwarded_for.iter().copied().skip(1),
        )
    };
    assert_eq!(ask(STRANGER), STRANGER, "a stranger speaks for itself");
    let told = ask(PROXY);
    // Whatever stands left of a line that our own proxy has added changes nothing.
    let own: &[u8] = b"198.51.100.7";
    let with_own = client(
        PROXY,
        &TRUSTED,
        std::iter::empty::<&[u8]>(),
        x_forwarded_for.iter().copied().chain([own]),
    );
    assert_eq!(with_own, IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)));
    assert_eq!(told, told.to_canonical());
});
