//! Certificates that senders name, fetched from the senders' own hosts.
//!
//! A scheme says which address it needs, and has checked that it is of the sender's hosts; a
//! fragment names one of the certificates that are there. What is fetched is kept for a day. One
//! fetch serves all who wait for it. What cannot be had is not asked for again for a while, and
//! few fetches go on at once: whoever names addresses that lead nowhere costs nobody else
//! anything, since what is known stays, and is used for some days more where it cannot be
//! fetched again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;
use url::Url;

use crate::clock::{Clock, Timestamp};
use crate::public_key::PublicKey;

/// Addresses that are remembered.
const KNOWN_MAX: usize = 128;
/// Fetches at once.
const AT_ONCE: usize = 8;
/// How long a certificate is used before it is fetched again.
const FRESH: Duration = Duration::from_hours(24);
/// How long one is used that cannot be fetched again.
const KEPT: Duration = Duration::from_hours(24 * 7);
/// How long an address is left alone that had none, or not the one of a name.
const LEFT_ALONE: Duration = Duration::from_secs(20);

/// Gets things from the internet, guarded: no private address, no redirect, bounded in size
/// and time.
pub trait Fetch: Send + Sync {
    /// The body of a successful answer to GET.
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Bytes, NotFetched>>;
}

/// Why there is nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotFetched(pub String);

/// What was fetched.
pub struct Fetched {
    fetch: Arc<dyn Fetch>,
    clock: Clock,
    known: Mutex<HashMap<String, Arc<Entry>>>,
}

/// The keys of the certificates at an address by their names; of a single one the empty name.
type Keys = Arc<BTreeMap<String, PublicKey>>;

struct Entry {
    began: Timestamp,
    /// None if there are none; empty while they are fetched.
    found: OnceCell<Option<Keys>>,
    /// What was fetched before, and when.
    before: Option<(Keys, Timestamp)>,
}

impl Fetched {
    /// Nothing yet.
    pub fn new(fetch: Arc<dyn Fetch>, clock: Clock) -> Self {
        Self {
            fetch,
            clock,
            known: Mutex::default(),
        }
    }

    /// The key of the certificate at an address that a scheme approves of; none if it cannot
    /// be had now.
    pub(super) async fn key(&self, url: &str) -> Option<PublicKey> {
        let (address, name) = url.split_once('#').unwrap_or((url, ""));
        let entry = self.entry(address, name)?;
        let found = entry.found.get_or_init(|| async {
            match self.fetch_keys(address).await {
                Ok(keys) => Some(keys),
                Err(error) => {
                    tracing::warn!(url = address, %error, "a sender's certificate cannot be had now");
                    None
                }
            }
        });
        let before = || entry.before.as_ref().map(|(keys, _)| Arc::clone(keys));
        let keys = found.await.clone().or_else(before)?;
        keys.get(name).cloned()
    }

    /// Asks an address for something, whatever the answer's body is.
    pub(super) async fn visit(&self, url: &Url) -> Result<(), NotFetched> {
        self.fetch.get(url).await.map(drop)
    }

    async fn fetch_keys(&self, address: &str) -> Result<Keys, NotFetched> {
        let parsed = Url::parse(address).map_err(|error| NotFetched(error.to_string()))?;
        let keys = keys(&self.fetch.get(&parsed).await?);
        match keys.is_empty() {
            false => Ok(Arc::new(keys)),
            true => Err(NotFetched(
                "it is no certificate with a key of a known kind".to_owned(),
            )),
        }
    }

    /// What is known of an address, or will be once its fetch has ended; none if too many
    /// are fetched.
    fn entry(&self, url: &str, name: &str) -> Option<Arc<Entry>> {
        let now = self.clock.now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known.get(url)
            && !entry.is_over(now, Some(name))
        {
            return Some(Arc::clone(entry));
        }
        let over = known.get(url).cloned();
        let before = over.as_ref().and_then(|entry| entry.last(now));
        let fetching = known.values().filter(|entry| entry.found.get().is_none());
        if fetching.count() >= AT_ONCE {
            return over.filter(|_| before.is_some());
        }
        if known.len() >= KNOWN_MAX {
            known.retain(|_, entry| !entry.is_over(now, None) || entry.last(now).is_some());
        }
        if known.len() >= KNOWN_MAX {
            // What was found goes last.
            let least = known
                .iter()
                .filter(|(_, entry)| entry.found.get().is_some())
                .min_by_key(|(_, entry)| (entry.is_found(), entry.began));
            let least = least.map(|(url, _)| url.clone())?;
            known.remove(&least);
        }
        let entry = Arc::new(Entry {
            began: now,
            found: OnceCell::new(),
            before,
        });
        known.insert(url.to_owned(), Arc::clone(&entry));
        Some(entry)
    }
}

