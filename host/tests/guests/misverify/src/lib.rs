//! A test guest: a verifier whose requests prove themselves by the header `x-token`, and that
//! does what the first word of the body asks for before it answers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hookbay_plugin::oracle::{self, Encoding, Form, Hash};
use hookbay_plugin::verifier::{About, Reason, Rejection, Request, Verified, Verifier};

struct Misverify;

hookbay_plugin::export_verifier!(Misverify);

impl Verifier for Misverify {
    fn about() -> About {
        hookbay_plugin::about!().credential_header("X-Token")
    }

    fn verify(request: &Request) -> Result<Verified, Rejection> {
        let body = str::from_utf8(&request.body).unwrap_or_default();
        let (word, rest) = body.split_once(' ').unwrap_or((body, ""));
        match word {
            "spin" => spin(),
            "sleep" => std::thread::sleep(Duration::from_secs(3600)),
            "grow" => grow(),
            "trap" => panic!("no such luck"),
            "exit" => std::process::exit(0),
            "recursion" => println!("{}", recursion(u64::MAX)),
            "flood" => flood(),
            "handles" => handles(),
            "stdout" => loop {
                println!("{}", "x".repeat(1000));
            },
            "unproved" => return Ok(Verified::new()),
            "leak" => return Err(rejection(&leak())),
            "not-hex" => drop(oracle::secrets(Form::Hex)),
            "clock" => return Err(rejection(&clock(request))),
            _ => {}
        }
        let token = request.header("x-token")?;
        if !oracle::secrets(Form::Text)
            .iter()
            .any(|secret| secret.is(token))
        {
            return Err(rejection("`x-token` is none of the source's secrets"));
        }
        Ok(Verified {
            signed_at_ms: rest.parse().ok(),
            kind: Some(format!("asked.{word}")),
            delivery_id: request.header("x-id").ok().map(str::to_owned),
        })
    }
}

fn rejection(detail: &str) -> Rejection {
    Rejection::new(Reason::WrongSignature, detail)
}

#[expect(clippy::empty_loop, reason = "it is what is asked for")]
fn spin() {
    loop {}
}

fn grow() {
    let mut kept = Vec::new();
    loop {
        kept.push(vec![1_u8; 1 << 20]);
    }
}

fn recursion(depth: u64) -> u64 {
    if depth == 0 {
        return 0;
    }
    recursion(std::hint::black_box(depth - 1)) + 1
}

/// Has the host compute, which costs few instructions here.
fn flood() {
    let message = vec![0; 1 << 20];
    let secrets = oracle::secrets(Form::Text);
    loop {
        drop(secrets[0].hmac(Hash::Sha512, &message));
    }
}

fn handles() {
    let mut kept = Vec::new();
    loop {
        kept.extend(oracle::secrets(Form::Text));
    }
}

/// All that can be learnt of a secret: nothing that is it.
fn leak() -> String {
    let secret = &oracle::secrets(Form::Text)[0];
    let shown = [
        format!("{secret:?}"),
        format!("{:?}", secret.written(Encoding::Hex)),
        format!("{:?}", secret.joined("a", "b").digest(Hash::Sha256)),
        secret.is("").to_string(),
    ];
    shown.join(", ")
}

/// Whether time stands still at the moment of receipt, and randomness is no surprise.
#[expect(
    clippy::disallowed_methods,
    reason = "what the host's clock says is what this looks at"
)]
fn clock(request: &Request) -> String {
    let ms = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(0, |since| since.as_millis())
    };
    let (first, second) = (ms(), ms());
    let is_receipt = first == second && first == u128::from(request.received_at_ms);
    let order: std::collections::HashSet<u32> = (0..8).collect();
    format!("receipt={is_receipt} order={order:?}")
}
