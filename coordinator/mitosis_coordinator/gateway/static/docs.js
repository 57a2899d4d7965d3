// Shows /openapi.json: everything here comes from that document, and every text goes in as text, never as markup.
"use strict";

const VERBS = ["get", "post", "put", "patch", "delete"];
let api;

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// Paragraphs, lists and `code`: what the comments of the protos use.
function prose(text) {
  return (text || "").split(/\n\n+/).filter(Boolean).map((block) => {
    const lines = block.split("\n");
    if (lines.every((line) => line.startsWith("- "))) {
      return make("ul", {}, ...lines.map((line) => make("li", {}, ...inline(line.slice(2)))));
    }
    return make("p", {}, ...inline(block));
  });
}

function inline(text) {
  return text.split(/(`[^`]+`)/).filter(Boolean).map((part) =>
    part.startsWith("`") && part.endsWith("`") ? make("code", {}, part.slice(1, -1)) : part);
}

function resolve(node) {
  if (!node || !node.$ref) return node;
  const found = node.$ref.slice(2).split("/").reduce((inner, key) => inner[key], api);
  return { ...resolve(found), ...(node.description ? { description: node.description } : {}) };
}

function nameOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.type === "array") return `list of ${nameOf(schema.items || {})}`;
  if (schema.enum) return schema.enum.join(" | ");
  return [schema.type || "any JSON value", schema.format ? `(${schema.format})` : ""].join(" ").trim();
}

function bounds(schema) {
  const said = [];
  const words = { minimum: "≥", exclusiveMinimum: ">", maximum: "≤", minLength: "length ≥", maxLength: "length ≤",
    minItems: "items ≥", maxItems: "items ≤", default: "default" };
  for (const [key, word] of Object.entries(words)) if (schema[key] !== undefined) said.push(`${word} ${schema[key]}`);
  return said.join(", ");
}

function inner(schema) {
  const whole = resolve(schema);
  return whole.type === "array" ? inner(whole.items || {}) : whole;
}

function fields(schema, seen = []) {
  const whole = inner(schema);
  const required = new Set(whole.required || []);
  return make("ul", { class: "fields" }, ...Object.entries(whole.properties || {}).map(([name, property]) => {
    const known = resolve(property);
    const below = inner(property);
    const title = nameOf(property.$ref ? property : known);
    const open = below.properties && !seen.includes(title)
      ? make("details", {}, make("summary", {}, "fields"), fields(property, [...seen, title])) : null;
    return make("li", {}, make("code", {}, name), " ", make("span", { class: "quiet" }, title, " ", bounds(known)),
      required.has(name) ? make("span", { class: "required" }, " required") : null, ...prose(known.description), open);
  }));
}

function media(content) {
  return Object.entries(content || {})[0] || ["", {}];
}

function tryOut(path, verb, operation) {
  const inputs = new Map();
  const form = make("div", { class: "form" });
  for (const parameter of operation.parameters || []) {
    const input = make("input", { placeholder: nameOf(parameter.schema), "aria-label": parameter.name });
    inputs.set(parameter, input);
    form.append(make("code", {}, parameter.name), input);
  }
  let body = null;
  if (operation.requestBody) {
    const example = Object.values(media(operation.requestBody.content)[1].examples || {})[0];
    body = make("textarea", { "aria-label": "body", spellcheck: "false" });
    body.value = JSON.stringify(example ? example.value : {}, null, 2);
    form.append(body);
  }
  const answer = make("pre", { hidden: "" });
  const send = async () => {
    let target = path.slice(1);
    const query = new URLSearchParams();
    for (const [parameter, input] of inputs) {
      if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (parameter.schema.type === "array") {
        input.value.split(",").map((item) => item.trim()).filter(Boolean).forEach((item) => query.append(parameter.name, item));
      } else if (input.value) query.append(parameter.name, input.value);
    }
    const token = document.getElementById("token").value;
    const headers = { ...(token ? { Authorization: `Bearer ${token}` } : {}), ...(body ? { "Content-Type": "application/json" } : {}) };
    answer.hidden = false;
    answer.textContent = "…";
    try {
      const response = await fetch(target + (query.size ? `?${query}` : ""), { method: verb, headers, body: body && body.value });
      answer.textContent = `${response.status} ${response.statusText}\n\n`;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) answer.textContent += part.value;
      const [head, text] = answer.textContent.split(/\n\n([^]*)/);
      try { answer.textContent = `${head}\n\n${JSON.stringify(JSON.parse(text), null, 2)}`; } catch { /* no JSON: as it is */ }
    } catch (error) {
      answer.textContent = String(error);
    }
  };
  form.append(make("button", { type: "button", onclick: send }, "Send"), answer);
  return make("details", {}, make("summary", {}, "Try it"), form);
}

function show(path, verb, operation) {
  const name = verb.toUpperCase();
  const parts = [...prose(operation.description)];
  const schemes = (operation.security || api.security).flatMap((choice) => Object.keys(choice));
  parts.push(make("p", { class: "quiet" }, schemes.length ? `Needs: ${schemes.join(", ")}` : "Needs no token"));
  if (operation.parameters) {
    const properties = Object.fromEntries(operation.parameters.map((item) => [item.name,
      { ...item.schema, description: `${item.in === "path" ? "In the path. " : ""}${item.description || ""}` }]));
    const required = operation.parameters.filter((item) => item.required).map((item) => item.name);
    parts.push(make("h4", {}, "Parameters"), fields({ properties, required }));
  }
  if (operation.requestBody) {
    const [, content] = media(operation.requestBody.content);
    parts.push(make("h4", {}, "Body"), fields(content.schema));
    for (const example of Object.values(content.examples || {})) {
      parts.push(make("h4", {}, "Example"), make("pre", {}, JSON.stringify(example.value, null, 2)));
    }
  }
  parts.push(make("h4", {}, "Answers"));
  for (const [code, given] of Object.entries(operation.responses)) {
    const response = resolve(given);
    const [kind, content] = media(response.content);
    const title = content.schema ? nameOf(content.schema) : kind;
    const below = content.schema && code === "200" && inner(content.schema).properties ? fields(content.schema) : null;
    const line = [make("code", {}, code), " ", ...inline(response.description), " ", make("span", { class: "quiet" }, title)];
    parts.push(below ? make("details", {}, make("summary", {}, ...line), below) : make("p", {}, ...line));
  }
  parts.push(tryOut(path, verb, operation));
  const details = make("details", {}, make("summary", {}, make("h3", {}, make("span", { class: `verb ${name}` }, name),
    make("span", { class: "path" }, path), make("small", {}, ...inline(operation.summary)))), ...parts);
  return make("article", { id: operation.operationId }, details);
}

function build() {
  document.getElementById("version").textContent = api.info.version;
  const main = make("div", {}, ...prose(api.info.description));
  const index = document.getElementById("index");
  for (const tag of api.tags) {
    const operations = Object.entries(api.paths).flatMap(([path, item]) => VERBS.filter((verb) => item[verb]?.tags.includes(tag.name))
      .map((verb) => [path, verb, item[verb]]));
    if (!operations.length) continue;
    main.append(make("h2", {}, tag.name), ...prose(tag.description));
    index.append(make("h4", {}, tag.name));
    for (const [path, verb, operation] of operations) {
      main.append(show(path, verb, operation));
      index.append(make("a", { href: `#${operation.operationId}`, "data-text": `${verb} ${path} ${operation.summary}`.toLowerCase() },
        make("span", { class: `verb ${verb.toUpperCase()}` }, verb.toUpperCase()), path));
    }
  }
  document.getElementById("main").replaceChildren(main);
  document.getElementById("filter").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase();
    for (const link of index.querySelectorAll("a")) {
      const hidden = !link.dataset.text.includes(words);
      link.hidden = hidden;
      document.querySelector(link.getAttribute("href")).hidden = hidden;
    }
  });
  const open = () => {
    const article = location.hash && document.getElementById(location.hash.slice(1));
    if (article) { article.firstChild.open = true; article.scrollIntoView(); }
  };
  addEventListener("hashchange", open);
  open();
}

fetch("openapi.json").then((response) => response.json()).then((found) => { api = found; build(); }).catch((error) => {
  document.getElementById("main").textContent = `The document cannot be read: ${error}`;
});