/// The keys of what is at an address: a certificate in PEM, or a JSON object of such by name.
fn keys(body: &[u8]) -> BTreeMap<String, PublicKey> {
    let pem = std::str::from_utf8(body).ok();
    if let Some(key) = pem.and_then(PublicKey::of_certificate) {
        return BTreeMap::from([(String::new(), key)]);
    }
    let by_name: HashMap<String, String> = serde_json::from_slice(body).unwrap_or_default();
    let keys = by_name.into_iter().filter_map(|(name, pem)| {
        let key = PublicKey::of_certificate(&pem)?;
        Some((name, key))
    });
    keys.collect()
}

impl Entry {
    fn is_found(&self) -> bool {
        matches!(self.found.get(), Some(Some(_))) || self.before.is_some()
    }

    /// What was fetched last, unless that is too long ago.
    fn last(&self, now: Timestamp) -> Option<(Keys, Timestamp)> {
        let last = match self.found.get() {
            Some(Some(keys)) => Some((Arc::clone(keys), self.began)),
            Some(None) | None => self.before.clone(),
        };
        last.filter(|(_, fetched_at)| now.since(*fetched_at) < KEPT)
    }

    /// Whether it is to be fetched again, or would be for the certificate of a name.
    fn is_over(&self, now: Timestamp, name: Option<&str>) -> bool {
        let age = now.since(self.began);
        match self.found.get() {
            None => false,
            Some(Some(keys)) if name.is_none_or(|name| keys.contains_key(name)) => age >= FRESH,
            Some(_) => age >= LEFT_ALONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::{AT_ONCE, KNOWN_MAX};
    use super::{Arc, BoxFuture, Bytes, Clock, Fetch, Fetched, Mutex, NotFetched, Timestamp, Url};

    /// Answers once it may: a certificate where the path ends in `good`, and in JSON under a
    /// name where it ends in `many`.
    struct Outside {
        may: Semaphore,
        asked: AtomicUsize,
        is_away: AtomicBool,
        pem: String,
        name: Mutex<&'static str>,
    }

    impl Fetch for Outside {
        fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Bytes, NotFetched>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                let permit = self.may.acquire().await.unwrap();
                permit.forget();
                let is_there = !self.is_away.load(Ordering::SeqCst);
                match url.path() {
                    path if is_there && path.ends_with("good") => Ok(self.pem.clone().into()),
                    "/many" => Ok(serde_json::json!({*self.name.lock().unwrap(): self.pem})
                        .to_string()
                        .into()),
                    _ => Err(NotFetched("nothing is there".to_owned())),
                }
            })
        }
    }

    /// What is fetched, from where, and the milliseconds that its clock shows.
    fn fetched(may: usize) -> (Arc<Fetched>, Arc<Outside>, Arc<AtomicI64>) {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/fixtures/providers/vectors.json"))
                .unwrap();
        let paypal = vectors.as_array().unwrap().iter();
        let paypal = paypal.clone().find(|one| one["provider"] == "paypal");
        let certs = paypal.unwrap()["secrets"][0]["certs"].as_object().unwrap();
        let outside = Arc::new(Outside {
            may: Semaphore::new(may),
            asked: AtomicUsize::new(0),
            is_away: AtomicBool::new(false),
            name: Mutex::new("one"),
            pem: certs.values().next().unwrap().as_str().unwrap().to_owned(),
        });
        let ms = Arc::new(AtomicI64::new(1_700_000_000_000));
        let shown = Arc::clone(&ms);
        let clock = Clock::from_fn(move || Timestamp::from_millis(shown.load(Ordering::SeqCst)));
        let fetch: Arc<dyn Fetch> = Arc::clone(&outside) as Arc<dyn Fetch>;
        (Arc::new(Fetched::new(fetch, clock)), outside, ms)
    }

    #[tokio::test]
    async fn one_fetch_serves_all_and_lasts_a_day() {
        let (fetched, outside, ms) = fetched(0);
        let waiting: Vec<_> = (0..10)
            .map(|_| {
                let fetched = Arc::clone(&fetched);
                tokio::spawn(async move { fetched.key("https://h/good").await })
            })
            .collect();
        outside.may.add_permits(1);
        for one in waiting {
            assert!(one.await.unwrap().is_some());
        }
        assert_eq!(outside.asked.load(Ordering::SeqCst), 1);
        ms.fetch_add(24 * 3_600_000 - 1, Ordering::SeqCst);
        assert!(fetched.key("https://h/good").await.is_some());
        assert_eq!(outside.asked.load(Ordering::SeqCst), 1);
        ms.fetch_add(1, Ordering::SeqCst);
        outside.may.add_permits(1);
        assert!(fetched.key("https://h/good").await.is_some());
        assert_eq!(outside.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn one_of_several_is_named_and_strangers_names_have_little_fetched() {
        let (fetched, outside, ms) = fetched(10);
        for (url, is_there) in [
            ("https://h/many#one", true),
            ("https://h/many#two", false),
            ("https://h/many#three", false),
            ("https://h/many", false),
            ("https://h/good", true),
            ("https://h/good#one", false),
        ] {
            assert_eq!(fetched.key(url).await.is_some(), is_there, "{url}");
        }
        assert_eq!(outside.asked.load(Ordering::SeqCst), 2);
        // There may be a new one; and one that is withdrawn is used no more.
        ms.fetch_add(20_000, Ordering::SeqCst);
        *outside.name.lock().unwrap() = "two";
        assert!(fetched.key("https://h/many#two").await.is_some());
        assert!(fetched.key("https://h/many#one").await.is_none());
        assert_eq!(outside.asked.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn what_is_not_there_is_left_alone_and_displaces_nothing() {
        let (fetched, outside, ms) = fetched(10_000);
        assert!(fetched.key("https://h/good").await.is_some());
        for _ in 0..3 {
            assert!(fetched.key("https://h/bad").await.is_none());
        }
        assert_eq!(outside.asked.load(Ordering::SeqCst), 2);
        ms.fetch_add(20_000, Ordering::SeqCst);
        assert!(fetched.key("https://h/bad").await.is_none());
        assert_eq!(outside.asked.load(Ordering::SeqCst), 3);
        for n in 0..2 * KNOWN_MAX {
            assert!(fetched.key(&format!("https://h/{n}")).await.is_none());
        }
        let asked = outside.asked.load(Ordering::SeqCst);
        assert!(fetched.key("https://h/good").await.is_some());
        assert_eq!(outside.asked.load(Ordering::SeqCst), asked);
        assert!(fetched.known.lock().unwrap().len() <= KNOWN_MAX);
    }

    #[tokio::test]
    async fn what_cannot_be_fetched_again_is_used_some_days_more() {
        const DAY_MS: i64 = 24 * 3_600_000;
        let (fetched, outside, ms) = fetched(1);
        assert!(fetched.key("https://h/good").await.is_some());
        // Others take every place, and nothing comes for a day.
        let waiting: Vec<_> = (0..AT_ONCE)
            .map(|n| {
                let fetched = Arc::clone(&fetched);
                tokio::spawn(async move { fetched.key(&format!("https://h/{n}")).await })
            })
            .collect();
        while outside.asked.load(Ordering::SeqCst) < 1 + AT_ONCE {
            tokio::task::yield_now().await;
        }
        ms.fetch_add(DAY_MS, Ordering::SeqCst);
        assert!(fetched.key("https://h/good").await.is_some());
        assert_eq!(outside.asked.load(Ordering::SeqCst), 1 + AT_ONCE);
        outside.may.add_permits(AT_ONCE);
        for one in waiting {
            assert!(one.await.unwrap().is_none());
        }
        // Then it is not there any more, and strangers name more than can be known.
        outside.is_away.store(true, Ordering::SeqCst);
        outside.may.add_permits(2 * KNOWN_MAX);
        for n in 0..2 * KNOWN_MAX {
            assert!(fetched.key(&format!("https://h/{n}/other")).await.is_none());
        }
        for (later_ms, is_used) in [(0, true), (DAY_MS, true), (5 * DAY_MS, false)] {
            outside.may.add_permits(1);
            ms.fetch_add(later_ms, Ordering::SeqCst);
            let asked = outside.asked.load(Ordering::SeqCst);
            assert_eq!(fetched.key("https://h/good").await.is_some(), is_used);
            assert_eq!(outside.asked.load(Ordering::SeqCst), asked + 1);
        }
    }

    #[tokio::test]
    async fn few_are_fetched_at_once() {
        let (fetched, outside, _) = fetched(0);
        let waiting: Vec<_> = (0..AT_ONCE)
            .map(|n| {
                let fetched = Arc::clone(&fetched);
                tokio::spawn(async move { fetched.key(&format!("https://h/{n}/good")).await })
            })
            .collect();
        while outside.asked.load(Ordering::SeqCst) < AT_ONCE {
            tokio::task::yield_now().await;
        }
        assert!(fetched.key("https://h/good").await.is_none());
        outside.may.add_permits(AT_ONCE + 1);
        for one in waiting {
            assert!(one.await.unwrap().is_some());
        }
        assert!(fetched.key("https://h/good").await.is_some());
    }
}
