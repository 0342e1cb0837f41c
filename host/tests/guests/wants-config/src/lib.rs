//! A test guest that cannot work without configuration.

use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, Trigger, config, manifest};

struct WantsConfig;

hookbay_plugin::export!(WantsConfig);

impl Plugin for WantsConfig {
    fn manifest() -> Manifest {
        manifest!()
            .trigger(Trigger::source("wants-config", "**"))
            .requires_config("database_id", "the database to write to")
            .reads_config("colour", "any colour")
    }

    fn handle(_event: &Event, _run: &Run) -> Result<Success, Failure> {
        Ok(Success::new(config::require("database_id")?))
    }
}
