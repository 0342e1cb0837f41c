// Says what was pushed to GitHub, and counts the pushes to each repository: what
// `plugins/github-push` does in Rust, with the same answers.
//
// The engine is QuickJS, which has no TextDecoder, URL or console; the contract is in
// `wit/` (records are objects with camelCase names, an option that is none is null,
// `result` is a return or a throw of the error's value).

import kv from "hookbay:plugin/kv@0.1.0";
import log from "hookbay:plugin/log@0.1.0";

export const handler = {
  describe() {
    return {
      name: "github-push-js",
      version: "0.1.0",
      description: "Says what was pushed and counts pushes per repository",
      triggers: [
        { origin: { tag: "provider", val: "github" }, kind: "push", orderingKey: null },
      ],
      wants: { endpoints: [], secrets: [], config: [] },
    };
  },

  handle(event, _run) {
    const push = read(event);
    const repository = push.repository.full_name;
    const summary = describePush(push);

    // Merges with the increments of pushes that are handled at the same time.
    count(`pushes/${repository}`);

    log.write("info", summary, [
      { name: "repository", value: repository },
      { name: "commits", value: String(push.commits.length) },
    ]);
    return { summary, data: JSON.stringify(digest(push)) };
  },
};

// A failure is thrown as the contract's variant; any other exception is a bug, and ends
// the attempt with its text.
function permanent(reason) {
  return { tag: "permanent", val: { reason } };
}

function retry(reason) {
  return { tag: "retry", val: { reason, afterMs: null } };
}

// The payload, as far as this plugin reads it:
// https://docs.github.com/en/webhooks/webhook-events-and-payloads#push
function read(event) {
  let push;
  try {
    push = JSON.parse(utf8(event.body));
  } catch (error) {
    throw permanent(`body of the ${event.kind} event: ${error.message}`);
  }
  const wrong = (what) => permanent(`body of the ${event.kind} event: ${what}`);
  if (typeof push?.ref !== "string") throw wrong("`ref` is no text");
  if (typeof push.repository?.full_name !== "string") {
    throw wrong("`repository.full_name` is no text");
  }
  push.commits ??= [];
  if (!Array.isArray(push.commits)) throw wrong("`commits` is no list");
  return push;
}

function utf8(bytes) {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  // What `escape` makes of each byte, `decodeURIComponent` reads as UTF-8, strictly.
  return decodeURIComponent(escape(binary));
}

function count(key) {
  try {
    kv.increment(key, 1);
  } catch (error) {
    // Thrown by the host: the contract's `kv.error`.
    const reason = `kv ${error.tag}: ${error.val}`;
    throw error.tag === "unavailable" ? retry(reason) : permanent(reason);
  }
}

function changeOf(push) {
  if (push.deleted) return "deleted";
  if (push.created) return "created";
  if (push.forced) return "forced";
  return "pushed";
}

function pusherOf(push) {
  return push.pusher?.name ?? push.sender?.login ?? "somebody";
}

// What kind of ref it is, and its short name: `branch` and `main`.
function targetOf(push) {
  for (const [prefix, what] of [["refs/heads/", "branch"], ["refs/tags/", "tag"]]) {
    if (push.ref.startsWith(prefix)) return [what, push.ref.slice(prefix.length)];
  }
  return ["ref", push.ref];
}

function describePush(push) {
  const repository = push.repository.full_name;
  const [what, name] = targetOf(push);
  const n = push.commits.length;
  const commits = n === 1 ? "1 commit" : `${n} commits`;
  const did = {
    deleted: () => `${what} ${name} deleted from ${repository}`,
    created: () =>
      `${what} ${name} created in ${repository}` + (n === 0 ? "" : ` with ${commits}`),
    forced: () =>
      n === 0
        ? `${what} ${name} force-pushed in ${repository}`
        : `${commits} force-pushed to ${repository} on ${name}`,
    pushed: () =>
      n === 0
        ? `${what} ${name} updated in ${repository}`
        : `${commits} to ${repository} on ${name}`,
  };
  return `${did[changeOf(push)]()} by ${pusherOf(push)}`;
}

// The data that is kept with the run.
function digest(push) {
  return {
    repository: push.repository.full_name,
    ref: push.ref,
    change: changeOf(push),
    commits: push.commits.length,
    pusher: pusherOf(push),
    compare: push.compare ?? null,
  };
}
