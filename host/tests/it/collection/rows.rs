//! The plugins that call out, one row each: what to send, what they are granted, and what
//! the other side is to show for it.

use std::collections::BTreeMap;

use hookbay_stand_in::slack::Message;
use hookbay_stand_in::{Fault, Request, Services, StandIn, discord, mail, slack};

/// A plugin, and what is to come of one event.
pub(super) struct Row {
    /// Its file's stem.
    pub(super) file: &'static str,
    /// Where the event comes in: a source of [`super::SOURCES`], and a kind of its samples.
    pub(super) source: &'static str,
    pub(super) kind: &'static str,
    /// Where it is sent to, and with what; `ORIGIN` stands for the stand-in's.
    pub(super) grants: String,
    /// Further settings.
    pub(super) config: &'static str,
    /// What it lacks without the grants.
    pub(super) missing: &'static [&'static str],
    /// The path of what it calls.
    pub(super) path: &'static str,
    /// What the other side shows.
    pub(super) made: fn(&Services) -> Vec<String>,
    /// What that says.
    pub(super) says: &'static str,
    /// Of how many repetitions the other side makes one.
    pub(super) is_idempotent: bool,
    /// Makes every further call fail for good.
    pub(super) spoil: fn(&StandIn),
    /// Why it then fails.
    pub(super) reason: &'static str,
}

/// What all that post to Slack share.
fn on_slack(file: &'static str, source: &'static str, kind: &'static str) -> Row {
    Row {
        file,
        source,
        kind,
        grants: format!(
            "http.slack = {{ origin = \"ORIGIN\", secrets = [\"SLACK_TOKEN\"], private = true }}\n\
             secrets.SLACK_TOKEN = \"{}\"\n\
             config.channel = \"{}\"\n",
            slack::TOKEN,
            slack::CHANNEL
        ),
        config: "",
        missing: &["http.slack", "secrets.SLACK_TOKEN", "config.channel"],
        path: "/api/chat.postMessage",
        made: |services| {
            services
                .slack
                .messages()
                .iter()
                .map(Message::shown)
                .collect()
        },
        says: "",
        is_idempotent: true,
        spoil: |stand_in| stand_in.with(|services| services.slack.remove_bot()),
        reason: "chat.postMessage: not_in_channel: invite the bot to the channel `C0STANDIN01`",
    }
}

/// What both ways of mailing share.
fn by_mail(service: &'static str, path: &'static str) -> Row {
    Row {
        file: "email",
        source: "orders",
        kind: "order.created",
        grants: format!(
            "http.mail = {{ origin = \"ORIGIN\", secrets = [\"MAIL_TOKEN\"], private = true }}\n\
             secrets.MAIL_TOKEN = \"{}\"\n\
             config.from = \"Orders <orders@example.com>\"\n\
             config.to = \"desk@example.com\"\n",
            mail::TOKEN
        ),
        config: service,
        missing: &[
            "http.mail",
            "secrets.MAIL_TOKEN",
            "config.from",
            "config.to",
        ],
        path,
        made: |services| subjects(services.resend.mails()),
        says: "Order ord_20417 of Nour Haddad",
        is_idempotent: true,
        spoil: |stand_in| stand_in.inject(Fault::status("POST", "/email", 422).times(99)),
        reason: "answered 422: {",
    }
}

fn subjects(mails: &[mail::Mail]) -> Vec<String> {
    mails.iter().map(|mail| mail.field("subject")).collect()
}

/// What a receiver acts on that remembers the ids of Standard Webhooks: each of them once.
fn acted_on<'a>(received: impl Iterator<Item = &'a Request>) -> Vec<String> {
    let mut by_id = BTreeMap::new();
    for request in received {
        let id = request.header("webhook-id").unwrap_or_default();
        let body = String::from_utf8_lossy(&request.body).into_owned();
        by_id.entry(id.to_owned()).or_insert(body);
    }
    by_id.into_values().collect()
}

/// A relay to a receiver that remembers what it has acted on.
fn relayed() -> Row {
    Row {
        file: "forward",
        source: "orders",
        kind: "order.created",
        grants: "http.target = { origin = \"ORIGIN\", private = true }\n\
                 secrets.FORWARD_SECRET = \"whsec_dGhlIGtleSBvZiB0aGUgcmVjZWl2ZXI=\"\n"
            .to_owned(),
        config: "config.path = \"/sink/orders\"\n",
        missing: &["http.target", "secrets.FORWARD_SECRET"],
        path: "/sink/orders",
        made: |services| acted_on(services.sink.received()),
        says: "ord_20417",
        is_idempotent: true,
        spoil: |stand_in| stand_in.inject(Fault::status("POST", "/sink", 410).times(99)),
        reason: "The receiver is gone for good",
    }
}

/// All of them.
pub(super) fn rows() -> Vec<Row> {
    vec![
        Row {
            says: "2 commits to octo-labs/harbor on main by mona-brandt\n\
                   • 91d7c3e Name the berth in the docking error\n\
                   • b82e6d0 Count ships that wait outside",
            ..on_slack("github-to-slack", "github", "push")
        },
        Row {
            says: "New order #2041: 84.90 EUR by Nour Haddad",
            ..on_slack("shopify-order", "shopify", "orders/create")
        },
        Row {
            says: "Nour Haddad paid 84.90 EUR",
            ..on_slack("stripe-checkout", "stripe", "checkout.session.completed")
        },
        Row {
            config: "config.text = \"Order {/order/id} of {/customer/name}: {/order/total}\"\n",
            says: "Order ord_20417 of Nour Haddad: 84.9",
            ..on_slack("slack-notify", "orders", "order.created")
        },
        Row {
            file: "discord-notify",
            source: "orders",
            kind: "order.created",
            grants: format!(
                "http.discord = {{ origin = \"ORIGIN\", secrets = [\"DISCORD_TOKEN\"], private = true }}\n\
                 secrets.DISCORD_TOKEN = \"{}\"\n\
                 config.channel_id = \"{}\"\n",
                discord::TOKEN,
                discord::CHANNEL
            ),
            config: "config.text = \"{/customer/name}: {/order/id}\"\n",
            missing: &["http.discord", "secrets.DISCORD_TOKEN", "config.channel_id"],
            path: "/api/v10/channels/772908445358620702/messages",
            made: |services| {
                let messages = services.discord.messages().iter();
                messages.map(|message| message.content.clone()).collect()
            },
            says: "Nour Haddad: ord\\_20417",
            is_idempotent: true,
            spoil: |stand_in| stand_in.inject(Fault::status("POST", "/api/v10/", 403).times(99)),
            reason: "answered 403: {\"code\":50013,\"message\":\"Missing Permissions\"}",
        },
        by_mail(
            "config.subject = \"Order {/order/id} of {/customer/name}\"\n",
            "/emails",
        ),
        Row {
            made: |services| subjects(services.postmark.mails()),
            is_idempotent: false,
            ..by_mail(
                "config.service = \"postmark\"\n\
                 config.subject = \"Order {/order/id} of {/customer/name}\"\n",
                "/email",
            )
        },
        relayed(),
    ]
}
