// Shared by all parts of the page: the DOM, the formatting of numbers, requests, the tip and the
// toast.
"use strict";
const $ = (id) => document.getElementById(id);

// Makes an element with text and attributes. The page never makes an element from HTML text.
const el = (tag, props = {}, ...children) => {
  const svg = ["svg", "g", "path", "rect", "line", "text", "title"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, part] of Object.entries(value)) node.style.setProperty(key, part);
    else if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
};

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const bytesParts = (value) => {
  let size = Math.abs(value), unit = 0;
  while (size >= 1023.5 && unit < UNITS.length - 1) { size /= 1024; unit++; }
  const digits = unit === 0 || size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
  return [(value < 0 ? "\u2212" : "") + size.toFixed(digits), UNITS[unit]];
};
const bytes = (value) => bytesParts(value).join(" ");
const count = (value) => {
  const size = Math.abs(value), sign = value < 0 ? "\u2212" : "";
  if (size < 10000) return sign + Math.round(size);
  for (const [at, name] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= at) return sign + (size / at).toFixed(size / at < 99.95 ? 1 : 0) + " " + name;
  }
};
const percent = (part) => (100 * part).toFixed(part < 0.0995 ? 1 : 0) + " %";
const ns = (value) => {
  for (const [at, name] of [[1e9, "s"], [1e6, "ms"], [1e3, "\u00b5s"]]) {
    if (value >= at) return (value / at).toFixed(value / at < 9.95 ? 1 : 0) + " " + name;
  }
  return value + " ns";
};
const span = (seconds) => {
  if (seconds < 60) return Math.floor(seconds) + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min";
  if (seconds < 86400) return Math.floor(seconds / 3600) + " h " + Math.floor(seconds % 3600 / 60) + " min";
  return Math.floor(seconds / 86400) + " d " + Math.floor(seconds % 86400 / 3600) + " h";
};
const clock = (ms, seconds = true) =>
  new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: seconds ? "2-digit" : undefined, hour12: false });

const fail = async (reply) => { throw new Error((await reply.text()).trim() || "HTTP " + reply.status); };
const get = async (path) => {
  const reply = await fetch(path, { cache: "no-store" });
  return reply.ok ? reply : fail(reply);
};
const json = async (path) => (await get(path)).json();
// Runs an action. Its request carries a header that no page of another site can send.
const act = async (path) => {
  const reply = await fetch(path, { method: "POST", headers: { "Greyspan-Action": "1" } });
  return reply.ok ? reply.json() : fail(reply);
};

let toastTimer = 0;
const toast = (text, bad = false) => {
  $("toast").textContent = text;
  $("toast").className = bad ? "toast bad" : "toast";
  $("toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $("toast").hidden = true; }, bad ? 6000 : 3500);
};

// Shows `content`, nodes or text, beside the pointer.
const tip = (event, ...content) => {
  const box = $("tip");
  box.replaceChildren(...content);
  box.hidden = false;
  const { width, height } = box.getBoundingClientRect();
  const left = event.clientX + 14 + width > innerWidth ? event.clientX - 14 - width : event.clientX + 14;
  const below = event.clientY + 14 + height > innerHeight ? event.clientY - 14 - height : event.clientY + 14;
  box.style.left = Math.max(4, left) + "px";
  box.style.top = Math.max(4, below) + "px";
};
const untip = () => { $("tip").hidden = true; };

// Makes a row of buttons a choice: exactly one button is on.
const segmented = (box, choose) => {
  for (const button of box.children) {
    button.addEventListener("click", () => {
      for (const other of box.children) other.classList.toggle("on", other === button);
      choose(button);
    });
  }
};

// Returns the value of a colour in the style sheet, for canvases.
const probe = el("span", { hidden: true });
document.body.append(probe);
const colour = (name) => {
  probe.style.color = "var(--" + name + ")";
  return getComputedStyle(probe).color;
};
