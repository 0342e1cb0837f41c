//! Signs as a sender does, for `hookbay send`: the schemes read backwards.
//!
//! Nothing here takes part in verification. What only the sender's private key can sign is
//! not signed.

use serde_json::Value;

use crate::clock::Timestamp;
use crate::event::Headers;
use crate::ingest::verify::{Rejection, Request};
use crate::json::Pointer;

use super::key::Key;
use super::selector::HeaderNames;
use super::signatures::SignaturePlace;
use super::template::Scope;
use super::timestamp::{TimestampFormat, TimestampPlace};
use super::{Proof, SignatureScheme, TokenScheme, braintree, contentful, twilio};
use crate::hash::{Encoding, Hash};

/// A request on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its method.
    pub method: String,
    /// Its whole address.
    pub url: String,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Why a request cannot be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Only the sender can.
    #[error("only the sender has the private key that signs; capture a genuine request instead")]
    PrivateKey,
    /// Only a verifier plugin knows how it is signed.
    #[error(
        "a verifier plugin checks such requests, and none signs; capture a genuine request instead"
    )]
    Verifier,
    /// The signature goes into the body, which has no room for it.
    #[error("the body has no `{0}` to put the signature in")]
    Body(String),
    /// A part of what is signed is not there.
    #[error("cannot be signed: {0}")]
    Part(Rejection),
}

/// Signs a request; `id` stands in signed headers that it does not have yet.
///
/// # Errors
/// The scheme needs a private key, or something that the request does not have.
pub fn sign(
    proof: &Proof,
    key: &Key,
    draft: Draft,
    id: &str,
    now: Timestamp,
) -> Result<Draft, SignError> {
    let shared = || key.shared().ok_or(SignError::PrivateKey);
    match proof {
        Proof::None => Ok(draft),
        Proof::Signature(scheme) => sign_declared(scheme, key, draft, id, now),
        Proof::Token(scheme) => put_token(scheme, shared()?, draft),
        Proof::Jws(scheme) => {
            let token = draft.seen(|request| scheme.write(key, request, now));
            let token = token.ok_or(SignError::PrivateKey)?;
            Ok(draft.with_header(&scheme.header, token))
        }
        Proof::Twilio => sign_twilio(shared()?, draft),
        Proof::Braintree => {
            let body = braintree::sign(key, &draft.body).ok_or(SignError::PrivateKey)?;
            Ok(Draft { body, ..draft })
        }
        Proof::Contentful(_) => {
            let key = shared()?;
            let headers = draft.seen(|request| contentful::sign(key, request, now));
            let mut draft = draft;
            draft.headers.extend(headers.map_err(SignError::Part)?);
            Ok(draft)
        }
        Proof::PayPal | Proof::AwsSns | Proof::Google => Err(SignError::PrivateKey),
        Proof::Verifier(_) => Err(SignError::Verifier),
    }
}

fn sign_declared(
    scheme: &SignatureScheme,
    key: &Key,
    mut draft: Draft,
    id: &str,
    now: Timestamp,
) -> Result<Draft, SignError> {
    for requirement in &scheme.requirements {
        draft = draft.with_header(&requirement.header, requirement.value.clone());
    }
    if let Some(header) = &scheme.key_id {
        // A key without a name goes by any.
        let own = key.id.clone().unwrap_or_else(|| id.to_owned());
        draft = draft.with_header(header, own);
    }
    for name in scheme.signed.parameters() {
        if draft.seen(|request| request.query_value(name)).is_none() {
            draft = draft.with_query(name, id);
        }
    }
    for header in scheme.signed.headers() {
        if !draft.headers.iter().any(|(name, _)| header.has(name)) {
            draft = draft.with_header(header, id.to_owned());
        }
    }
    let mut timestamp = String::new();
    if let Some(rule) = &scheme.timestamp {
        timestamp = rule.format.write(now);
        match &rule.place {
            TimestampPlace::Header(names) => {
                draft = draft.with_header(names, timestamp.clone());
            }
            TimestampPlace::WithSignature => {}
            TimestampPlace::Body { pointer, .. } => {
                let is_number = !matches!(rule.format, TimestampFormat::Rfc3339);
                let number = timestamp.parse::<i64>().ok().filter(|_| is_number);
                let value = number.map_or_else(|| Value::from(timestamp.clone()), Value::from);
                draft.body = with_value(&draft.body, pointer, &value)?;
            }
        }
    }
    let signature = |draft: &Draft, json: &[u8]| {
        draft.seen(|request| {
            let scope = Scope {
                request,
                timestamp: &timestamp,
                json,
            };
            let pieces = scheme.signed.render(scope).map_err(SignError::Part)?;
            let signature = scheme.write(key, &pieces).ok_or(SignError::PrivateKey)?;
            Ok(scheme.notation.write(&signature, &timestamp))
        })
    };
    match (&scheme.place, &scheme.items) {
        (SignaturePlace::Header(names) | SignaturePlace::Headers(names), _) => {
            let signature = signature(&draft, &draft.body)?;
            Ok(draft.with_header(names, signature))
        }
        (SignaturePlace::Query(name), _) => {
            let signature = signature(&draft, &draft.body)?;
            Ok(draft.with_query(name, &signature))
        }
        (SignaturePlace::Body(pointer), None) => {
            let signature = signature(&draft, &draft.body)?;
            let body = with_value(&draft.body, pointer, &signature.into())?;
            Ok(Draft { body, ..draft })
        }
        (SignaturePlace::Body(pointer), Some(items)) => {
            let body = with_each(&draft.body, items, pointer, |item| signature(&draft, item))?;
            Ok(Draft { body, ..draft })
        }
    }
}

