//! Who is signed in, told by a signed cookie.
//!
//! No host remembers a session: what seals it is derived from the host's own token, so that
//! sessions outlive restarts, are good at every host with that token, and end when it
//! changes. Each form carries a second value that only such a host can make from the cookie.
//!
//! Who signs out gets another cookie; that the one before is worth nothing any more is known
//! to the host that was told, for as long as it runs and the cookie would have lasted.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::clock::Timestamp;

/// How long a session lasts that nobody uses.
pub(super) const LENGTH: Duration = Duration::from_hours(12);
/// How long one lasts at most, however much it is used.
const LENGTH_MAX: Duration = Duration::from_hours(24 * 7);
/// What the key is for; a new form of cookie needs a new text.
pub(super) const PURPOSE: &[u8] = b"hookbay dashboard session 2";
/// Sessions that are known to have ended before their time.
const ENDED_MAX: usize = 1000;

/// Makes and reads what is signed.
pub(super) struct Sessions {
    key: [u8; 32],
    /// Those that were signed out of, by their nonces, and until when they would have lasted.
    ended: Mutex<HashMap<String, Timestamp>>,
}

/// Somebody's visit, signed in or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// Apart from every other session.
    nonce: String,
    /// Whose token was shown.
    pub(super) who: Option<Who>,
    began: Timestamp,
    expires: Timestamp,
}

/// The token that somebody signed in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) token: String,
    /// Apart from others that had its name.
    pub(super) mark: String,
}

impl Session {
    /// A new one.
    pub(super) fn new(who: Option<Who>, now: Timestamp) -> Self {
        Self {
            nonce: uuid::Uuid::new_v4().simple().to_string(),
            who,
            began: now,
            expires: now.plus(LENGTH),
        }
    }

    /// The same, for another while, if a good part of its time is over.
    pub(super) fn renewed(&self, now: Timestamp) -> Option<Self> {
        let left = self.expires.since(now);
        let expires = now.plus(LENGTH).min(self.began.plus(LENGTH_MAX));
        (left < LENGTH / 2 && expires > self.expires).then(|| Self {
            expires,
            ..self.clone()
        })
    }
}

