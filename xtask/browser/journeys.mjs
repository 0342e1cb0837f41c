// What operators do, button by button. Each effect is read from the admin API.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { TOKEN, until } from "./host.mjs";

/** In, and out again. */
export async function signingIn(browser, host) {
  const visitor = await browser.visitor(host);
  const { page } = visitor;
  visitor.expected.add(401);
  await page.goto("/runs?state=dead");
  assert.match(page.url(), /\/login\?next=/);
  await page.fill("#token", "not the token");
  await visitor.press("Sign in");
  await visitor.sees("No token that is good here");
  await page.fill("#token", TOKEN);
  await visitor.press("Sign in");
  await page.waitForURL("**/runs?state=dead");
  const [cookie] = (await page.context().cookies()).filter(({ name }) => name === "hookbay_session");
  assert.ok(cookie.httpOnly && cookie.sameSite === "Strict");
  await visitor.press("Sign out", "header");
  await page.waitForURL("**/login");
  await page.goto("/events");
  assert.match(page.url(), /\/login/);
  await visitor.leave();
}

/** An event arrives while somebody looks; it is opened, and its body folds. */
export async function aLiveEvent(browser, host) {
  const visitor = await browser.visitor(host);
  const { page } = visitor;
  await visitor.signIn();
  await page.goto("/events");
  await visitor.sees("No event yet.");
  await page.evaluate(() => (window.isSamePage = true));
  const { event } = await host.push(2);
  await page.locator(`a[href="/events/${event}"]`).waitFor();
  assert.equal(await page.evaluate(() => window.isSamePage), true);

  await page.locator("tr", { has: page.locator(`a[href="/events/${event}"]`) }).click();
  await page.waitForURL(`**/events/${event}`);
  const tree = page.locator(".json");
  await tree.getByText('"octo-labs/harbor"').waitFor();
  // Each digit as it came.
  await tree.getByText("9007199254740993", { exact: true }).waitFor();
  const fold = tree.locator("details", { hasText: '"repository"' }).last();
  await fold.locator("summary").first().click();
  await tree.getByText('"octo-labs/harbor"').waitFor({ state: "hidden" });
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("link", { name: "Download the exact bytes" }).click(),
  ]);
  const bytes = readFileSync(await download.path());
  const kept = await fetch(`${host.admin}/api/v1/events/${event}/body`, { headers: { authorization: `Bearer ${TOKEN}` } });
  assert.deepEqual(bytes, Buffer.from(await kept.arrayBuffer()));
  await visitor.leave();
}

/** From an event to its failed run, which succeeds when it is tried again. */
export async function aFailedRun(browser, host) {
  const visitor = await browser.visitor(host);
  const { page } = visitor;
  const event = await host.tell({ do: "retry_until", attempt: 4 });
  const { id } = await host.run(event, "dead");
  await visitor.signIn();
  await page.goto(`/events/${event}`);
  await page.locator("main").getByRole("link", { name: id, exact: true }).click();
  await page.waitForURL(`**/runs/${id}`);
  await visitor.sees("asked to retry");
  await visitor.press("Retry");
  await page.locator("h1 + .pill.succeeded").waitFor();
  const run = await host.get(`runs/${id}`);
  assert.equal(run.state, "succeeded");
  assert.deepEqual(run.attempts.map(({ outcome }) => outcome), ["retry", "retry", "retry", "succeeded"]);
  // The page that looks again by itself has the last attempt, and what is different of it.
  const last = page.locator("#attempt-4");
  assert.equal(await last.evaluate((attempt) => attempt.open), true);
  await last.getByText("Different from attempt 3").waitFor();
  await visitor.leave();
}

