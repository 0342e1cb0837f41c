//! The contract's side of a [`Plugin`]: every plugin is a guest of the host, and
//! types are converted here, at that boundary, and nowhere else.

use std::time::Duration;

use crate::{
    ConfigWant, EndpointWant, Event, Failure, Header, Manifest, Origin, Plugin, Run, SecretWant,
    Success, Trigger, bindings::exports::hookbay::plugin::handler as wit,
};

impl<P: Plugin> wit::Guest for P {
    fn describe() -> wit::Manifest {
        P::manifest().into()
    }

    fn handle(event: wit::Event, run: wit::Run) -> Result<wit::Success, wit::Failure> {
        match P::handle(&event.into(), &run.into()) {
            Ok(success) => Ok(success.into()),
            Err(failure) => Err(failure.into()),
        }
    }
}

impl From<Manifest> for wit::Manifest {
    fn from(manifest: Manifest) -> Self {
        let Manifest {
            name,
            version,
            description,
            triggers,
            endpoints,
            secrets,
            config,
        } = manifest;
        Self {
            name,
            version,
            description,
            triggers: triggers.into_iter().map(wit::Trigger::from).collect(),
            wants: wit::Wants {
                endpoints: endpoints.into_iter().map(wit::EndpointWant::from).collect(),
                secrets: secrets.into_iter().map(wit::SecretWant::from).collect(),
                config: config.into_iter().map(wit::ConfigWant::from).collect(),
            },
        }
    }
}

impl From<Trigger> for wit::Trigger {
    fn from(trigger: Trigger) -> Self {
        let Trigger {
            origin,
            kind,
            ordering_key,
        } = trigger;
        Self {
            origin: origin.into(),
            kind,
            ordering_key,
        }
    }
}

impl From<Origin> for wit::Origin {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Provider(name) => Self::Provider(name),
            Origin::Source(name) => Self::Source(name),
        }
    }
}

impl From<EndpointWant> for wit::EndpointWant {
    fn from(want: EndpointWant) -> Self {
        let EndpointWant {
            name,
            default_origin,
            doc,
        } = want;
        Self {
            name,
            default_origin,
            doc,
        }
    }
}

impl From<SecretWant> for wit::SecretWant {
    fn from(want: SecretWant) -> Self {
        let SecretWant { name, doc } = want;
        Self { name, doc }
    }
}

impl From<ConfigWant> for wit::ConfigWant {
    fn from(want: ConfigWant) -> Self {
        let ConfigWant {
            name,
            is_required,
            doc,
        } = want;
        Self {
            name,
            required: is_required,
            doc,
        }
    }
}

impl From<wit::Event> for Event {
    fn from(event: wit::Event) -> Self {
        Self {
            id: event.id,
            source: event.source,
            provider: event.provider,
            kind: event.kind,
            delivery_id: event.delivery_id,
            received_at_ms: event.received_at,
            content_type: event.content_type,
            headers: event.headers.into_iter().map(Header::from).collect(),
            body: event.body,
        }
    }
}

impl From<wit::Header> for Header {
    fn from(header: wit::Header) -> Self {
        Self {
            name: header.name,
            value: header.value,
        }
    }
}

impl From<wit::Run> for Run {
    fn from(run: wit::Run) -> Self {
        Self {
            id: run.id,
            attempt: run.attempt,
            max_attempts: run.max_attempts,
            idempotency_key: run.idempotency_key,
        }
    }
}

impl From<Success> for wit::Success {
    fn from(success: Success) -> Self {
        Self {
            summary: success.summary,
            data: success.data,
        }
    }
}

impl From<Failure> for wit::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Retry { reason, after } => Self::Retry(wit::Retry {
                reason,
                after_ms: after.map(to_ms),
            }),
            Failure::Permanent { reason } => Self::Permanent(wit::Permanent { reason }),
        }
    }
}

/// Whole milliseconds, rounded up: the host waits at least as long as was asked.
fn to_ms(delay: Duration) -> u64 {
    u64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Duration, to_ms};

    #[test]
    fn a_delay_is_rounded_up() {
        assert_eq!(to_ms(Duration::ZERO), 0);
        assert_eq!(to_ms(Duration::from_micros(1)), 1);
        assert_eq!(to_ms(Duration::from_millis(1_500)), 1_500);
        assert_eq!(to_ms(Duration::MAX), u64::MAX);
    }
}
