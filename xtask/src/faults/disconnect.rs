//! Clients that go away in mid-request, beside a load of patient ones: with half a body
//! sent, and with a whole request but no answer read. Half a delivery is none; a whole one
//! is stored or not, but never by half, and sending it again is safe.

use std::fs;

use anyhow::{Context, Result};

use super::stage::{Demands, Stage};
use crate::delivery::sample_push;
use crate::sender::Sender;

const BODY_BYTES: usize = 8_192;

pub(super) fn play(stage: &mut Stage<'_>) -> Result<()> {
    let mut host = stage.host()?;
    host.start()?;
    let load = stage.load(&host, stage.size.requests, 0)?;

    let n_rude = stage.size.requests / 10;
    let mut sender = Sender::new(&host, &stage.acked())?;
    let delivery = sender.sign(&sample_push(1, BODY_BYTES)?);
    let mut absent = String::new();
    for n in 0..n_rude {
        let half = sender.take_id();
        sender.abandon(&delivery, &half, Some(BODY_BYTES / 2))?;
        absent.push_str(&half);
        absent.push('\n');
        let never_again = sender.take_id();
        sender.abandon(&delivery, &never_again, None)?;
        let again = sender.take_id();
        sender.abandon(&delivery, &again, None)?;
        if n % 2 == 0 {
            stage.expect(1);
            sender.deliver(&delivery, &again, "")?;
        }
    }
    println!("{} clients went away", 3 * n_rude);
    stage.finish(vec![load])?;

    let file = stage.folder().join("absent");
    fs::write(&file, absent).with_context(|| format!("cannot write {}", file.display()))?;
    let demands = Demands {
        options: &["--absent", &file.to_string_lossy()],
        ..Demands::default()
    };
    stage.compare(&host, &demands)?;
    host.check_alive()?;
    host.kill()
}
