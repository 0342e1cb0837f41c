//! How the public address is reached: as senders know it, through which proxies, by whom.

use crate::ingest::address::{Network, Networks};

use super::provider::OwnProviders;
use super::reader::Table;

/// `public_url`: scheme, host and maybe a path.
pub(super) fn url(table: &mut Table<'_>) -> Option<String> {
    let text = table.string("public_url")?;
    let is_base = url::Url::parse(&text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if !is_base {
        let problem = format_args!("`{text}` is not of the form https://host or https://host/path");
        table.problem("public_url", problem);
        return None;
    }
    Some(text.trim_end_matches('/').to_owned())
}

/// `trusted_proxies`: whose word on addresses counts.
pub(super) fn trusted_proxies(table: &mut Table<'_>) -> Networks {
    let texts = table.strings("trusted_proxies");
    let read = texts.iter();
    read.filter_map(|text| table.noted("trusted_proxies", text.parse::<Network>()))
        .collect()
}

/// A source's `allow_ips`: who may send; none is everybody.
///
/// An entry is a network, or the name of a provider that publishes its addresses.
pub(super) fn allow_ips(table: &mut Table<'_>, own: &OwnProviders) -> Option<Networks> {
    if !table.has("allow_ips") {
        return None;
    }
    let texts = table.strings("allow_ips");
    if texts.is_empty() {
        table.problem("allow_ips", "is empty, which would refuse everybody");
    }
    let mut allowed = Networks::default();
    for text in &texts {
        match (text.parse::<Network>(), own.addresses(text)) {
            (Ok(network), _) => allowed.extend([network]),
            (Err(_), Some(published)) => allowed.extend(published.iter().copied()),
            (Err(error), None) => table.problem(
                "allow_ips",
                format_args!("{error}, nor a provider whose addresses are known"),
            ),
        }
    }
    Some(allowed)
}
