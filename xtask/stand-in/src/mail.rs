//! Two mail services, as far as plugins use them: Resend and Postmark.
//!
//! <https://resend.com/docs/api-reference/emails/send-email>: for a day, an idempotency key
//! stands for the mail that it was first sent with.
//! <https://postmarkapp.com/developer/api/email-api>: it knows no repetitions.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::calendar::rfc3339;
use crate::http::{Answer, Request};
use crate::rate::Allowance;
use crate::service::{Section, Service};

/// An API key of Resend and a server token of Postmark.
pub const TOKEN: &str = "re_of_the_stand_in";

/// Longest idempotency key, and how long it is known.
const KEY_MAX: usize = 256;
const KEY_KEPT: Duration = Duration::from_secs(86_400);

/// Resend.
#[derive(Debug)]
pub struct Resend {
    mails: Vec<Mail>,
    allowance: Allowance,
}

/// Postmark.
#[derive(Debug, Default)]
pub struct Postmark {
    mails: Vec<Mail>,
}

/// A mail that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// What the service was given.
    pub body: Value,
    id: String,
    key: Option<String>,
    sent_at: SystemTime,
}

impl Default for Resend {
    fn default() -> Self {
        Self::new(false)
    }
}

impl Resend {
    /// An account that has sent nothing. Limited, it takes two requests per second.
    #[must_use]
    pub fn new(is_limited: bool) -> Self {
        Self {
            mails: Vec::new(),
            allowance: Allowance::new(2.0, is_limited.then_some(2.0)),
        }
    }

    /// The mails, oldest first.
    #[must_use]
    pub fn mails(&self) -> &[Mail] {
        &self.mails
    }

    fn send(&mut self, body: Value, key: Option<&str>, now: SystemTime) -> Answer {
        if let Some(problem) = missing(&body, ["from", "to", "subject"]) {
            let message = format!("Missing `{problem}` field.");
            return resend_refuses(422, "missing_required_field", &message);
        }
        if let Some(wrong) = no_address(&body) {
            let message = format!("Invalid email address {wrong}.");
            return resend_refuses(422, "validation_error", &message);
        }
        let is_known = |mail: &&Mail| {
            let age = now.duration_since(mail.sent_at).unwrap_or_default();
            key.is_some() && mail.key.as_deref() == key && age < KEY_KEPT
        };
        match self.mails.iter().find(is_known) {
            Some(same) if same.body == body => same.resend("was sent already"),
            Some(_) => resend_refuses(
                409,
                "invalid_idempotent_request",
                "Same idempotency key used with a different request payload.",
            ),
            None => {
                let mail = Mail::new(body, key, self.mails.len(), now);
                let answer = mail.resend("sent");
                self.mails.push(mail);
                answer
            }
        }
    }
}

impl Postmark {
    /// The mails, oldest first.
    #[must_use]
    pub fn mails(&self) -> &[Mail] {
        &self.mails
    }

    fn send(&mut self, body: Value, now: SystemTime) -> Answer {
        if missing(&body, ["TextBody"]).is_some() && missing(&body, ["HtmlBody"]).is_some() {
            return postmark_refuses(
                422,
                300,
                "Provide either email TextBody or HtmlBody or both.",
            );
        }
        for key in ["From", "To"] {
            let list = body[key].as_str().unwrap_or_default();
            let mut addresses = list.split(',').map(|one| Value::from(one.trim()));
            if let Some(wrong) = addresses.find(|one| !is_address(one)) {
                let message = format!("Invalid '{key}' address: {wrong}.");
                return postmark_refuses(422, 300, &message);
            }
        }
        let mail = Mail::new(body, None, self.mails.len(), now);
        let answer = json!({
            "To": mail.body["To"],
            "SubmittedAt": rfc3339(now),
            "MessageID": mail.id,
            "ErrorCode": 0,
            "Message": "OK",
        });
        let answer = Answer::json(200, &answer).with_note(mail.note("sent"));
        self.mails.push(mail);
        answer
    }
}

impl Mail {
    fn new(body: Value, key: Option<&str>, index: usize, now: SystemTime) -> Self {
        Self {
            body,
            id: format!("5aca1e00-d00d-4000-8000-{index:012x}"),
            key: key.map(str::to_owned),
            sent_at: now,
        }
    }

    /// A field, by its name at either service.
    #[must_use]
    pub fn field(&self, name: &str) -> String {
        let ours = self.body.as_object().into_iter().flatten();
        let mut named = ours.filter(|(own, _)| own.eq_ignore_ascii_case(name));
        match named.next() {
            Some((_, Value::String(text))) => text.clone(),
            Some((_, Value::Array(list))) => {
                let texts: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
                texts.join(", ")
            }
            Some(_) | None => String::new(),
        }
    }

