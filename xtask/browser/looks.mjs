// How every page looks, with nothing, with much and with hostile things to show, in light and
// dark, narrow and wide: sound for axe, never wider than the window, and kept as a picture.

const SCHEMES = ["light", "dark"];
const WIDTHS = [360, 1920];
const PAGES = ["/", "/events", "/events/replay", "/runs", "/runs/retry", "/plugins", "/sources", "/quarantine", "/quarantine/release", "/operations", "/send", "/audit", "/tokens", "/sources/github", "/docs/", "/nothing"];

/** Fills a host with an ordinary day. */
export async function fill(host) {
  for (let n = 0; n < 70; n += 1) await host.push((n % 5) + 1);
  const kinds = ["invoice.paid", "customer.subscription.updated", "order.created", "charge.refunded"];
  for (let n = 0; n < 40; n += 1) await host.order(kinds[n % kinds.length], JSON.stringify({ n, total: n * 99, currency: "EUR" }));
  for (let n = 0; n < 6; n += 1) await host.order("order.created", JSON.stringify({ n }), { secret: "an old secret" });
  const modes = [{ do: "ok" }, { do: "permanent" }, { do: "panic" }, { do: "kv_mix" }, { do: "retry_until", attempt: 2 }, { do: "print", text: "one\ntwo" }];
  let last;
  for (let n = 0; n < 30; n += 1) last = await host.tell(modes[n % modes.length]);
  await host.run(last, "succeeded", "dead");
  const waiting = await host.tell({ do: "retry", after_ms: 3_600_000 });
  await host.run(waiting, "waiting");
  await host.ask("POST", "events/replay", { filter: { kind: "push" }, dry_run: true });
  return details(host);
}

/** Fills a host with what somebody sends who means harm. */
export async function fillWithHarm(host) {
  const script = '"><script>alert(1)</script><img src=x onerror=alert(2)>';
  await host.order(script, JSON.stringify({ [script]: script }), { "x-note": script });
  await host.order("k".repeat(300), JSON.stringify({ ["n".repeat(500)]: "v".repeat(20_000) }));
  await host.order("rtl", JSON.stringify({ "שלום": "עולם \u202e evil \u202d", "عربي": "نص طويل ".repeat(200) }));
  const items = Array.from({ length: 14_000 }, (_, id) => ({ id, name: `item number ${id}`, deep: { a: [1, 2, { b: null }] } }));
  await host.order("one.line", JSON.stringify({ items }));
  await host.order("deep", `${"[".repeat(100)}${"]".repeat(100)}`);
  await host.order("bytes", Buffer.from([0, 1, 2, 255, 254]), { "content-type": "application/octet-stream" });
  await host.order("empty.text", " ", { "content-type": "text/plain" });
  const modes = [
    { do: "print", text: `${script}\n\u202e reversed` },
    { do: "big_summary", bytes: 3000 },
    { do: "kv_set", key: script, value: script },
    { do: "env" },
  ];
  for (const what of modes) {
    const event = await host.tell(what);
    await host.run(event, "succeeded", "dead");
  }
  await host.ask("POST", "quarantine/release", { filter: { reason: script.repeat(20) }, dry_run: true });
  return details(host);
}

/** Pages of single things: every event's if they are few, and a run of each state. */
async function details(host) {
  const events = (await host.items("events?limit=30")).map(({ id, kind }) => [`/events/${id}`, kind]);
  const kinds = new Map(events.map(([page, kind]) => [kind, page]));
  const runs = await host.items("runs?limit=100");
  const states = new Map(runs.map(({ id, state, plugin }) => [`${state} ${plugin}`, `/runs/${id}`]));
  const plugins = (await host.items("plugins")).flatMap(({ name }) => [`/plugins/${name}`, `/plugins/${name}/kv`]);
  const sources = (await host.items("sources")).map(({ name }) => `/sources/${name}`);
  const kept = (await host.items("quarantine?limit=1")).map(({ id }) => `/quarantine/${id}`);
  const operations = (await host.items("operations")).map(({ id }) => `/operations/${id}`);
  return [...kinds.values(), ...states.values(), ...plugins, ...sources, ...kept, ...operations];
}

/** Every page of a host, in every look. */
export async function look(browser, host, name, more = []) {
  for (const scheme of SCHEMES) {
    for (const width of WIDTHS) {
      const visitor = await browser.visitor(host, { scheme, width });
      const { page } = visitor;
      visitor.expected.add(404);
      await page.goto("/login");
      await visitor.isSound(`${name}: /login, ${scheme}, ${width} px`);
      await visitor.screenshot(`${name}-login-${scheme}-${width}`);
      await visitor.signIn();
      let nth = 0;
      for (const address of [...PAGES, ...more]) {
        await page.goto(address);
        await visitor.isSound(`${name}: ${address}, ${scheme}, ${width} px`);
        nth += 1;
        const title = `${String(nth).padStart(2, "0")}${address.replace(/[^a-z0-9]+/gi, "-")}`;
        await visitor.screenshot(`${name}-${title}-${scheme}-${width}`);
      }
      await visitor.leave();
    }
  }
}

/** A megabyte in one line is a tree that folds, like any other. */
export async function aLongLine(browser, host) {
  const visitor = await browser.visitor(host);
  const { page } = visitor;
  const { id } = (await host.items("events")).find(({ kind }) => kind === "one.line");
  await visitor.signIn();
  await page.goto(`/events/${id}`);
  await visitor.press("Show all of it");
  await page.locator(".json").getByText("14,000 ]").waitFor();
  await page.locator(".json summary", { hasText: '"items"' }).click();
  await page.locator(".json").getByText("13,800 more").waitFor();
  await visitor.isSound("a megabyte, unfolded");
  await visitor.leave();
}
