"""Says what was pushed to GitHub, and counts the pushes to each repository: what
`plugins/github-push` does in Rust, with the same answers.

The modules of `wit_world` are made from `wit/` when the component is. Imports stand at
the top: there are no files to import from once it is made. A failure is raised as `Err`;
any other exception is a bug, and ends the attempt with its text.
"""

import json
from typing import Any

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.handler import (
    Event,
    Failure_Permanent,
    Failure_Retry,
    Manifest,
    Origin_Provider,
    Permanent,
    Retry,
    Run,
    Success,
    Trigger,
    Wants,
)
from wit_world.imports import kv, log


class Handler(exports.Handler):
    def describe(self) -> Manifest:
        return Manifest(
            name="github-push-py",
            version="0.1.0",
            description="Says what was pushed and counts pushes per repository",
            triggers=[Trigger(Origin_Provider("github"), "push", None)],
            wants=Wants(endpoints=[], secrets=[], config=[]),
        )

    def handle(self, event: Event, run: Run) -> Success:
        push = read(event)
        summary = describe_push(push)
        repository = push["repository"]["full_name"]

        # Merges with the increments of pushes that are handled at the same time.
        count(f"pushes/{repository}")

        fields = [
            log.Field("repository", repository),
            log.Field("commits", str(len(push["commits"]))),
        ]
        log.write(log.Level.INFO, summary, fields)
        return Success(summary, json.dumps(digest(push)))


def permanent(reason: str) -> Err:
    return Err(Failure_Permanent(Permanent(reason)))


def retry(reason: str) -> Err:
    return Err(Failure_Retry(Retry(reason, None)))


def read(event: Event) -> dict[str, Any]:
    """The payload, as far as this plugin reads it:
    https://docs.github.com/en/webhooks/webhook-events-and-payloads#push
    """

    def wrong(what: object) -> Err:
        return permanent(f"body of the {event.kind} event: {what}")

    try:
        push = json.loads(event.body)
    except ValueError as error:
        raise wrong(error)
    if not isinstance(push, dict) or not isinstance(push.get("ref"), str):
        raise wrong("`ref` is no text")
    repository = push.get("repository")
    if not isinstance(repository, dict) or not isinstance(repository.get("full_name"), str):
        raise wrong("`repository.full_name` is no text")
    if push.get("commits") is None:
        push["commits"] = []
    if not isinstance(push["commits"], list):
        raise wrong("`commits` is no list")
    return push


def count(key: str) -> None:
    try:
        kv.increment(key, 1)
    except Err as error:
        match error.value:
            case kv.Error_Unavailable(what):
                raise retry(f"kv unavailable: {what}")
            case kv.Error_Limit(what) | kv.Error_NotACounter(what):
                raise permanent(f"kv: {what}")


def change_of(push: dict[str, Any]) -> str:
    for change in ("deleted", "created", "forced"):
        if push.get(change):
            return change
    return "pushed"


def pusher_of(push: dict[str, Any]) -> str:
    pusher, sender = push.get("pusher") or {}, push.get("sender") or {}
    return pusher.get("name") or sender.get("login") or "somebody"


def target_of(push: dict[str, Any]) -> tuple[str, str]:
    """What kind of ref it is, and its short name: `branch` and `main`."""
    ref = push["ref"]
    for prefix, what in (("refs/heads/", "branch"), ("refs/tags/", "tag")):
        if ref.startswith(prefix):
            return what, ref.removeprefix(prefix)
    return "ref", ref


def describe_push(push: dict[str, Any]) -> str:
    repository = push["repository"]["full_name"]
    what, name = target_of(push)
    n = len(push["commits"])
    commits = "1 commit" if n == 1 else f"{n} commits"
    match change_of(push), n:
        case "deleted", _:
            did = f"{what} {name} deleted from {repository}"
        case "created", 0:
            did = f"{what} {name} created in {repository}"
        case "created", _:
            did = f"{what} {name} created in {repository} with {commits}"
        case "forced", 0:
            did = f"{what} {name} force-pushed in {repository}"
        case "forced", _:
            did = f"{commits} force-pushed to {repository} on {name}"
        case _, 0:
            did = f"{what} {name} updated in {repository}"
        case _, _:
            did = f"{commits} to {repository} on {name}"
    return f"{did} by {pusher_of(push)}"


def digest(push: dict[str, Any]) -> dict[str, Any]:
    """The data that is kept with the run."""
    return {
        "repository": push["repository"]["full_name"],
        "ref": push["ref"],
        "change": change_of(push),
        "commits": len(push["commits"]),
        "pusher": pusher_of(push),
        "compare": push.get("compare"),
    }
