//! A test guest that does nothing: what a run costs when the plugin costs nothing.

use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, Trigger, manifest};

struct Noop;

hookbay_plugin::export!(Noop);

impl Plugin for Noop {
    fn manifest() -> Manifest {
        manifest!().trigger(Trigger::source("noop", "**"))
    }

    fn handle(_event: &Event, _run: &Run) -> Result<Success, Failure> {
        Ok(Success::new("ok"))
    }
}