    fn note(&self, verb: &str) -> String {
        format!(
            "{verb} \"{}\" to {}",
            self.field("subject"),
            self.field("to")
        )
    }

    fn resend(&self, verb: &str) -> Answer {
        Answer::json(200, &json!({ "id": self.id })).with_note(self.note(verb))
    }
}

impl Service for Resend {
    fn name(&self) -> &'static str {
        "resend"
    }

    fn takes(&self, path: &str) -> bool {
        path == "/emails"
    }

    fn answer(&mut self, request: &Request, now: SystemTime) -> Answer {
        if !request.bears(TOKEN) {
            return resend_refuses(
                401,
                "missing_api_key",
                "Missing API key in the authorization header",
            );
        }
        if !self.allowance.take(now) {
            return self.refusal(429).with_header("retry-after", "1");
        }
        let key = request.header("idempotency-key");
        if key.is_some_and(|key| key.is_empty() || key.len() > KEY_MAX) {
            let message = "The key must be between 1-256 chars.";
            return resend_refuses(400, "invalid_idempotency_key", message);
        }
        match (request.method.as_str(), request.json()) {
            ("POST", Ok(body)) => self.send(body, key, now),
            ("POST", Err(_)) => resend_refuses(422, "validation_error", "The body is no JSON."),
            _ => resend_refuses(405, "method_not_allowed", "Method is not allowed."),
        }
    }

    fn refusal(&self, status: u16) -> Answer {
        match status {
            429 => resend_refuses(429, "rate_limit_exceeded", "Too many requests."),
            status => resend_refuses(status, "application_error", "An unexpected error occurred."),
        }
    }

    fn sections(&self) -> Vec<Section> {
        vec![section("Mails through Resend", &self.mails, "text")]
    }
}

impl Service for Postmark {
    fn name(&self) -> &'static str {
        "postmark"
    }

    fn takes(&self, path: &str) -> bool {
        path == "/email"
    }

    fn answer(&mut self, request: &Request, now: SystemTime) -> Answer {
        if request.header("x-postmark-server-token") != Some(TOKEN) {
            return postmark_refuses(401, 10, "Request does not contain a valid Server token.");
        }
        match (request.method.as_str(), request.json()) {
            ("POST", Ok(body)) => self.send(body, now),
            ("POST", Err(_)) => postmark_refuses(422, 402, "Received invalid JSON input."),
            _ => postmark_refuses(405, 405, "Method is not allowed."),
        }
    }

    fn refusal(&self, status: u16) -> Answer {
        postmark_refuses(status, 0, "The stand-in was told to refuse this.")
    }

    fn sections(&self) -> Vec<Section> {
        vec![section("Mails through Postmark", &self.mails, "textbody")]
    }
}

fn section(title: &str, mails: &[Mail], text: &str) -> Section {
    let fields = ["from", "to", "subject", text];
    let row = |mail: &Mail| fields.map(|name| mail.field(name)).to_vec();
    Section {
        title: title.to_owned(),
        columns: ["From", "To", "Subject", "Text"]
            .map(str::to_owned)
            .to_vec(),
        rows: mails.iter().rev().map(row).collect(),
    }
}

fn missing<'a, const N: usize>(body: &Value, keys: [&'a str; N]) -> Option<&'a str> {
    let is_empty = |value: &Value| match value {
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => true,
    };
    keys.into_iter().find(|key| is_empty(&body[*key]))
}

/// The first of a mail's addresses, for Resend, that is none.
fn no_address(body: &Value) -> Option<&Value> {
    let recipients = body["to"].as_array().map_or(&[][..], Vec::as_slice);
    let mut addresses = recipients.iter().chain([&body["from"]]);
    addresses.find(|one| !is_address(one))
}

/// `a@example.com`, or `Name <a@example.com>`.
fn is_address(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    let inner = text
        .split_once('<')
        .map_or(text, |(_, inner)| inner.trim_end_matches('>'));
    let (user, host) = inner.split_once('@').unwrap_or_default();
    !user.is_empty() && host.contains('.') && !inner.contains(char::is_whitespace)
}

fn resend_refuses(status: u16, name: &str, message: &str) -> Answer {
    let body = json!({ "statusCode": status, "name": name, "message": message });
    Answer::json(status, &body).with_note(message)
}

fn postmark_refuses(status: u16, code: u32, message: &str) -> Answer {
    let body = json!({ "ErrorCode": code, "Message": message });
    Answer::json(status, &body).with_note(message)
}

#[cfg(test)]
mod tests;