/** One event again, then all of a filter, counted first. */
export async function replays(browser, host) {
  const visitor = await browser.visitor(host);
  const { page } = visitor;
  await visitor.signIn();
  const events = [];
  for (let n = 0; n < 3; n += 1) events.push(await host.tell({ do: "ok", kind: "bulk.replay" }));
  for (const event of events) await host.run(event, "succeeded");

  await page.goto(`/events/${events[0]}`);
  await page.getByLabel("Replay with").selectOption("misbehave");
  await visitor.press("Replay");
  await page.waitForURL("**/runs/*");
  assert.equal((await host.get(`events/${events[0]}`)).runs.length, 2);

  await page.goto("/events?kind=bulk.replay");
  await page.getByRole("link", { name: "Replay these…" }).click();
  await visitor.press("Only count them");
  await page.waitForURL("**/operations/*");
  const [count] = await until("they are counted", async () => {
    const found = await host.items("operations");
    return found[0]?.state === "succeeded" && found;
  });
  assert.equal(count.total, 3);
  await page.getByText("3 events would be replayed.").waitFor();
  assert.equal((await host.get(`events/${events[1]}`)).runs.length, 1);

  await page.getByRole("link", { name: "Replay them…" }).click();
  await page.getByLabel("With").selectOption("misbehave");
  await visitor.press("Replay them");
  await page.waitForURL("**/operations/*");
  const operation = await until("they are replayed", async () => {
    const [newest] = await host.items("operations");
    return newest.id !== count.id && newest.state === "succeeded" && newest;
  });
  assert.deepEqual([operation.done, operation.total], [3, 3]);
  await page.locator("h1 + .pill.succeeded").waitFor();
  await page.getByText("3 events replayed.").waitFor();
  for (const [at, runs] of [[0, 3], [1, 2], [2, 2]]) {
    assert.equal((await host.get(`events/${events[at]}`)).runs.length, runs);
  }
  await visitor.leave();
}

/** Dead runs by filter; a run that waits is cancelled. */
export async function bulkRetry(browser, host) {
  const visitor = await browser.visitor(host);
  const { page } = visitor;
  await visitor.signIn();
  const event = await host.tell({ do: "permanent" });
  const { id } = await host.run(event, "dead");
  await page.goto(`/runs?event=${event}&state=dead`);
  await page.getByRole("link", { name: "Retry this dead run…" }).click();
  await visitor.press("Retry them");
  await page.waitForURL("**/operations/*");
  await until("it was tried again", async () => (await host.get(`runs/${id}`)).attempts.length === 2);

  const waiting = await host.tell({ do: "retry", after_ms: 3_600_000 });
  const run = await host.run(waiting, "waiting");
  await page.goto(`/runs/${run.id}`);
  await visitor.pressSurely("Cancel");
  await page.locator("h1 + .pill.cancelled").waitFor();
  assert.equal((await host.get(`runs/${run.id}`)).state, "cancelled");
  await visitor.leave();
}

/** A plugin rests, its runs wait, and go on. */
export async function pausing(browser, host) {
  const visitor = await browser.visitor(host);
  const { page } = visitor;
  const state = async () => (await host.get("plugins/misbehave")).state;
  await visitor.signIn();
  await page.goto("/plugins/misbehave");
  await visitor.press("Pause");
  await page.locator("dialog[open]").getByRole("button", { name: "Keep it as it is" }).click();
  assert.equal(await state(), "active");
  await visitor.pressSurely("Pause");
  await visitor.sees("Paused: its runs wait.");
  await until("it is paused", async () => (await state()) === "paused");
  const event = await host.tell({ do: "ok" });
  await host.run(event, "blocked");
  await page.goto("/plugins");
  await page.locator("tr", { hasText: "misbehave" }).getByRole("button", { name: "Resume" }).click();
  await until("it is active", async () => (await state()) === "active");
  await host.run(event, "succeeded");
  await visitor.leave();
}

/** Back to the version before, and forth again. */
export async function rollingBack(browser, host) {
  const visitor = await browser.visitor(host);
  const { page } = visitor;
  const first = (await host.get("plugins/roller")).digest;
  host.place("misbehave", "roller");
  await host.rescan();
  const second = await until("the newer file is active", async () => {
    const { digest } = await host.get("plugins/roller");
    return digest !== first && digest;
  });
  await visitor.signIn();
  await page.goto("/plugins/roller");
  await visitor.pressSurely("Roll back to this");
  await until("it is rolled back", async () => {
    const { digest, pinned } = await host.get("plugins/roller");
    return digest === first && pinned;
  });
  await visitor.sees("Rolled back, and pinned.");
  await page.locator(".tag", { hasText: "pinned" }).waitFor();
  await visitor.pressSurely("Unpin");
  await until("the file decides again", async () => {
    const { digest, pinned } = await host.get("plugins/roller");
    return digest === second && !pinned;
  });
  await visitor.sees("Unpinned: the file");
  // A file that needs what it is not granted does not run, and says what is missing.
  host.place("wants-config", "roller");
  await page.goto("/plugins");
  await visitor.press("Look for new files");
  await until("it is held", async () => {
    const { missing_grants } = await host.get("plugins/roller");
    return missing_grants?.[0] === "config.database_id";
  });
  await page.goto("/plugins/roller");
  await visitor.sees("A newer file is not active");
  await visitor.sees("not granted");
  await visitor.leave();
}

