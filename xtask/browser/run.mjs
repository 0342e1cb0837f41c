// Everything, one after the other; the first failure ends it, with a picture of each page
// that was open.

import { Browser } from "./browser.mjs";
import { Host } from "./host.mjs";
import * as journeys from "./journeys.mjs";
import * as looks from "./looks.mjs";

const browser = await Browser.start();
const hosts = [];

async function start(name, options) {
  const host = await Host.start(name, options);
  hosts.push(host);
  return host;
}

async function step(title, action) {
  const began = Date.now();
  await action();
  console.log(`${title}: ${((Date.now() - began) / 1000).toFixed(1)} s`);
}

try {
  const guests = [["github-push"], ["misbehave"], ["noop", "roller"]];
  const host = await start("journeys", { plugins: guests });
  for (const journey of [
    journeys.signingIn,
    journeys.aLiveEvent,
    journeys.aFailedRun,
    journeys.replays,
    journeys.bulkRetry,
    journeys.pausing,
    journeys.rollingBack,
    journeys.pausingASource,
    journeys.releasing,
    journeys.sendingASample,
    journeys.lookingIntoState,
    journeys.tokens,
    journeys.aSourceThatRefuses,
    journeys.wrongAddresses,
    journeys.theApi,
    journeys.byKeyboard,
    journeys.withoutScript,
  ]) {
    await step(journey.name, () => journey(browser, host));
  }
  await step("nothing to show", async () => looks.look(browser, await start("nothing"), "nothing"));
  const busy = await start("busy", { plugins: [...guests, ["wants-config"]] });
  const pages = await looks.fill(busy);
  await step("much to show", () => looks.look(browser, busy, "busy", pages));
  const hostile = await start("hostile", { plugins: guests });
  const harmful = await looks.fillWithHarm(hostile);
  await step("hostile things to show", () => looks.look(browser, hostile, "hostile", harmful));
  await step("a megabyte in one line", () => looks.aLongLine(browser, hostile));
} catch (error) {
  console.error(error);
  await browser.pictureAll();
  process.exitCode = 1;
} finally {
  await browser.stop();
  await Promise.all(hosts.map((host) => host.stop()));
}
