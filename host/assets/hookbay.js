// What pages do by themselves: look again, tell times anew, ask before something is done,
// copy. Without it every page and button works; it only saves reloading.
"use strict";

// How often each live part looks again while a run is over, and when nothing answers.
const SLOW_S = 15;

// Asks the page's own address again and puts in what has changed of its live parts.
const live = {
  parts: [...document.querySelectorAll("[data-live]")],
  timer: 0,
  isAsking: false,
  stream: null,

  start() {
    if (this.parts.length === 0) return;
    const isFollowing = this.parts.some((part) => part.hasAttribute("data-stream"));
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return this.letGo();
      if (isFollowing) this.listen();
      this.look();
    });
    if (isFollowing) this.listen();
    this.tell("Live");
    this.later();
  },

  // The shortest wait that a part asks for.
  wait() {
    const seconds = this.parts.map((part) =>
      part.hasAttribute("data-live-slow") ? SLOW_S : Number(part.dataset.live),
    );
    return Math.min(...seconds);
  },

  later(seconds = this.wait()) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), seconds * 1000);
  },

  async look() {
    if (this.isAsking) return;
    if (document.hidden || this.isInUse()) return this.later();
    this.isAsking = true;
    let next;
    try {
      const answer = await fetch(location.href, {
        headers: { "hookbay-refresh": "1" },
        redirect: "manual",
      });
      if (answer.type === "opaqueredirect") return location.reload();
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        // Somebody may have begun to use it meanwhile.
        if (!this.isInUse()) this.parts.forEach((part) => this.put(part, page.getElementById(part.id)));
        this.tell("Live");
      } else {
        this.tell("Waiting for the host");
        next = SLOW_S;
      }
    } catch {
      this.tell("Waiting for the host");
      next = SLOW_S;
    } finally {
      this.isAsking = false;
      this.later(next);
    }
  },

  // Whether replacing anything would take it out of somebody's hands.
  isInUse() {
    const selection = getSelection();
    const isSelecting = selection && !selection.isCollapsed;
    const isAsked = document.querySelector("dialog[open]");
    const isTyping = document.activeElement?.matches("[data-live] :is(input, select, textarea)");
    return isSelecting || isAsked || isTyping;
  },

  put(part, fresh) {
    if (!fresh) return;
    if (fresh.hasAttribute("data-live-slow")) part.setAttribute("data-live-slow", "");
    else part.removeAttribute("data-live-slow");
    merge(part, fresh);
    window.dispatchEvent(new CustomEvent("hookbay-fresh", { detail: part }));
    times();
  },

  // Told by the host that something has happened: looks at once, but not all the time. A
  // page that nobody sees lets go of its connection, of which a browser has few.
  listen() {
    if (document.hidden || this.stream) return;
    this.stream = new EventSource("/stream");
    let soon = 0;
    this.stream.addEventListener("event", () => {
      if (soon) return;
      soon = setTimeout(() => {
        soon = 0;
        this.look();
      }, 300);
    });
  },

  letGo() {
    this.stream?.close();
    this.stream = null;
  },

  tell(text) {
    for (const state of document.querySelectorAll("[data-live-state]")) {
      state.hidden = false;
      if (state.textContent !== text) state.textContent = text;
      state.classList.toggle("away", text !== "Live");
    }
  },
};

// Makes an element like a fresh one, leaving alone what is the same: what has the focus
// keeps it, what was opened stays open.
function merge(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.hasAttribute("data-json-shown")) {
    if (old.dataset.jsonText === fresh.textContent) return;
    old.removeAttribute("data-json-shown");
  }
  for (const { name } of [...old.attributes]) {
    const isOurs = name === "open" || name === "data-copies";
    if (!isOurs && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of [...fresh.attributes]) {
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const olds = [...old.childNodes].filter((node) => !node.hookbay);
  const news = [...fresh.childNodes];
  news.forEach((node, at) => {
    const known = olds[at];
    if (!known) old.append(node.cloneNode(true));
    else if (known.nodeType === 1 && node.nodeType === 1 && known.tagName === node.tagName && known.id === node.id) merge(known, node);
    else if (!known.isEqualNode(node)) known.replaceWith(node.cloneNode(true));
  });
  olds.slice(news.length).forEach((node) => node.remove());
}

// `12 s ago` of every time on the page, as the host writes it; the exact time of the
// reader's own place in the title.
function times() {
  const now = Date.now() - skew;
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const then = Date.parse(time.dateTime);
    if (Number.isNaN(then)) continue;
    const seconds = Math.trunc((now - then) / 1000);
    const s = Math.abs(seconds);
    const amount =
      s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min` : s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
    const text = s === 0 ? "now" : seconds < 0 ? `in ${amount}` : `${amount} ago`;
    if (time.textContent !== text) time.textContent = text;
  }
}
// How far this clock is ahead of the host's.
const skew = (() => {
  const at = Date.parse(document.documentElement.dataset.now ?? "");
  return Number.isNaN(at) ? 0 : Date.now() - at;
})();

// Asks before a form is sent that cannot be taken back.
document.addEventListener("submit", (event) => {
  const form = event.target;
  const text = form.dataset.confirm;
  const dialog = document.getElementById("confirm");
  if (!text || form.isSure || !dialog?.showModal) return;
  event.preventDefault();
  const button = event.submitter;
  document.getElementById("confirm-text").textContent = text;
  document.getElementById("confirm-yes").textContent = button?.textContent ?? "Go on";
  dialog.returnValue = "no";
  dialog.addEventListener(
    "close",
    () => {
      if (dialog.returnValue === "yes") {
        form.isSure = true;
        form.requestSubmit(button);
      } else button?.focus();
    },
    { once: true },
  );
  dialog.showModal();
});

// A button beside each value that is there to be pasted elsewhere.
function copies() {
  for (const value of document.querySelectorAll("[data-copy]:not([data-copies])")) {
    value.setAttribute("data-copies", "");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.hookbay = true;
    button.setAttribute("aria-label", `Copy ${value.textContent}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(value.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(value);
        button.textContent = "Selected";
      }
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
    value.after(button);
  }
}

// What a column of a chart says, above the chart, for whoever points at it.
document.addEventListener("pointermove", (event) => {
  const column = event.target.closest?.(".chart .column");
  for (const told of document.querySelectorAll(".chart .told")) {
    if (!column || !told.closest(".chart").contains(column)) told.remove();
  }
  if (!column) return;
  const plot = column.closest(".plot");
  let told = plot.querySelector(".told");
  if (!told) {
    told = document.createElement("p");
    told.className = "told";
    told.hookbay = true;
    told.setAttribute("aria-hidden", "true");
    plot.append(told);
  }
  told.textContent = column.querySelector("title").textContent;
});

// On a narrow screen the menu is wider than the window.
document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
copies();
window.addEventListener("hookbay-fresh", copies);
times();
setInterval(times, 1000);
live.start();