/** A source takes nothing for a while. */
export async function pausingASource(browser, host) {
  const visitor = await browser.visitor(host);
  const { page } = visitor;
  const isPaused = async () => (await host.items("sources")).find(({ name }) => name === "github").paused;
  await visitor.signIn();
  await page.goto("/sources");
  await visitor.pressSurely("Pause", "#github");
  await until("it is paused", isPaused);
  assert.equal((await host.push()).status, 503);
  await visitor.sees("Paused: its webhooks");
  await visitor.press("Resume", "#github");
  await until("it is resumed", async () => !(await isPaused()));
  await until("it takes webhooks again", async () => (await host.push()).status === 202);
  await visitor.leave();
}

/** A secret is corrected, and what was refused for it is released. */
export async function releasing(browser, host) {
  const visitor = await browser.visitor(host);
  const { page } = visitor;
  const secret = "what orders are signed with since today";
  const refused = await host.order("order.paid", JSON.stringify({ id: "o-1" }), { secret });
  assert.equal(refused.status, 401);
  await visitor.signIn();
  await until("it is in quarantine", async () => (await host.items("quarantine?source=orders")).length > 0);
  await page.goto("/quarantine?source=orders");
  await page.locator(".row-link").first().click();
  await page.waitForURL("**/quarantine/*");
  await visitor.press("Release");
  // Not yet: nothing proves it still.
  await page.locator(".notice.bad[role=alert]").waitFor();
  assert.equal((await host.items("events?source=orders")).length, 0);
  host.configure({ ordersSecret: secret });
  await until("the secret is in force", async () => {
    const taken = await host.order("order.other", JSON.stringify({ id: "o-2" }), { secret });
    return taken.status === 202;
  });
  await visitor.press("Release");
  await page.waitForURL("**/events/*");
  const event = await host.get(`events/${page.url().split("/").at(-1)}`);
  assert.equal(event.kind, "order.paid");
  assert.equal((await host.items("quarantine?source=orders")).some(({ id }) => id === event.id), false);

  const kept = async () => (await host.items("quarantine?source=orders&limit=1000")).length;
  const before = await kept();
  await host.order("order.late", JSON.stringify({ id: "o-3" }), { secret: "what orders were signed with" });
  await until("another one is in quarantine", async () => (await kept()) > before);
  const known = new Set((await host.items("operations")).map(({ id }) => id));
  await page.goto("/quarantine?source=orders");
  await page.getByRole("link", { name: "Release in bulk…" }).click();
  await visitor.press("Only count them");
  await page.waitForURL("**/operations/*");
  const operation = await until("they are counted", async () => {
    const [newest] = await host.items("operations");
    return !known.has(newest.id) && newest.state === "succeeded" && newest;
  });
  assert.match(operation.what, /release/);
  // Nothing is released by counting.
  assert.equal(await kept(), before + 1);
  await visitor.leave();
}

/** A sample, changed before it is sent. */
export async function sendingASample(browser, host) {
  const visitor = await browser.visitor(host);
  const { page } = visitor;
  await visitor.signIn();
  await page.goto("/sources");
  await page.locator("#github").getByRole("link", { name: "Send a sample" }).click();
  await page.getByLabel("Sample").selectOption("push");
  await visitor.press("Show");
  await page.waitForURL(/kind=push/);
  const body = page.getByRole("textbox", { name: "Body" });
  await body.fill((await body.inputValue()).replaceAll("octo-labs/harbor", "octo-labs/quay"));
  await visitor.press("Send to github");
  await page.waitForURL("**/events/*");
  await visitor.sees("Sent; the host answered 202.");
  const event = page.url().split("/").at(-1);
  const run = await host.run(event, "succeeded");
  assert.match(run.summary, /octo-labs\/quay/);
  await visitor.leave();
}

