//! Who may ask what of the admin address: tokens and what they are good for. What every
//! route asks of them is in `guard`.
//!
//! Named tokens are few and kept in memory for [`FRESH`]: one that is revoked stops
//! within that time on every host, at once on the one that revoked it. Answers that are
//! under way stop with it: `lasting`.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::clock::{Clock, Timestamp};
use crate::config::Secret;
use crate::store::{NewChange, Scope, Store, StoreError, TokenRow};

mod guard;
mod lasting;

pub(super) use guard::authenticate;
pub(crate) use guard::{Remote, Routes, Target, administers, operates, reads, reveals};
pub(crate) use lasting::while_good;

/// What every named token begins with, so that scanners for secrets know it.
const TOKEN_PREFIX: &str = "hookbay_";
/// What the token that the host itself has is called.
pub(crate) const BOOTSTRAP: &str = "bootstrap";
/// What signing in to the dashboard is called in the audit log.
const SIGN_IN: &str = "dashboard.sign_in";
/// How long what was read of the tokens counts.
const FRESH: Duration = Duration::from_secs(2);
/// Between two notes that a token was used.
const USED_EVERY: Duration = Duration::from_mins(1);

/// Knows the tokens.
#[derive(Clone)]
pub struct Access(Arc<Inner>);

struct Inner {
    bootstrap: Secret,
    store: Store,
    clock: Clock,
    known: Mutex<Known>,
}

/// The named tokens as last read.
#[derive(Default)]
struct Known {
    tokens: Arc<[TokenRow]>,
    read: Option<Instant>,
    /// How often they have changed: what was begun to be read before a change is old.
    changes: u64,
}

/// Who asks, once a token was shown.
#[derive(Clone)]
pub(crate) struct Caller {
    /// The token's name.
    pub(crate) token: Arc<str>,
    /// What it is good for.
    pub(crate) scope: Scope,
    /// Apart from every other token that ever had this name; says nothing of its text.
    pub(crate) mark: Arc<str>,
    access: Access,
}

impl Access {
    /// The host's own token, and those in the store.
    pub(crate) fn new(bootstrap: Secret, store: Store, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            bootstrap,
            store,
            clock,
            known: Mutex::default(),
        }))
    }

    /// Whose token this is, if it is good for anything.
    ///
    /// # Errors
    /// [`StoreError`] if the store knows and does not answer.
    pub(crate) async fn identify(&self, shown: &[u8]) -> Result<Option<Caller>, StoreError> {
        if bool::from(shown.ct_eq(self.0.bootstrap.expose())) {
            return Ok(Some(self.bootstrap()));
        }
        if !shown.starts_with(TOKEN_PREFIX.as_bytes()) {
            return Ok(None);
        }
        let sha256 = Sha256::digest(shown);
        let tokens = self.tokens().await?;
        let now = self.0.clock.now();
        // All are compared, so that the time says nothing of which it is.
        let mut found = None;
        for token in &*tokens {
            if bool::from(token.sha256.as_slice().ct_eq(&sha256)) {
                found = Some(token);
            }
        }
        let Some(token) = found.filter(|token| is_good(token, now)) else {
            return Ok(None);
        };
        self.note_use(token, now).await;
        Ok(Some(self.caller(&token.name, token.scope, &mark(token))))
    }

    /// Somebody who has shown a token before, if it is good still.
    ///
    /// # Errors
    /// [`StoreError`] if the store knows and does not answer.
    pub(crate) async fn again(
        &self,
        name: &str,
        marked: &str,
    ) -> Result<Option<Caller>, StoreError> {
        if name == BOOTSTRAP {
            return Ok(Some(self.bootstrap()));
        }
        let tokens = self.tokens().await?;
        let now = self.0.clock.now();
        let mut same = tokens
            .iter()
            .filter(|token| token.name == name && mark(token) == marked && is_good(token, now));
        let Some(token) = same.next() else {
            return Ok(None);
        };
        self.note_use(token, now).await;
        Ok(Some(self.caller(&token.name, token.scope, marked)))
    }

    /// Notes in the audit log that somebody signed in to the dashboard. What cannot be noted
    /// keeps nobody out, who may have come to see why.
    pub(crate) async fn note_sign_in(&self, caller: &Caller, remote: Option<IpAddr>) {
        let remote_addr = remote.map(|remote| remote.to_string());
        let token = caller.token.to_string();
        tracing::info!(token, remote_addr, "somebody signed in to the dashboard");
        let change = NewChange {
            token: token.clone(),
            action: SIGN_IN,
            target: None,
            remote_addr,
            status: Some(200),
        };
        if let Err(error) = self.0.store.begin_change(change).await {
            tracing::error!(%error, token, "the audit log does not have that somebody signed in");
        }
    }

    /// A key for one purpose, the same on every host with this token of its own.
    pub(crate) fn key(&self, purpose: &[u8]) -> [u8; 32] {
        let key = Hmac::<Sha256>::new_from_slice(self.0.bootstrap.expose());
        let mut key = key.expect("HMAC takes keys of any length");
        key.update(purpose);
        key.finalize().into_bytes().into()
    }

    fn bootstrap(&self) -> Caller {
        self.caller(BOOTSTRAP, Scope::Admin, "")
    }

    /// Forgets what was read of the tokens: one of them has changed.
    pub(super) fn changed(&self) {
        let mut known = self.known();
        known.read = None;
        known.changes += 1;
    }

    fn caller(&self, token: &str, scope: Scope, mark: &str) -> Caller {
        Caller {
            token: token.into(),
            scope,
            mark: mark.into(),
            access: self.clone(),
        }
    }

    async fn tokens(&self) -> Result<Arc<[TokenRow]>, StoreError> {
        let changes = {
            let known = self.known();
            if known.read.is_some_and(|read| read.elapsed() < FRESH) {
                return Ok(Arc::clone(&known.tokens));
            }
            known.changes
        };
        // What is revoked elsewhere while they are read does not count as read.
        let began = Instant::now();
        let tokens: Arc<[TokenRow]> = self.0.store.tokens().await?.into();
        let mut known = self.known();
        if known.changes == changes {
            known.tokens = Arc::clone(&tokens);
            known.read = Some(began);
        }
        Ok(tokens)
    }

    /// Once in a while; what cannot be noted keeps nobody out.
    async fn note_use(&self, token: &TokenRow, now: Timestamp) {
        let last = token.last_used_at.unwrap_or_default();
        if now.since(last) < USED_EVERY {
            return;
        }
        if let Err(error) = self.0.store.token_used(&token.name).await {
            tracing::warn!(%error, token = token.name, "that a token was used cannot be noted");
        }
        self.changed();
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller {
    /// Whether the token is good still; not, if the store knows and does not answer.
    pub(super) async fn is_good(&self) -> bool {
        let again = self.access.again(&self.token, &self.mark).await;
        again.is_ok_and(|caller| caller.is_some())
    }
}

fn is_good(token: &TokenRow, now: Timestamp) -> bool {
    token.expires_at.is_none_or(|until| now < until)
}

/// Half of the sha256: nobody finds the token by it, and no other token has it.
fn mark(token: &TokenRow) -> String {
    hex::encode(&token.sha256[..token.sha256.len() / 2])
}

/// A new token's text and its sha256.
pub(super) fn new_token() -> (String, [u8; 32]) {
    let text = format!("{TOKEN_PREFIX}{}", hex::encode(rand::random::<[u8; 32]>()));
    let sha256 = Sha256::digest(text.as_bytes()).into();
    (text, sha256)
}
