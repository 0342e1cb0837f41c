// JSON as a tree that folds. Numbers and strings stay as they were sent: they are cut out
// of the text, never read into numbers that round them. Parts are made when they are opened,
// so that a megabyte in one line is shown as quickly as a short one.
"use strict";

// Deeper nesting is shown as text.
const DEPTH_MAX = 200;
// Longer values are cut until somebody wants them whole.
const TEXT_MAX = 2000;
// Most members shown at once.
const MEMBERS_MAX = 200;
// Larger bodies are not read into a page.
const TEXT_BYTES_MAX = 16 << 20;

// Reads JSON into {type, text} and {type, members: [[name, value]]}; throws where it is none.
function parse(text) {
  let at = 0;
  const fail = () => {
    throw new SyntaxError(`no JSON at ${at}`);
  };
  const space = /[ \t\r\n]*/y;
  const string = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
  const atom = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
  const skip = () => {
    space.lastIndex = at;
    space.test(text);
    at = space.lastIndex;
  };
  const take = (pattern) => {
    pattern.lastIndex = at;
    if (!pattern.test(text)) fail();
    const found = text.slice(at, pattern.lastIndex);
    at = pattern.lastIndex;
    return found;
  };
  const value = (depth) => {
    if (depth > DEPTH_MAX) fail();
    skip();
    const first = text[at];
    if (first === "{" || first === "[") {
      const isObject = first === "{";
      const close = isObject ? "}" : "]";
      const members = [];
      at += 1;
      skip();
      if (text[at] === close) {
        at += 1;
        return { type: isObject ? "object" : "array", members };
      }
      for (;;) {
        skip();
        let name = null;
        if (isObject) {
          name = take(string);
          skip();
          if (text[at] !== ":") fail();
          at += 1;
        }
        members.push([name, value(depth + 1)]);
        skip();
        const next = text[at];
        at += 1;
        if (next === close) return { type: isObject ? "object" : "array", members };
        if (next !== ",") fail();
      }
    }
    if (first === '"') return { type: "string", text: take(string) };
    const found = take(atom);
    return { type: /^[tfn]/.test(found) ? "word" : "number", text: found };
  };
  const whole = value(0);
  skip();
  if (at < text.length) fail();
  return whole;
}

// Characters that turn the reading direction or cannot be seen are shown as escapes.
const harmless = (text) =>
  text.replace(/[\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function scalar(value) {
  const made = element("span", `j-${value.type}`);
  const text = harmless(value.text);
  if (text.length <= TEXT_MAX) {
    made.textContent = text;
    return made;
  }
  made.textContent = text.slice(0, TEXT_MAX);
  const more = element("button", "copy", `… ${(text.length - TEXT_MAX).toLocaleString("en")} more characters`);
  more.type = "button";
  more.addEventListener("click", () => (made.textContent = text));
  made.append(more);
  return made;
}

function row(name, value, isOpen) {
  const made = element("li");
  const label = name === null ? null : element("span", "j-name", harmless(name));
  if (!value.members || value.members.length === 0) {
    if (label) made.append(label, ": ");
    made.append(value.members ? (value.type === "object" ? "{}" : "[]") : scalar(value));
    return made;
  }
  const fold = element("details");
  const summary = element("summary");
  if (label) summary.append(label, ": ");
  const [open, close] = value.type === "object" ? "{}" : "[]";
  const count = value.members.length;
  summary.append(open, element("span", "j-count", ` ${count.toLocaleString("en")} ${close}`));
  fold.append(summary);
  const fill = () => {
    if (fold.childElementCount === 1) fold.append(members(value));
  };
  fold.addEventListener("toggle", () => fold.open && fill());
  if (isOpen) {
    fill();
    fold.open = true;
  }
  made.append(fold);
  return made;
}

function members(value, from = 0, list = element("ul")) {
  const until = Math.min(from + MEMBERS_MAX, value.members.length);
  for (let at = from; at < until; at += 1) {
    const [name, member] = value.members[at];
    list.append(row(name ?? (value.type === "array" ? String(at) : null), member, value.members.length <= 30 && size(member) <= 12));
  }
  if (until < value.members.length) {
    const rest = element("li");
    const more = element("button", "copy", `… ${(value.members.length - until).toLocaleString("en")} more`);
    more.type = "button";
    more.addEventListener("click", () => {
      rest.remove();
      members(value, until, list);
    });
    rest.append(more);
    list.append(rest);
  }
  return list;
}

const size = (value) => value.members?.length ?? 0;

function show(box, text) {
  let tree;
  try {
    tree = parse(text);
  } catch {
    return false;
  }
  if (!tree.members) return false;
  const pre = box.querySelector("pre");
  const list = element("ul", "json");
  list.append(row(null, tree, true));
  const buttons = element("div", "json-buttons");
  const toggle = element("button", "copy", "As text");
  toggle.type = "button";
  toggle.addEventListener("click", () => {
    const isText = pre.hidden;
    pre.hidden = !isText;
    list.hidden = isText;
    toggle.textContent = isText ? "As tree" : "As text";
  });
  const unfold = element("button", "copy", "Unfold");
  unfold.type = "button";
  unfold.addEventListener("click", () => {
    // One level more each time.
    for (const fold of [...list.querySelectorAll("details:not([open])")].slice(0, 500)) fold.open = true;
  });
  buttons.append(unfold, toggle);
  buttons.hookbay = list.hookbay = true;
  pre.hidden = true;
  box.dataset.jsonText = box.textContent;
  box.setAttribute("data-json-shown", "");
  box.append(buttons, list);
  return true;
}

function look() {
  for (const box of document.querySelectorAll("[data-json]:not([data-json-shown])")) {
    box.querySelectorAll(".json, .json-buttons").forEach((made) => made.remove());
    const pre = box.querySelector("pre");
    pre.hidden = false;
    if (!box.hasAttribute("data-cut")) {
      show(box, pre.textContent);
      continue;
    }
    if (box.querySelector(".json-load")) continue;
    const load = element("button", "button json-load", "Show all of it");
    load.type = "button";
    load.hookbay = true;
    load.addEventListener("click", async () => {
      load.disabled = true;
      try {
        const answer = await fetch(box.dataset.json);
        if (!answer.ok) throw new Error(answer.statusText);
        if (Number(answer.headers.get("content-length")) > TEXT_BYTES_MAX) {
          load.textContent = "It is too large to be shown; download it";
          return;
        }
        const text = await answer.text();
        load.remove();
        if (!show(box, text)) pre.textContent = text;
      } catch {
        load.disabled = false;
        load.textContent = "It could not be loaded; try again";
      }
    });
    box.append(load);
  }
}

look();
window.addEventListener("hookbay-fresh", look);
