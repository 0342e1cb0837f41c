// A headless Chromium that reports whatever a page must not do: errors in its console,
// dialogs that a script opens, requests to anybody but the host.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { chromium } from "playwright-core";

import { TOKEN } from "./host.mjs";

const ARGUMENTS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const AXE = readFileSync("node_modules/axe-core/axe.min.js", "utf8");
const SCREENSHOTS = path.resolve("screenshots");
const PATIENCE_MS = 30_000;

export class Browser {
  static async start() {
    const browser = new Browser();
    rmSync(SCREENSHOTS, { recursive: true, force: true });
    mkdirSync(SCREENSHOTS, { recursive: true });
    browser.chromium = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ARGUMENTS });
    return browser;
  }

  /** Of each page that is open, for whoever looks into a failure. */
  async pictureAll() {
    const pages = this.chromium.contexts().flatMap((context) => context.pages());
    for (const [at, page] of pages.entries()) {
      console.error(`open: ${page.url()}`);
      await page.screenshot({ path: path.join(SCREENSHOTS, `failure-${at}.png`), fullPage: true }).catch(() => {});
    }
  }

  async stop() {
    await this.chromium.close();
  }

  /** A visitor of a host, with cookies of their own. */
  async visitor(host, { width = 1280, scheme = "light", script = true } = {}) {
    const context = await this.chromium.newContext({
      baseURL: host.admin,
      viewport: { width, height: 900 },
      colorScheme: scheme,
      reducedMotion: "reduce",
      javaScriptEnabled: script,
      acceptDownloads: true,
    });
    context.setDefaultTimeout(PATIENCE_MS);
    const visitor = new Visitor(await context.newPage(), host);
    await context.route("**/*", (route) => {
      const to = new URL(route.request().url());
      if (to.origin === host.admin) return route.continue();
      visitor.faults.push(`a request left for ${to}`);
      return route.abort();
    });
    return visitor;
  }
}

class Visitor {
  constructor(page, host) {
    this.page = page;
    this.host = host;
    this.faults = [];
    /** Statuses of refusals that a journey asks for. */
    this.expected = new Set();
    page.on("console", (message) => {
      if (!["error", "warning"].includes(message.type())) return;
      const text = message.text();
      const isExpected = [...this.expected].some((status) => text.includes(`status of ${status}`));
      if (!isExpected) this.faults.push(`console at ${page.url()}: ${text}`);
    });
    page.on("pageerror", (error) => this.faults.push(`script at ${page.url()}: ${error.message}`));
    page.on("dialog", async (dialog) => {
      this.faults.push(`a dialog at ${page.url()}: ${dialog.message()}`);
      await dialog.dismiss();
    });
  }

  async signIn(token = TOKEN) {
    await this.page.goto("/login");
    await this.page.fill("#token", token);
    await this.page.click("form button");
    await this.page.waitForURL("**/");
  }

  /** Presses a button, in the part of the page that a selector names. */
  async press(name, within = "main") {
    await this.page.locator(within).getByRole("button", { name, exact: true }).click();
  }

  /** Presses a button that asks first, and says yes. */
  async pressSurely(name, within = "main") {
    await this.press(name, within);
    await this.page.locator("dialog[open]").getByRole("button", { name, exact: true }).click();
  }

  /** Waits for a text in the page's main part, in just this case. */
  async sees(text) {
    const exactly = new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    await this.page.locator("main").getByText(exactly).first().waitFor();
  }

  async screenshot(name) {
    await this.page.screenshot({ path: path.join(SCREENSHOTS, `${name}.png`), fullPage: true });
  }

  /** Nothing is wider than the window, and axe has no serious finding. */
  async isSound(what) {
    const beyond = await this.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (beyond > 0) this.faults.push(`${what} is ${beyond} px wider than the window`);
    await this.page.evaluate(AXE);
    const findings = await this.page.evaluate(async () => {
      const { violations } = await axe.run(document, { resultTypes: ["violations"] });
      const about = (node) => `${node.target} ${node.any[0]?.message ?? ""}`;
      return violations
        .filter(({ impact }) => ["serious", "critical"].includes(impact))
        .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(about).join("; ")}`);
    });
    for (const finding of findings) this.faults.push(`${what}: ${finding}`);
  }

  /** Leaves; fails if a page did what it must not. */
  async leave() {
    await this.page.context().close();
    assert.deepEqual(this.faults, []);
  }
}
