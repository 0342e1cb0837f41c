//! Amazon SNS: an RSA signature over fields of the message, by a certificate it names.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>, and
//! sns-validator for which hosts are Amazon's. Anybody can have a topic of their own
//! signed: what makes it ours is the topic, which is why topics are the secret here.

use url::Url;

use crate::ingest::verify::{Rejection, Request, Verified};
use crate::json::Pointer;

use super::Coverage;
use super::key::Keyring;
use super::template::json_value;
use crate::hash::Encoding;
use crate::public_key::Signing;

/// What is signed of a notification, in this order, as far as it is there.
const OF_NOTIFICATION: [&str; 6] = [
    "Message",
    "MessageId",
    "Subject",
    "Timestamp",
    "TopicArn",
    "Type",
];
/// What is signed of a message that confirms or ends a subscription.
const OF_SUBSCRIPTION: [&str; 7] = [
    "Message",
    "MessageId",
    "SubscribeURL",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
];

/// Checks a message from Amazon SNS.
///
/// # Errors
/// [`Rejection::NeedsKey`] where the certificate is not at hand.
pub(crate) fn verify(keys: &Keyring, request: &Request<'_>) -> Result<Verified, Rejection> {
    let place = || "`/Signature` in the body".to_owned();
    let signature =
        field(request, "Signature")?.ok_or_else(|| Rejection::MissingSignature(place()))?;
    let signing = match &*needed(request, "SignatureVersion")? {
        "1" => Signing::RsaSha1,
        "2" => Signing::RsaSha256,
        _ => {
            return Err(Rejection::Requirement {
                place: "`/SignatureVersion` in the body".to_owned(),
                wanted: "1` or `2".to_owned(),
            });
        }
    };
    let topic = needed(request, "TopicArn")?;
    let is_topic = |key: &super::key::Key| key.shared() == Some(topic.as_bytes());
    let secret = keys.keys().iter().position(is_topic);
    let secret = secret.ok_or_else(|| Rejection::NotOurs("`/TopicArn` in the body".to_owned()))?;
    let url = needed(request, "SigningCertURL")?;
    if !is_amazons(&url) {
        let place = "`/SigningCertURL` in the body".to_owned();
        return Err(Rejection::UntrustedKeyAddress(place));
    }
    let signed = canonical(request)?;
    let certificate = keys.certificate(&url).ok_or(Rejection::NeedsKey(url))?;
    let signature = Encoding::Base64.decode(&signature);
    let signature = signature.ok_or_else(|| Rejection::MalformedSignature(place()))?;
    if !certificate.has_signed(signing, signed.as_bytes(), &signature) {
        return Err(Rejection::WrongSignature(place()));
    }
    Ok(Verified {
        secret: Some(secret),
        signed_at: None,
        coverage: Coverage::Parts,
    })
}

/// The address that confirms a subscription, if the message asks for that. Whoever visits
/// it must have proven the message.
pub(crate) fn subscribe_url(request: &Request<'_>) -> Option<Url> {
    let kind = field(request, "Type").ok()??;
    let url = field(request, "SubscribeURL").ok()??;
    let url = Url::parse(&url).ok()?;
    (kind == "SubscriptionConfirmation" && is_of_sns(&url)).then_some(url)
}

fn canonical(request: &Request<'_>) -> Result<String, Rejection> {
    let names: &[&str] = match &*needed(request, "Type")? {
        "Notification" => &OF_NOTIFICATION,
        "SubscriptionConfirmation" | "UnsubscribeConfirmation" => &OF_SUBSCRIPTION,
        _ => {
            return Err(Rejection::Requirement {
                place: "`/Type` in the body".to_owned(),
                wanted: "Notification".to_owned(),
            });
        }
    };
    let mut signed = String::new();
    for name in names {
        if let Some(value) = field(request, name)? {
            signed.extend([name, "\n", &value, "\n"]);
        }
    }
    Ok(signed)
}

fn field(request: &Request<'_>, name: &str) -> Result<Option<String>, Rejection> {
    let pointer: Pointer = format!("/{name}")
        .parse()
        .expect("a pointer begins with a slash");
    json_value(request.body, &pointer)
}

fn needed(request: &Request<'_>, name: &str) -> Result<String, Rejection> {
    let missing = || Rejection::MissingPart(format!("`/{name}` in the body"));
    field(request, name)?.ok_or_else(missing)
}

/// Whether a certificate may be fetched from there: a `.pem` on a host of SNS itself.
fn is_amazons(url: &str) -> bool {
    let is_pem = |url: &Url| {
        url.path().ends_with(".pem") && url.query().is_none() && url.fragment().is_none()
    };
    Url::parse(url).is_ok_and(|url| is_pem(&url) && is_of_sns(&url))
}

/// Whether an address is one of SNS itself.
fn is_of_sns(url: &Url) -> bool {
    let is_region = |region: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        region.len() >= 3 && region.bytes().all(is_part)
    };
    let is_host = |host: &str| {
        let host = host.strip_suffix(".cn").unwrap_or(host);
        let region = host
            .strip_prefix("sns.")
            .and_then(|rest| rest.strip_suffix(".amazonaws.com"));
        region.is_some_and(is_region)
    };
    url.scheme() == "https"
        && url.host_str().is_some_and(is_host)
        && url.port().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}

#[cfg(test)]
mod tests {
    use super::is_amazons;

    #[test]
    fn certificates_come_from_sns() {
        for (url, expected) in [
            (
                "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0.pem#k",
                false,
            ),
            (
                "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0.pem",
                true,
            ),
            ("https://sns.cn-north-1.amazonaws.com.cn/S.pem", true),
            ("http://sns.us-east-1.amazonaws.com/S.pem", false),
            ("https://sns.us-east-1.amazonaws.com/S.crt", false),
            ("https://sns.us-east-1.amazonaws.com/S?x=.pem", false),
            ("https://sns.us-east-1.amazonaws.com:8443/S.pem", false),
            (
                "https://sns.us-east-1.amazonaws.com@evil.example/S.pem",
                false,
            ),
            ("https://s3.us-east-1.amazonaws.com/bucket/S.pem", false),
            ("https://sns.us.evil.amazonaws.com/S.pem", false),
            (
                "https://sns.us-east-1.amazonaws.com.evil.example/S.pem",
                false,
            ),
            ("https://sns.a.amazonaws.com/S.pem", false),
        ] {
            assert_eq!(is_amazons(url), expected, "{url}");
        }
    }
}
