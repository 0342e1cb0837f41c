//! A mail, and the two services that send it.
//!
//! <https://resend.com/docs/api-reference/emails/send-email>,
//! <https://postmarkapp.com/developer/api/email-api>

use hookbay_plugin::http::{self, Request, Response};
use hookbay_plugin::{Failure, Run};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) subject: String,
    pub(crate) text: String,
}

#[derive(Clone, Copy)]
pub(crate) enum Service {
    Resend,
    Postmark,
}

/// The mail as the service has taken it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Sent {
    #[serde(alias = "MessageID")]
    id: String,
}

/// Resend's name of an error.
#[derive(Deserialize)]
struct Refusal {
    name: String,
}

impl Service {
    pub(crate) fn named(name: &str) -> Result<Self, Failure> {
        match name {
            "" | "resend" => Ok(Self::Resend),
            "postmark" => Ok(Self::Postmark),
            other => Err(Failure::permanent(format!(
                "config.service: `{other}` is not known, only `resend` and `postmark`"
            ))),
        }
    }

    pub(crate) fn send(self, mail: &Mail, run: &Run) -> Result<Sent, Failure> {
        let request = match self {
            Self::Resend => resend(mail)?,
            Self::Postmark => postmark(mail, run)?,
        };
        let response = request.send()?;
        if let Some(failure) = reused_key(&response) {
            return Err(failure);
        }
        Ok(response.error_for_status()?.json()?)
    }
}

/// For a day, Resend answers a repetition with the mail that it has sent.
fn resend(mail: &Mail) -> Result<Request, http::Error> {
    http::post("mail", "/emails")
        .bearer("MAIL_TOKEN")
        .idempotency_key("Idempotency-Key")
        .json(&json!({
            "from": mail.from,
            "to": mail.to,
            "subject": mail.subject,
            "text": mail.text,
        }))
}

/// Postmark knows no repetition. It does keep a message's id when asked to, by which
/// mailboxes recognise the second copy.
fn postmark(mail: &Mail, run: &Run) -> Result<Request, http::Error> {
    let message_id = format!("<{}@hookbay.invalid>", run.uuid("mail"));
    http::post("mail", "/email")
        .secret_header("X-Postmark-Server-Token", "", "MAIL_TOKEN")
        .header("Accept", "application/json")
        .json(&json!({
            "From": mail.from,
            "To": mail.to.join(", "),
            "Subject": mail.subject,
            "TextBody": mail.text,
            "Headers": [
                {"Name": "Message-ID", "Value": message_id},
                {"Name": "X-PM-KeepID", "Value": "true"},
            ],
        }))
}

/// A conflict that does not pass: the run's mail has been sent, in other words.
fn reused_key(response: &Response) -> Option<Failure> {
    let refusal: Refusal = response.json().ok().filter(|_| response.status == 409)?;
    (refusal.name == "invalid_idempotent_request").then(|| {
        Failure::permanent(
            "this event was mailed within the last day, with another text; Resend will not \
             send it again under the same idempotency key",
        )
    })
}