impl Sessions {
    /// Sealed with this key.
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self {
            key,
            ended: Mutex::default(),
        }
    }

    /// A session that was signed out of: its cookie is worth nothing here from now on.
    pub(super) fn end(&self, session: &Session, now: Timestamp) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|_, until| now < *until);
        if ended.len() >= ENDED_MAX {
            let first = ended.iter().min_by_key(|(_, until)| **until);
            let first = first.map(|(nonce, _)| nonce.clone());
            first.and_then(|nonce| ended.remove(&nonce));
        }
        // The same may have been renewed elsewhere since.
        let until = session.began.plus(LENGTH_MAX);
        ended.insert(session.nonce.clone(), until);
    }

    fn has_ended(&self, nonce: &str) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.contains_key(nonce)
    }

    /// The value of the cookie.
    pub(super) fn cookie(&self, session: &Session) -> String {
        let (began, expires) = (session.began.millis(), session.expires.millis());
        let (token, mark) = match &session.who {
            Some(who) => (who.token.as_str(), who.mark.as_str()),
            None => ("", ""),
        };
        let text = format!("{expires} {began} {} {mark} {token}", session.nonce);
        self.seal("session", &text)
    }

    /// The session of a cookie; none if we did not make it or its time is over.
    pub(super) fn read(&self, cookie: &str, now: Timestamp) -> Option<Session> {
        let text = self.open("session", cookie)?;
        let mut fields = text.splitn(5, ' ');
        let mut time = || Some(Timestamp::from_millis(fields.next()?.parse().ok()?));
        let (expires, began) = (time()?, time()?);
        let nonce = fields.next()?.to_owned();
        let mark = fields.next()?.to_owned();
        let token = fields.next()?.to_owned();
        let session = Session {
            nonce,
            who: (!token.is_empty()).then_some(Who { token, mark }),
            began,
            expires,
        };
        self.is_good(&session, now).then_some(session)
    }

    /// Whether its time is not over, and nobody has signed out of it.
    pub(super) fn is_good(&self, session: &Session, now: Timestamp) -> bool {
        now < session.expires && !self.has_ended(&session.nonce)
    }

    /// What each form of a session carries.
    pub(super) fn form_token(&self, session: &Session) -> String {
        self.seal_of("form", session.nonce.as_bytes())
    }

    /// Whether a form is one of ours, for this session.
    pub(super) fn is_form_token(&self, session: &Session, token: &str) -> bool {
        self.is_seal("form", session.nonce.as_bytes(), token)
    }

    /// A text that nobody else can have written, for a header.
    pub(super) fn seal(&self, purpose: &str, text: &str) -> String {
        let seal = self.seal_of(purpose, text.as_bytes());
        format!("{}.{seal}", URL_SAFE_NO_PAD.encode(text))
    }

    /// The text, if it was sealed for this purpose.
    pub(super) fn open(&self, purpose: &str, sealed: &str) -> Option<String> {
        let (text, seal) = sealed.split_once('.')?;
        let text = URL_SAFE_NO_PAD.decode(text).ok()?;
        self.is_seal(purpose, &text, seal)
            .then(|| String::from_utf8(text).ok())?
    }

    fn seal_of(&self, purpose: &str, text: &[u8]) -> String {
        let seal = self.mac(purpose, text).finalize().into_bytes();
        URL_SAFE_NO_PAD.encode(seal)
    }

    /// In constant time.
    fn is_seal(&self, purpose: &str, text: &[u8], seal: &str) -> bool {
        let Ok(seal) = URL_SAFE_NO_PAD.decode(seal) else {
            return false;
        };
        self.mac(purpose, text).verify_slice(&seal).is_ok()
    }

    fn mac(&self, purpose: &str, text: &[u8]) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.key);
        let mut mac = mac.expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.update(b":");
        mac.update(text);
        mac
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ENDED_MAX, LENGTH, LENGTH_MAX, Session, Sessions, Who};
    use crate::clock::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const KEY: [u8; 32] = [7; 32];

    fn signed_in() -> Session {
        let who = Who {
            token: "the one on call".to_owned(),
            mark: "00ff".to_owned(),
        };
        Session::new(Some(who), NOW)
    }

    #[test]
    fn a_cookie_is_good_wherever_the_key_is_the_same_until_its_time_is_over() {
        let session = signed_in();
        let cookie = Sessions::new(KEY).cookie(&session);
        let elsewhere = Sessions::new(KEY);
        assert_eq!(elsewhere.read(&cookie, NOW), Some(session));
        let visitor = Session::new(None, NOW);
        assert_eq!(
            elsewhere.read(&elsewhere.cookie(&visitor), NOW),
            Some(visitor)
        );
        let last = NOW.plus(LENGTH).minus(Duration::from_millis(1));
        assert!(elsewhere.read(&cookie, last).is_some());
        assert_eq!(elsewhere.read(&cookie, NOW.plus(LENGTH)), None);
        assert_eq!(Sessions::new([8; 32]).read(&cookie, NOW), None);
    }

    #[test]
    fn no_byte_of_a_cookie_can_be_changed() {
        let sessions = Sessions::new(KEY);
        let cookie = sessions.cookie(&Session::new(None, NOW));
        for position in 0..cookie.len() {
            let mut changed = cookie.clone().into_bytes();
            changed[position] = if changed[position] == b'A' {
                b'B'
            } else {
                b'A'
            };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(sessions.read(&changed, NOW), None, "byte {position}");
        }
        for wrong in ["", ".", "a.b", &cookie[1..], &format!("{cookie}A")] {
            assert_eq!(sessions.read(wrong, NOW), None, "{wrong}");
        }
    }

    #[test]
    fn a_form_is_good_for_its_own_session_only() {
        let sessions = Sessions::new(KEY);
        let (mine, other) = (signed_in(), signed_in());
        let token = sessions.form_token(&mine);
        assert!(sessions.is_form_token(&mine, &token));
        assert!(!sessions.is_form_token(&other, &token));
        assert!(!sessions.is_form_token(&mine, ""));
        // What is sealed for one purpose is nothing for another.
        assert_eq!(sessions.open("notice", &sessions.cookie(&mine)), None);
    }

    #[test]
    fn a_session_in_use_is_renewed_and_keeps_its_forms() {
        let sessions = Sessions::new(KEY);
        let session = signed_in();
        assert_eq!(session.renewed(NOW.plus(Duration::from_mins(5))), None);
        let later = NOW.plus(LENGTH * 2 / 3);
        let renewed = session.renewed(later).unwrap();
        assert!(sessions.is_form_token(&renewed, &sessions.form_token(&session)));
        assert_eq!(renewed.expires, later.plus(LENGTH));
    }

    #[test]
    fn no_session_lasts_for_ever() {
        let mut session = signed_in();
        while let Some(renewed) = session.renewed(session.expires.minus(Duration::from_mins(1))) {
            assert!(renewed.expires > session.expires);
            session = renewed;
        }
        assert_eq!(session.expires, NOW.plus(LENGTH_MAX));
    }

    #[test]
    fn who_has_signed_out_is_out_with_each_cookie_of_the_session() {
        let sessions = Sessions::new(KEY);
        let (mine, other) = (signed_in(), signed_in());
        let renewed = mine.renewed(NOW.plus(LENGTH * 2 / 3)).unwrap();
        sessions.end(&mine, NOW);
        for cookie in [sessions.cookie(&mine), sessions.cookie(&renewed)] {
            assert_eq!(sessions.read(&cookie, NOW), None);
        }
        assert!(sessions.read(&sessions.cookie(&other), NOW).is_some());
        // As many as are kept, those that end last.
        for _ in 0..ENDED_MAX {
            sessions.end(&Session::new(None, NOW.plus(LENGTH)), NOW);
        }
        assert_eq!(sessions.ended.lock().unwrap().len(), ENDED_MAX);
    }
}