/** The keyboard alone. */
export async function byKeyboard(browser, host) {
  const visitor = await browser.visitor(host);
  const { page } = visitor;
  await page.goto("/login");
  // The field has the focus by itself.
  await page.locator("#token:focus").waitFor();
  await page.keyboard.type(TOKEN);
  await page.keyboard.press("Enter");
  await page.waitForURL("**/");
  await page.keyboard.press("Tab");
  const skip = page.getByRole("link", { name: "Skip to the content" });
  assert.equal(await skip.evaluate((link) => link === document.activeElement), true);
  assert.ok((await skip.boundingBox()).y >= 0, "it is seen when it has the focus");
  await page.keyboard.press("Enter");
  await page.goto("/events");
  const event = page.locator(".row-link").first();
  await event.focus();
  await page.keyboard.press("Enter");
  await page.waitForURL("**/events/*");
  // Whatever can have the focus shows it.
  const hidden = await page.evaluate(() => {
    const candidates = [...document.querySelectorAll("main :is(a[href], button, select, summary, [tabindex='0'])")];
    return candidates.filter((element) => {
      if (!element.checkVisibility()) return false;
      element.focus({ focusVisible: true });
      // The link of a row shows it around the row.
      return [element, element.closest("tr")].filter(Boolean).every((shown) => {
        const { outlineStyle, outlineWidth } = getComputedStyle(shown);
        return outlineStyle === "none" || parseFloat(outlineWidth) < 1;
      });
    }).length;
  });
  assert.equal(hidden, 0);
  await visitor.leave();
}

/** Everything but what goes on by itself, without any script. */
export async function withoutScript(browser, host) {
  const visitor = await browser.visitor(host, { script: false });
  const { page } = visitor;
  await visitor.signIn();
  const event = await host.tell({ do: "permanent" });
  const { id } = await host.run(event, "dead");
  await page.goto(`/events/${event}`);
  await page.locator("pre", { hasText: "permanent" }).waitFor();
  await page.goto(`/runs/${id}`);
  await visitor.press("Retry");
  await visitor.sees("It is due now.");
  await until("it was tried again", async () => (await host.get(`runs/${id}`)).attempts.length === 2);
  await page.goto("/plugins/misbehave");
  await visitor.press("Pause");
  await until("it is paused", async () => (await host.get("plugins/misbehave")).state === "paused");
  await visitor.sees("Paused: its runs wait.");
  // A plugin rests a little later than its button was pressed, and no script looks again.
  await page.goto("/plugins/misbehave");
  await visitor.press("Resume");
  await until("it is active", async () => (await host.get("plugins/misbehave")).state === "active");
  await visitor.leave();
}

/** What a plugin keeps, found by the beginning of its key. */
export async function lookingIntoState(browser, host) {
  const visitor = await browser.visitor(host);
  const { page } = visitor;
  for (const key of ["orders/1", "orders/2", "people/1"]) {
    const event = await host.tell({ do: "kv_set", key, value: `what ${key} has` });
    await host.run(event, "succeeded");
  }
  await visitor.signIn();
  await page.goto("/plugins/misbehave");
  await page.getByRole("link", { name: "What it keeps" }).click();
  await page.waitForURL("**/plugins/misbehave/kv");
  await visitor.sees("what people/1 has");
  await page.getByLabel("Keys that begin with").fill("orders/");
  await visitor.press("Show");
  await page.waitForURL(/prefix=orders/);
  const shown = await page.locator("tbody td.id bdi").allTextContents();
  const kept = await host.items("plugins/misbehave/kv?prefix=orders/");
  assert.deepEqual(shown, kept.map(({ key }) => key));
  assert.equal(shown.length, 2);
  await visitor.leave();
}

