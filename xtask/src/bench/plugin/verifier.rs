//! What verification costs: by a verifier plugin, and by a record of the catalogue.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{BODY_BYTES, CALLS, said, times, write};
use crate::config;
use crate::delivery;
use crate::workspace::{Profile, Workspace};

const VERIFIER: &str = "http-message-signatures";
const URL: &str = "https://hooks.example.com/webhooks/bench";

/// Measures one genuine request of 8 KiB each.
pub(super) fn measure(workspace: &Workspace) -> Result<()> {
    println!("\n## Verification of one request of 8 KiB ({CALLS} times)\n");
    println!("| by | mean µs | p50 µs | p99 µs |");
    println!("|---|--:|--:|--:|");
    let secret = config::random_secret()?;
    let body = delivery::sample_push(1, BODY_BYTES)?;
    let key = base64(secret.as_bytes());
    let table = json!({ "hmac": key }).to_string();
    let plugin = format!("plugin:{VERIFIER}");
    for (provider, secret, request) in [
        (plugin.as_str(), &table, message_signature(&secret, &body)?),
        ("github", &secret, github(&secret, &body)?),
    ] {
        let measured = verify_repeatedly(workspace, provider, secret, &request)?;
        println!("| {provider} | {} |", times(&measured));
    }
    Ok(())
}

fn verify_repeatedly(
    workspace: &Workspace,
    provider: &str,
    secret: &str,
    request: &Value,
) -> Result<Value> {
    let folder = workspace.target.join("bench/verify");
    let (config, file) = (folder.join("hookbay.toml"), folder.join("request.json"));
    write(&config, &plugins_dir(&workspace.plugin_files()))?;
    write(&file, &request.to_string())?;
    let mut command = Command::new(workspace.binary(Profile::Release, "hookbay"));
    command.arg("--config").arg(config);
    command.args(["verify", provider, "--secret", secret, "--request"]);
    command.arg(file).args(["--repeat", &CALLS.to_string()]);
    said(command)
}

fn plugins_dir(folder: &Path) -> String {
    format!("plugins_dir = {:?}\n", folder.display().to_string())
}

fn github(secret: &str, body: &[u8]) -> Result<Value> {
    let signature = hex::encode(signed(secret.as_bytes(), body));
    request(
        json!({ "X-Hub-Signature-256": format!("sha256={signature}"), "X-GitHub-Event": "push" }),
        body,
    )
}

/// As RFC 9421 says: method, address and the body's digest are signed.
fn message_signature(secret: &str, body: &[u8]) -> Result<Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let created = now.context("the clock is before 1970")?.as_secs();
    let digest = format!("sha-256=:{}:", base64(&Sha256::digest(body)));
    let input = format!("(\"@method\" \"@target-uri\" \"content-digest\");created={created}");
    let base = format!(
        "\"@method\": POST\n\"@target-uri\": {URL}\n\"content-digest\": {digest}\n\"@signature-params\": {input}"
    );
    let signature = base64(&signed(secret.as_bytes(), base.as_bytes()));
    request(
        json!({
            "Content-Digest": digest,
            "Signature-Input": format!("sig={input}"),
            "Signature": format!("sig=:{signature}:"),
        }),
        body,
    )
}

fn request(headers: Value, body: &[u8]) -> Result<Value> {
    let body = str::from_utf8(body).context("the sample is text")?;
    Ok(json!({ "method": "POST", "url": URL, "headers": headers, "body": body }))
}

fn signed(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// RFC 4648 section 4; nothing else here needs it.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut word = [0; 4];
        word[1..=chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(word);
        for place in 0..4_usize {
            let index = usize::try_from(word >> (18 - 6 * place) & 63).unwrap_or(0);
            let is_padding = place > chunk.len();
            text.push(if is_padding {
                '='
            } else {
                char::from(ALPHABET[index])
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    /// RFC 4648 section 10.
    #[test]
    fn base64_is_the_rfcs() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }
}
