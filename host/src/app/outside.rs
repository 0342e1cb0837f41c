//! What the door fetches from the internet goes through the guard that plugins' calls go
//! through: neither knows the other, both are known here.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use url::Url;

use crate::ingest::{Fetch, NotFetched};
use crate::plugin::egress::Network;

/// The internet, guarded.
pub(super) struct Outside(pub(super) Network);

impl Fetch for Outside {
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Bytes, NotFetched>> {
        Box::pin(async move {
            let got = self.0.get(url).await;
            got.map_err(|error| NotFetched(error.to_string()))
        })
    }
}
