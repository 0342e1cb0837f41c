//! Mails a message of the operator's own wording, for any event, through the HTTP API of
//! Resend or Postmark.
//!
//! It has no triggers of its own: the operator says for which events it runs, and as what.
//! `config.subject` and `config.text` are templates (see `hookbay_plugin::template`); the
//! mail is plain text, so that nothing in an event can be more than text.

use hookbay_plugin::template::{Template, Values};
use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, config, manifest};

mod mail;

use mail::{Mail, Service};

struct Email;

hookbay_plugin::export!(Email);

impl Plugin for Email {
    fn manifest() -> Manifest {
        manifest!()
            .endpoint("mail", "https://api.resend.com", "the mail service's API")
            .secret("MAIL_TOKEN", "Resend's API key or Postmark's server token")
            .requires_config("from", "the sender, such as `Orders <orders@example.com>`")
            .requires_config("to", "the recipients, with commas between them")
            .reads_config("service", "`resend`, which is the default, or `postmark`")
            .reads_config("subject", "such as `Order {/order/id} was paid`")
            .reads_config(
                "text",
                "the mail, such as `{/customer/name} paid {/order/total}`",
            )
    }

    fn handle(event: &Event, run: &Run) -> Result<Success, Failure> {
        let service = Service::named(&config::get("service").unwrap_or_default())?;
        let values = Values::of(event);
        let subject = Template::from_config("subject", "{kind} from {source}")?;
        let text = Template::from_config("text", "{kind} from {source}, event {id}")?;
        let mail = Mail {
            from: config::require("from")?,
            to: recipients(&config::require("to")?)?,
            subject: one_line(&subject.fill(&values, str::to_owned)),
            text: text.fill(&values, str::to_owned),
        };
        let sent = service.send(&mail, run)?;
        let (subject, to) = (&mail.subject, mail.to.join(", "));
        Success::new(format!("mailed to {to}: {subject}")).with_data(&sent)
    }
}

fn recipients(listed: &str) -> Result<Vec<String>, Failure> {
    let to = listed.split(',').map(str::trim).filter(|to| !to.is_empty());
    let to: Vec<String> = to.map(str::to_owned).collect();
    if to.is_empty() {
        return Err(Failure::permanent("config.to: there is no recipient"));
    }
    Ok(to)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
