"""Raises what nobody catches, to show what becomes of it. For `cargo xtask test --languages`."""

from wit_world import exports
from wit_world.exports.handler import (
    Event,
    Manifest,
    Origin_Provider,
    Run,
    Success,
    Trigger,
    Wants,
)


class Handler(exports.Handler):
    def describe(self) -> Manifest:
        return Manifest(
            name="throws-py",
            version="0.1.0",
            description="Raises what nobody catches",
            triggers=[Trigger(Origin_Provider("github"), "issues.*", None)],
            wants=Wants(endpoints=[], secrets=[], config=[]),
        )

    def handle(self, event: Event, run: Run) -> Success:
        raise ValueError(f'the shop said "no" to {event.kind}')