fn put_token(scheme: &TokenScheme, secret: &[u8], draft: Draft) -> Result<Draft, SignError> {
    let token = scheme.write(secret);
    match (&scheme.place, &scheme.items) {
        (SignaturePlace::Header(names) | SignaturePlace::Headers(names), _) => {
            Ok(draft.with_header(names, token))
        }
        (SignaturePlace::Query(name), _) => Ok(draft.with_query(name, &token)),
        (SignaturePlace::Body(pointer), None) => {
            let body = with_value(&draft.body, pointer, &token.into())?;
            Ok(Draft { body, ..draft })
        }
        (SignaturePlace::Body(pointer), Some(items)) => {
            let body = with_each(&draft.body, items, pointer, |_| Ok(token.clone()))?;
            Ok(Draft { body, ..draft })
        }
    }
}

fn sign_twilio(key: &[u8], mut draft: Draft) -> Result<Draft, SignError> {
    let is_form = draft.seen(|request| request.is_form());
    if !is_form && !draft.body.is_empty() {
        let hash = Hash::Sha256.plain(std::iter::once(draft.body.as_slice()));
        draft = draft.with_query("bodySHA256", &Encoding::Hex.encode(&hash));
    }
    let header = draft.seen(|request| twilio::sign(key, request));
    draft.headers.push(header);
    Ok(draft)
}

impl Draft {
    /// What a function makes of it as a request.
    fn seen<T>(&self, look: impl FnOnce(&Request<'_>) -> T) -> T {
        let pairs = self.headers.iter();
        let pairs = pairs.map(|(name, value)| (name.clone(), value.clone().into_bytes()));
        look(&Request {
            method: &self.method,
            url: &self.url,
            headers: &Headers::new(pairs.collect()),
            body: &self.body,
        })
    }

    fn with_header(mut self, names: &HeaderNames, value: String) -> Self {
        self.headers.retain(|(name, _)| !names.has(name));
        self.headers.push((names.first(), value));
        self
    }

    fn with_query(mut self, name: &str, value: &str) -> Self {
        let separator = if self.url.contains('?') { '&' } else { '?' };
        let pair = url::form_urlencoded::Serializer::new(String::new())
            .append_pair(name, value)
            .finish();
        self.url = format!("{}{separator}{pair}", self.url);
        self
    }
}

/// A JSON body with a value at a place, whose objects are made where they are missing.
fn with_value(body: &[u8], pointer: &Pointer, value: &Value) -> Result<Vec<u8>, SignError> {
    let no_room = || SignError::Body(pointer.to_string());
    let mut json: Value = serde_json::from_slice(body).map_err(|_| no_room())?;
    put(&mut json, pointer, value).ok_or_else(no_room)?;
    Ok(json.to_string().into_bytes())
}

/// The same for each item of a list.
fn with_each(
    body: &[u8],
    list: &Pointer,
    pointer: &Pointer,
    value: impl Fn(&[u8]) -> Result<String, SignError>,
) -> Result<Vec<u8>, SignError> {
    let no_room = || SignError::Body(list.to_string());
    let mut json: Value = serde_json::from_slice(body).map_err(|_| no_room())?;
    let items = json
        .pointer_mut(&list.to_string())
        .and_then(Value::as_array_mut);
    for item in items.ok_or_else(no_room)? {
        let signature = value(item.to_string().as_bytes())?;
        put(item, pointer, &signature.into()).ok_or_else(no_room)?;
    }
    Ok(json.to_string().into_bytes())
}

fn put(json: &mut Value, pointer: &Pointer, value: &Value) -> Option<()> {
    let mut place = json;
    for token in pointer.tokens() {
        if let Value::Array(items) = place {
            place = items.get_mut(token.parse::<usize>().ok()?)?;
            continue;
        }
        let object = place.as_object_mut()?;
        place = object
            .entry(token)
            .or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    *place = value.clone();
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{Draft, sign};
    use crate::clock::Timestamp;
    use crate::config::{Secret, provider};
    use crate::ingest::scheme::key::{Credential, Keyring};

    /// A draft of a provider's, signed with a secret that is text.
    fn signed(name: &str, secret: &str) -> Draft {
        let provider = provider::named(name).unwrap();
        let secret = Credential::Text(Secret::new(secret));
        let keys = Keyring::new(&provider.secret, &[secret]).unwrap();
        let draft = Draft {
            method: "POST".into(),
            url: "https://h/x?a=1".into(),
            headers: Vec::new(),
            body: b"{}".to_vec(),
        };
        let now = Timestamp::from_millis(1_760_000_000_000);
        sign(&provider.proof, &keys.keys()[0], draft, "id-1", now).unwrap()
    }

    #[test]
    fn what_a_signature_needs_is_put_beside_it() {
        let header = |draft: &Draft, wanted: &str| {
            let named = draft.headers.iter().find(|(name, _)| name == wanted);
            named.map(|(_, value)| value.clone())
        };
        let pusher = signed("pusher", "secret");
        assert_eq!(header(&pusher, "x-pusher-key").as_deref(), Some("id-1"));
        let mercado = signed("mercado-pago", "secret");
        assert_eq!(mercado.url, "https://h/x?a=1&data.id=id-1");
        assert_eq!(header(&mercado, "x-request-id").as_deref(), Some("id-1"));
        // HMAC-SHA256 of `{}` with `secret`, by Python's hmac.
        let pandadoc = signed("pandadoc", "secret");
        assert_eq!(
            pandadoc.url,
            "https://h/x?a=1&signature=77325902caca812dc259733aacd046b73817372c777b8d95b402647474516e13"
        );
    }
}