/** A token is made, shown once, good for what it says, and taken away; all of it is noted. */
export async function tokens(browser, host) {
  const visitor = await browser.visitor(host);
  const { page } = visitor;
  const status = async (method, address, token) => {
    const headers = { authorization: `Bearer ${token}` };
    return (await fetch(`${host.admin}/api/v1/${address}`, { method, headers })).status;
  };
  await visitor.signIn();
  await page.locator("header").getByRole("link", { name: "Tokens" }).click();
  await page.waitForURL("**/tokens");
  await page.getByLabel("Name").fill("wallboard");
  await page.getByLabel("May").selectOption("read");
  await visitor.press("Make it");
  const token = await page.locator("#made code").textContent();
  assert.match(token, /^hookbay_[0-9a-f]{64}$/);
  assert.equal(await status("GET", "events", token), 200);
  assert.equal(await status("POST", "plugins/rescan", token), 403);
  const [made] = (await host.items("tokens")).filter(({ name }) => name === "wallboard");
  assert.ok(Date.parse(made.expires_at) > Date.now());
  await page.goto("/tokens");
  assert.equal((await page.content()).includes(token), false, "it is shown once");

  // Whoever may only look sees no button, and is told what is not for them.
  const looker = await browser.visitor(host);
  looker.expected.add(403);
  await looker.signIn(token);
  await looker.page.goto("/plugins/misbehave");
  await looker.sees("Wanted and granted");
  assert.equal(await looker.page.locator("main form[method=post]").count(), 0);
  assert.equal(await looker.page.getByRole("link", { name: "Tokens" }).count(), 0);
  await looker.page.goto("/audit");
  await looker.sees("Not allowed");
  await looker.leave();

  const row = page.locator("tr", { hasText: "wallboard" });
  await row.getByRole("button", { name: "Revoke" }).click();
  await page.locator("dialog[open]").getByRole("button", { name: "Revoke" }).click();
  await until("it is worth nothing", async () => (await status("GET", "events", token)) === 401);
  await row.waitFor({ state: "detached" });

  await page.locator("header").getByRole("link", { name: "Audit log" }).click();
  await page.waitForURL("**/audit");
  await page.getByLabel("Action").fill("tokens.revoke");
  await visitor.press("Show");
  await page.waitForURL(/action=tokens.revoke/);
  const [change] = await host.items("audit?action=tokens.revoke");
  assert.deepEqual([change.target, change.status], ["wallboard", 204]);
  await page.locator("tbody tr", { hasText: "wallboard" }).locator(".pill.done").waitFor();
  await visitor.leave();
}

/** A source says what was refused and why, and what to paste where. */
export async function aSourceThatRefuses(browser, host) {
  const visitor = await browser.visitor(host);
  const { page } = visitor;
  const body = JSON.stringify({ zen: "Keep it logically awesome." });
  const refused = await host.deliver("github", body, { "x-github-event": "ping", "x-hub-signature-256": "sha256=00" });
  assert.equal(refused.status, 401);
  const [kept] = await until("it is in quarantine", async () => {
    const found = await host.items("quarantine?source=github");
    return found.length > 0 && found;
  });
  await visitor.signIn();
  await page.goto("/sources");
  await page.locator("#github").getByRole("link", { name: "github", exact: true }).click();
  await page.waitForURL("**/sources/github");
  assert.equal(await page.locator(".address code").first().textContent(), `${host.public}/webhooks/github`);
  const failure = page.locator(".reasons li").first();
  await failure.getByText(kept.reason.message).waitFor();
  await failure.getByRole("link").click();
  await page.waitForURL(`**/quarantine/${kept.id}`);
  await visitor.leave();
}

/** Whatever is not there is a page that says so, and leads back. */
export async function wrongAddresses(browser, host) {
  const visitor = await browser.visitor(host);
  const { page } = visitor;
  for (const status of [400, 404, 405]) visitor.expected.add(status);
  await visitor.signIn();
  for (const [address, status, title] of [
    ["/nothing", 404, "Not found"],
    ["/events/nothing", 404, "Not found"],
    ["/sources/nobody", 404, "Not found"],
    ["/plugins/nobody", 404, "Not found"],
    ["/events/%FF", 400, "Bad request"],
    ["/plugins/misbehave/pause", 405, "Not done this way"],
    ["/logout", 405, "Not done this way"],
  ]) {
    const answer = await page.goto(address);
    assert.equal(answer.status(), status, address);
    assert.equal(await page.locator("h1").textContent(), title, address);
    await visitor.isSound(address);
    await page.getByRole("link", { name: "To the overview" }).click();
    await page.waitForURL("**/");
  }
  await visitor.leave();
}

/** The API's own page, from the menu, with a request that is sent from it. */
export async function theApi(browser, host) {
  const visitor = await browser.visitor(host);
  const { page } = visitor;
  await visitor.signIn();
  await page.locator("header").getByRole("link", { name: "API" }).click();
  await page.waitForURL("**/docs/");
  const operation = page.locator("details", { has: page.locator("summary code", { hasText: /^\/api\/v1\/sources$/ }) });
  await operation.locator("summary").click();
  await page.getByLabel("Token").fill(TOKEN);
  await operation.getByRole("button", { name: "Send" }).click();
  await operation.locator("pre", { hasText: '"github"' }).waitFor();
  await visitor.isSound("/docs/");
  await page.getByRole("link", { name: "To the dashboard" }).click();
  await page.waitForURL("**/");
  await visitor.leave();
}
