// A real host on a folder of its own: its configuration, its plugins, deliveries as providers
// make them, and the admin API that every effect is read from.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac, randomUUID } from "node:crypto";
import { copyFileSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";

const { HOOKBAY, PLUGINS, GUESTS } = process.env;
// How long a condition may take; only what is broken needs it.
const PATIENCE_MS = 60_000;

export const TOKEN = "a token of the browser tests";
const GITHUB_SECRET = "what github signs with";
const ORDERS_SECRET = "what orders are signed with";

/** Waits until `condition` gives something, and gives that. */
export async function until(what, condition) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${PATIENCE_MS} ms in vain: ${what}`);
    await new Promise((go) => setTimeout(go, 50));
  }
}

const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

export class Host {
  static async start(name, { plugins = [] } = {}) {
    const host = new Host();
    host.folder = path.resolve("hosts", name);
    rmSync(host.folder, { recursive: true, force: true });
    mkdirSync(path.join(host.folder, "plugins.d"), { recursive: true });
    [host.port, host.adminPort] = [await freePort(), await freePort()];
    host.public = `http://127.0.0.1:${host.port}`;
    host.admin = `http://127.0.0.1:${host.adminPort}`;
    host.configure({});
    for (const [file, as] of plugins) host.place(file, as);
    const log = openSync(path.join(host.folder, "host.log"), "a");
    host.child = spawn(HOOKBAY, ["--config", "hookbay.toml", "serve"], {
      cwd: host.folder,
      env: { HOOKBAY_ADMIN_TOKEN: TOKEN, PATH: process.env.PATH },
      stdio: ["ignore", log, log],
    });
    host.ended = new Promise((resolve) => host.child.on("exit", resolve));
    await until("the host is ready", async () => {
      if (host.child.exitCode !== null) throw new Error(readFileSync(path.join(host.folder, "host.log"), "utf8"));
      return fetch(`${host.public}/readyz`).then((answer) => answer.ok, () => false);
    });
    return host;
  }

  async stop() {
    this.child.kill("SIGTERM");
    await this.ended;
  }

  /** Writes the configuration; a host that runs takes it over. */
  configure({ sources = true, ordersSecret = ORDERS_SECRET }) {
    const tables = `
[sources.github]
provider = "github"
secret = ${JSON.stringify(GITHUB_SECRET)}

[sources.orders]
provider = "generic"
secret = ${JSON.stringify(ordersSecret)}
kind_header = "x-kind"

[sources.misbehave]
provider = "none"
kind_pointer = "/kind"
`;
    const text = `
listen = "127.0.0.1:${this.port}"
admin_listen = "127.0.0.1:${this.adminPort}"
database = "sqlite://hookbay.db"
limits = { concurrent_runs = 8, memory = "64MiB" }
${sources ? tables : ""}
[plugins.misbehave]
retry = { attempts = 3, first = "100ms", factor = 1 }
journal = "all"
`;
    const file = path.join(this.folder, "hookbay.toml");
    writeFileSync(`${file}.new`, text, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }

  /** Puts a component under a name, as a deployment does. */
  place(file, as = file) {
    const from = path.join(file === "github-push" ? PLUGINS : GUESTS, `${file}.wasm`);
    const to = path.join(this.folder, "plugins.d", `${as}.wasm`);
    copyFileSync(from, `${to}.tmp`);
    renameSync(`${to}.tmp`, to);
  }

  async ask(method, address, body) {
    const answer = await fetch(`${this.admin}/api/v1/${address}`, {
      method,
      headers: {
        authorization: `Bearer ${TOKEN}`,
        ...(body && { "content-type": "application/json" }),
      },
      body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${address}: ${answer.status} ${text}`);
    return text && JSON.parse(text);
  }

  get(address) {
    return this.ask("GET", address);
  }

  async items(address) {
    return (await this.get(address)).items;
  }

  async rescan() {
    await this.ask("POST", "plugins/rescan");
  }

  /** A webhook; its answer's status, and the event that it names. */
  async deliver(source, body, headers = {}) {
    const answer = await fetch(`${this.public}/webhooks/${source}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body,
    });
    const text = await answer.text();
    const event = answer.ok ? JSON.parse(text).event_id : undefined;
    return { status: answer.status, event };
  }

  /** A push as GitHub signs it. */
  push(commits = 1) {
    const push = JSON.stringify({
      ref: "refs/heads/main",
      before: "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
      after: "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5",
      repository: { id: 186853002, full_name: "octo-labs/harbor" },
      installation: { id: "INSTALLATION" },
      pusher: { name: "mona-brandt", email: "mona@example.com" },
      sender: { login: "mona-brandt" },
      created: false,
      deleted: false,
      forced: false,
      compare: "https://github.example/compare/6113728f27ae...59b20b8d5c6f",
      commits: Array.from({ length: commits }, (_, n) => ({ id: String(n).padStart(40, "0"), message: `Commit ${n}` })),
    });
    // More digits than a number of JavaScript has.
    const body = push.replace('"INSTALLATION"', "9007199254740993");
    return this.deliver("github", body, {
      "x-github-event": "push",
      "x-github-delivery": randomUUID(),
      "x-hub-signature-256": `sha256=${hmac(GITHUB_SECRET, body)}`,
    });
  }

  /** An order, signed with this secret. */
  order(kind, body, { secret = ORDERS_SECRET, ...headers } = {}) {
    return this.deliver("orders", body, {
      "x-kind": kind,
      "x-webhook-signature": hmac(secret, body),
      ...headers,
    });
  }

  /** What the guest `misbehave` is to do; the event. */
  async tell(what) {
    const { status, event } = await this.deliver("misbehave", JSON.stringify(what));
    assert.equal(status, 202);
    return event;
  }

  /** The one run of an event, once it is in one of these states. */
  async run(event, ...states) {
    return until(`the run of ${event} is ${states}`, async () => {
      const [run] = (await this.get(`events/${event}`)).runs;
      return run && states.includes(run.state) && run;
    });
  }
}

const hmac = (secret, body) => createHmac("sha256", secret).update(body).digest("hex");
