//! The stand-in for the services that plugins call, beside the host that `serve` becomes; the
//! command `stand-in` runs it alone.
//!
//! A configuration asks for it by naming its address. Each plugin's grants for it are in
//! [`grants`]; what it stands in for is the crate's business.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::{CommandExt, parent_id};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use hookbay_stand_in::{Options, StandIn, discord, mail, notion, slack};

use crate::arguments::Arguments;

/// The command's name.
pub(crate) const COMMAND: &str = "stand-in";

/// Where it is unless it is told otherwise: next to the host's own two.
pub(crate) const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8082);

/// Ends with the host, but not with the terminal's Ctrl-C, for which the host takes its time.
const WITH_PARENT: &str = "--with-parent";

/// `cargo xtask stand-in`: runs it until it is stopped.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let is_with_parent = arguments.flag(WITH_PARENT);
    let listen = arguments.number("--listen", ADDRESS)?;
    arguments.finish_without_extra()?;
    let parent = parent_id();
    let stand_in = StandIn::start(Options::lifelike(listen))
        .with_context(|| format!("cannot listen on {listen}"))?;
    if !is_with_parent {
        println!("The stand-in is at {}. Ctrl-C stops.", stand_in.origin());
    }
    while !is_with_parent || parent_id() == parent {
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

/// Starts it beside the host that this process is about to become, if its configuration asks
/// for it; where it is.
pub(crate) fn start(own_program: &Path, config: &str) -> Result<Option<SocketAddr>> {
    if !config.contains(&format!("http://{ADDRESS}")) {
        return Ok(None);
    }
    if TcpListener::bind(ADDRESS).is_err() {
        println!("{ADDRESS} is taken: the stand-in for Notion and others is not started.");
        return Ok(None);
    }
    Command::new(own_program)
        .arg(COMMAND)
        .arg(WITH_PARENT)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot start the stand-in")?;
    Ok(Some(ADDRESS))
}

/// What a new configuration says above the plugins' tables.
const NOTE: &str = "
# These plugins write to a stand-in for Notion, Slack and others, which `cargo xtask serve`
# starts for as long as this file names its address. For the real ones: their origin, as in
# `https://api.notion.com`, without `private`, a token of yours, and your database or channel.
";

/// All that `github-to-slack` takes of itself but pushes.
const NO_PUSHES: &str = r#"# Its own triggers have pushes too; `cargo xtask load` sends thousands of them.
triggers = [
    { source = "github", kind = "pull_request.*", ordering_key = "/pull_request/id" },
    { source = "github", kind = "issues.*" },
    { source = "github", kind = "release.published" },
    { source = "github", kind = "workflow_run.completed" },
]
"#;

/// Slack's own rate, and what the plugins that write to it keep to: more would be refused.
pub(crate) const RATE: &str = "rate = \"1/s\"\n";

/// The tables of a new configuration that let plugins use a stand-in. `signing_key` is base64.
pub(crate) fn grants(stand_in: SocketAddr, signing_key: &str) -> String {
    let origin = &format!("http://{stand_in}");
    let database = format!("config.database_id = \"{}\"\n", notion::DATABASE);
    let in_slack = format!("config.channel = \"{}\"\n{RATE}", slack::CHANNEL);
    let of_orders = "triggers = [{ source = \"generic\", kind = \"order.*\" }]\n";
    let worded = "config.text = \"Order {/order/id} of {/customer/name}: {/order/total}\"\n";
    let in_discord = format!(
        "{of_orders}{worded}config.channel_id = \"{}\"\n{RATE}",
        discord::CHANNEL
    );
    let by_mail = format!(
        "{of_orders}{worded}\
         config.from = \"Hookbay <hookbay@example.com>\"\n\
         config.to = \"you@example.com\"\n"
    );
    let relayed = format!(
        "triggers = [{{ source = \"generic\", kind = \"**\" }}]\n\
         http.target = {{ origin = \"{origin}\", private = true }}\n\
         secrets.FORWARD_SECRET = \"whsec_{signing_key}\"\n\
         config.path = \"/sink/orders\"\n"
    );
    let slack_token = ("slack", "SLACK_TOKEN", slack::TOKEN);
    [
        NOTE.to_owned(),
        table(
            origin,
            "stripe-invoice-notion",
            ("notion", "NOTION_TOKEN", notion::TOKEN),
            &database,
        ),
        table(origin, "stripe-checkout", slack_token, &in_slack),
        table(origin, "shopify-order", slack_token, &in_slack),
        table(
            origin,
            "slack-notify",
            slack_token,
            &format!("{of_orders}{worded}{in_slack}"),
        ),
        table(
            origin,
            "github-to-slack",
            slack_token,
            &format!("{NO_PUSHES}{in_slack}"),
        ),
        table(
            origin,
            "discord-notify",
            ("discord", "DISCORD_TOKEN", discord::TOKEN),
            &in_discord,
        ),
        table(
            origin,
            "email",
            ("mail", "MAIL_TOKEN", mail::TOKEN),
            &by_mail,
        ),
        format!("\n[plugins.forward]\n{relayed}"),
    ]
    .concat()
}

/// A plugin's table: an endpoint with its secret and that one's value, and what else it needs.
fn table(
    origin: &str,
    plugin: &str,
    (endpoint, secret, value): (&str, &str, &str),
    more: &str,
) -> String {
    format!(
        "\n[plugins.{plugin}]\n\
         http.{endpoint} = {{ origin = \"{origin}\", secrets = [\"{secret}\"], private = true }}\n\
         secrets.{secret} = \"{value}\"\n\
         {more}"
    )
}
