// The API as a page: every operation of openapi.json with a form that sends it. Text from
// the document and from answers is only ever put in as text.
"use strict";

const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
};

const token = () => document.getElementById("token").value.trim();
const headers = () => (token() ? { Authorization: `Bearer ${token()}` } : {});

/** A schema behind its references. */
const resolved = (api, schema) => {
  while (schema && schema.$ref) schema = api.components.schemas[schema.$ref.split("/").pop()];
  return schema || {};
};

/** A value that fits a schema, to begin with. */
const example = (api, schema, depth = 0) => {
  schema = resolved(api, schema);
  if (depth > 6) return null;
  if (schema.oneOf) {
    const real = schema.oneOf.find((one) => one.type !== "null");
    return example(api, real, depth);
  }
  if (schema.allOf) return Object.assign({}, ...schema.allOf.map((one) => example(api, one, depth)));
  if (schema.enum) return schema.enum[0];
  const type = [].concat(schema.type || "object")[0];
  if (type === "array") return schema.items ? [example(api, schema.items, depth + 1)] : [];
  if (type === "string") return "";
  if (type === "boolean") return false;
  if (type === "integer" || type === "number") return schema.minimum || 0;
  const required = new Set(schema.required || []);
  const members = Object.entries(schema.properties || {}).filter(([name]) => required.has(name));
  return Object.fromEntries(members.map(([name, of]) => [name, example(api, of, depth + 1)]));
};

/** A schema in one line. */
const typeOf = (api, schema) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.oneOf) return schema.oneOf.map((one) => typeOf(api, one)).join(" or ");
  const types = [].concat(schema.type || "any");
  const type = types.map((one) => (one === "array" ? `list of ${typeOf(api, schema.items)}` : one));
  return [type.join(" or "), schema.format].filter(Boolean).join(", ");
};

const show = async (output, response, started) => {
  const kind = response.headers.get("content-type") || "";
  const took = Math.round(performance.now() - started);
  const head = `${response.status} ${response.statusText} · ${kind || "no body"} · ${took} ms`;
  const isText = /json|text|xml/.test(kind);
  let text = "";
  if (kind.startsWith("text/event-stream")) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const { value } = await reader.read();
    await reader.cancel();
    text = `${value || ""}\n(the stream goes on; this page reads its beginning)`;
  } else if (isText) {
    text = await response.text();
    try {
      if (kind.includes("json") && !kind.includes("ndjson")) text = JSON.stringify(JSON.parse(text), null, 2);
    } catch { /* what claims to be JSON and is not is shown as it is */ }
  } else {
    text = `${(await response.arrayBuffer()).byteLength} bytes`;
  }
  output.replaceChildren(element("p", {}, head), element("pre", { tabindex: "0" }, text.slice(0, 200000)));
};

const parameterRow = (api, parameter, inputs) => {
  const input = element("input", { "aria-label": parameter.name, autocomplete: "off", spellcheck: "false" });
  if (parameter.required) input.required = true;
  inputs.push([parameter, input]);
  const about = [typeOf(api, parameter.schema), parameter.description].filter(Boolean).join(": ");
  const name = element("code", {}, parameter.name);
  return element("tr", {}, element("td", {}, name, parameter.required ? " *" : ""), element("td", {}, input), element("td", {}, about));
};

const form = (api, method, path, operation) => {
  const inputs = [];
  const made = element("form", {});
  if (operation.parameters && operation.parameters.length) {
    const rows = operation.parameters.map((parameter) => parameterRow(api, parameter, inputs));
    made.append(element("h3", {}, "Parameters"), element("table", {}, element("tbody", {}, ...rows)));
  }
  let body = null;
  let bodyType = null;
  if (operation.requestBody) {
    const [type, content] = Object.entries(operation.requestBody.content)[0];
    bodyType = type;
    body = element("textarea", { "aria-label": "body", spellcheck: "false" });
    body.value = type.includes("json") ? JSON.stringify(example(api, content.schema), null, 2) : "";
    made.append(element("h3", {}, `Body (${type})`), body);
  }
  const output = element("div", { "aria-live": "polite" });
  made.append(element("button", { type: "submit" }, "Send"), output);
  made.addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    let address = path;
    const query = new URLSearchParams();
    const sent = headers();
    for (const [parameter, input] of inputs) {
      if (parameter.in === "path") address = address.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value !== "" && parameter.in === "query") query.set(parameter.name, input.value);
      else if (input.value !== "" && parameter.in === "header") sent[parameter.name] = input.value;
    }
    if (body && body.value !== "") sent["Content-Type"] = bodyType;
    const suffix = query.size ? `?${query}` : "";
    const started = performance.now();
    try {
      const wish = { method: method.toUpperCase(), headers: sent, credentials: "same-origin" };
      if (body && body.value !== "") wish.body = body.value;
      await show(output, await fetch(`..${address}${suffix}`, wish), started);
    } catch (error) {
      output.replaceChildren(element("p", {}, `The request failed: ${error.message}`));
    }
  });
  return made;
};

const responses = (api, operation) => {
  const rows = Object.entries(operation.responses).map(([status, response]) => {
    const types = Object.entries(response.content || {}).map(([type, content]) => `${type}: ${typeOf(api, content.schema)}`);
    return element("tr", {}, element("td", {}, element("code", {}, status)), element("td", {}, response.description), element("td", {}, types.join(", ")));
  });
  return [element("h3", {}, "Answers"), element("table", {}, element("tbody", {}, ...rows))];
};

const block = (api, method, path, operation) => {
  const head = element("summary", {}, element("span", { class: `method ${method}` }, method.toUpperCase()), element("code", {}, path), ` ${operation.summary || ""}`);
  const made = element("details", { "data-find": `${method} ${path} ${operation.summary || ""}`.toLowerCase() }, head);
  // Forms are made when they are opened: there are many.
  made.addEventListener("toggle", () => {
    if (made.open && made.children.length === 1) {
      const about = operation.description ? element("p", {}, operation.description) : null;
      made.append(element("div", {}, about, form(api, method, path, operation), ...responses(api, operation)));
    }
  });
  return made;
};

const find = (text) => {
  for (const one of document.querySelectorAll("details")) one.hidden = !one.dataset.find.includes(text.toLowerCase());
};

let isRead = false;

const start = async () => {
  const main = document.getElementById("operations");
  const response = await fetch("../openapi.json", { headers: headers(), credentials: "same-origin" });
  if (!response.ok) {
    main.replaceChildren(`The document cannot be read: ${response.status}. Fill in a token above.`);
    return;
  }
  const api = await response.json();
  const byTag = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of ["get", "post", "delete"]) {
      const operation = item[method];
      if (!operation) continue;
      const tag = (operation.tags || ["other"])[0];
      if (!byTag.has(tag)) byTag.set(tag, []);
      byTag.get(tag).push(block(api, method, path, operation));
    }
  }
  const sections = [...byTag].map(([tag, blocks]) => element("section", {}, element("h2", {}, tag), ...blocks));
  main.replaceChildren(...sections);
  isRead = true;
};

document.getElementById("find").addEventListener("input", (event) => find(event.target.value));
// Once it is read, what is open stays open.
document.getElementById("token").addEventListener("change", () => isRead || start());
start();
