// Shows which functions allocated the heap: a flame graph with zoom and search, and a list of
// functions.
const flame = (() => {
  const VIEWS = [
    ["inuse_space", "In use, bytes", bytes],
    ["inuse_objects", "In use, objects", count],
    ["alloc_space", "Allocated, bytes", bytes],
    ["alloc_objects", "Allocated, objects", count],
  ];
  const ROW = 20, MOST = 5000;
  // The console's own allocations are not shown, only counted.
  let ownBytes = 0;
  let view = VIEWS[0], shape = "flame", stacks = null, baseline = null, root = null, zoomed = [], query = "", busy = false, plain = true, pointed = -1e9;

  // Parses folded stacks. Each line: names from the outermost inwards joined by `;`, a space, a
  // number.
  const parse = (text) => {
    const found = new Map();
    for (const line of text.split("\n")) {
      const cut = line.lastIndexOf(" "), value = Number(line.slice(cut + 1));
      if (cut > 0 && value > 0) found.set(line.slice(0, cut), (found.get(line.slice(0, cut)) || 0) + value);
    }
    return found;
  };

  const crateOf = (name) => (name.match(/^[<&*([\s]*(?:dyn |impl |mut |const )*([A-Za-z_]\w*)::/) || [])[1] || "";
  // Crates that every Rust program contains. Their frames are grey, and hidden unless the user
  // shows them.
  const LIBRARIES = new Set(["std", "core", "alloc", "hashbrown", "greyspan", "backtrace", "__rustc"]);
  const STARTERS = /^(main|_start|__libc_start\w*|clone3?|start_thread|__rust_\w+|rust_\w+|__clone\w*)$/;
  const isLibrary = (name) => {
    const crate = crateOf(name);
    // A name such as `<F as core::..>` names no crate.
    return crate ? LIBRARIES.has(crate) : name.startsWith("<") || STARTERS.test(name);
  };
  // Returns the visible frames of a stack. If all frames belong to libraries, that is the innermost
  // one.
  const visible = (stack) => {
    const frames = stack.split(";");
    if (!plain) return frames;
    const own = frames.filter((name) => !isLibrary(name));
    return own.length ? own : [frames[frames.length - 1]];
  };
  const isConsole = (stack) => stack.includes("greyspan_console::");

  const node = (name) => ({ name, value: 0, self: 0, children: new Map() });
  const grow = () => {
    root = node("all");
    ownBytes = 0;
    for (const [stack, value] of stacks) {
      if (isConsole(stack)) { ownBytes += value; continue; }
      const rest = baseline ? value - (baseline.stacks.get(stack) || 0) : value;
      if (rest <= 0) continue;
      let at = root;
      at.value += rest;
      for (const name of visible(stack)) {
        if (!at.children.has(name)) at.children.set(name, node(name));
        at = at.children.get(name);
        at.value += rest;
      }
      at.self += rest;
    }
  };

  const kind = (name) => {
    if (isLibrary(name)) return "dull";
    let hash = 7;
    for (const letter of crateOf(name)) hash = (hash * 31 + letter.charCodeAt(0)) >>> 0;
    return "c" + hash % 7;
  };
  // Returns the opacity of a frame, so that neighbours of the same crate differ a little.
  const shade = (name) => {
    let hash = 0;
    for (const letter of name) hash = (hash * 33 + letter.charCodeAt(0)) >>> 0;
    return (0.68 + hash % 33 / 100).toFixed(2);
  };
  const matches = (name) => query !== "" && name.toLowerCase().includes(query);

  // Returns the sum of all matching frames. A match inside another match does not count again.
  const matched = (at) => matches(at.name) ? at.value : [...at.children.values()].reduce((sum, child) => sum + matched(child), 0);
  const contains = (at) => matches(at.name) || [...at.children.values()].some(contains);

  const describe = (at) => {
    const share = root.value ? percent(at.value / root.value) : "";
    const own = at.self && at.self < at.value ? `, ${view[2](at.self)} in the function itself` : "";
    return `${view[2](at.value)}, ${share}${own}`;
  };
  const detail = (at) => {
    $("flame-detail").replaceChildren(...(at ? [el("b", { class: "mono" }, at.name), "  " + describe(at)] : [summary()]));
  };
  const summary = () => {
    if (!root) return "";
    const what = baseline ? `grown since ${clock(baseline.at)}: ` : "";
    return what + view[2](root.value) + (baseline ? "" : ` in ${stacks.size} stacks`) + (ownBytes && !baseline ? `, without the console's own ${view[2](ownBytes)}` : "");
  };

  const zoomTo = (path) => {
    untip();
    zoomed = path;
    draw();
  };

  const drawFlame = () => {
    const width = $("flame").clientWidth || 800;
    const line = [root];
    for (const name of zoomed) {
      const next = line[line.length - 1].children.get(name);
      if (!next) break;
      line.push(next);
    }
    zoomed = line.slice(1).map((at) => at.name);
    let frames = [], depth = 0, least = 0.6;
    const put = (at, path, left, right, level, above) => {
      if (right - left < least || frames.length > MOST) return;
      depth = Math.max(depth, level);
      frames.push({ at, path, left, right, level, above });
      if (above) return;
      let x = left;
      const scale = (right - left) / at.value;
      for (const child of [...at.children.values()].sort((a, b) => b.value - a.value)) {
        put(child, [...path, child.name], x, x + child.value * scale, level + 1, false);
        x += child.value * scale;
      }
    };
    // If there are too many frames, leave out the narrowest.
    do {
      frames = [];
      depth = 0;
      line.forEach((at, level) => put(at, zoomed.slice(0, level), 0, width, level, level < line.length - 1));
      least *= 2;
    } while (frames.length > MOST);
    const height = (depth + 1) * ROW;
    const svg = el("svg", { viewBox: `0 0 ${width} ${height}`, height, "aria-label": "Flame graph: the widest frames hold the most" });
    for (const { at, path, left, right, level, above } of frames) {
      const wide = right - left;
      const of = level === 0 ? "dull" : kind(at.name);
      const state = above ? "above" : query && (matches(at.name) ? "matched" : "missed");
      const group = el("g", {
        class: state ? of + " " + state : of, tabindex: 0, "data-name": at.name, "data-level": level,
        onclick: () => zoomTo(path),
        onkeydown: (event) => { if (event.key === "Enter") zoomTo(path); },
        onfocus: () => detail(at),
        onpointermove: (event) => { detail(at); tip(event, el("div", { class: "mono" }, at.name), describe(at)); },
        onpointerleave: () => { untip(); detail(null); },
      }, el("rect", { "fill-opacity": shade(at.name), x: left.toFixed(2), y: level * ROW, width: Math.max(0.6, wide).toFixed(2), height: ROW - 1 }));
      const letters = Math.floor((wide - 8) / 6.65);
      if (letters >= 3) {
        const name = shorten(at.name, letters);
        group.append(el("text", { x: (left + 4).toFixed(2), y: level * ROW + 13.5 }, name));
      }
      svg.append(group);
    }
    $("flame").replaceChildren(svg);
    if (performance.now() - pointed > 4000) untip();
  };

  // Shortens a name until it fits: drops the symbol's hash, then generics, then outer modules, then
  // cuts.
  const shorten = (name, letters) => {
    if (name.length <= letters) return name;
    let short = name.replace(/::h[0-9a-f]{16}$/, "");
    if (short.length > letters && !short.startsWith("<")) short = short.replace(/<.*>/g, "<..>");
    while (short.length > letters && /^\w+::/.test(short)) short = short.replace(/^\w+::/, "");
    return short.length <= letters ? short : short.slice(0, Math.max(1, letters - 1)) + "\u2026";
  };

  const drawTop = () => {
    const found = new Map();
    const walk = (at, open) => {
      const entry = found.get(at.name) || { name: at.name, own: 0, all: 0 };
      found.set(at.name, entry);
      entry.own += at.self;
      const first = !open.has(at.name);
      if (first) { entry.all += at.value; open.add(at.name); }
      for (const child of at.children.values()) walk(child, open);
      if (first) open.delete(at.name);
    };
    for (const child of root.children.values()) walk(child, new Set());
    const list = [...found.values()].filter((entry) => !query || matches(entry.name)).sort((a, b) => b.own - a.own || b.all - a.all).slice(0, 60);
    const total = root.value || 1;
    const table = el("table", { class: "functions" }, el("thead", {}, el("tr", {}, el("th", {}, "Itself"), el("th", { class: "narrow-hide" }, ""), el("th", {}, "With callees"), el("th", { class: "narrow-hide" }, ""), el("th", { class: "wide" }, "Function"))));
    const body = el("tbody");
    for (const entry of list) {
      body.append(el("tr", {}, el("td", {}, view[2](entry.own)), el("td", { class: "narrow-hide muted" }, percent(entry.own / total)), el("td", {}, view[2](entry.all)), el("td", { class: "narrow-hide muted" }, percent(entry.all / total)), el("td", { class: "name mono" }, entry.name)));
    }
    table.append(body);
    $("top").replaceChildren(table);
  };

  const empty = (...content) => {
    $("flame").replaceChildren(el("div", { class: "empty" }, ...content));
    $("top").replaceChildren();
    $("top").hidden = true;
    $("flame").hidden = false;
    $("flame-detail").textContent = "";
    $("flame-matched").textContent = "";
    $("flame-reset").hidden = true;
  };

  const draw = () => {
    if (!stacks) return;
    grow();
    if (root.value === 0) {
      if (baseline) return empty("Nothing has grown since " + clock(baseline.at) + ".");
      return empty("No sample yet. Sampling takes one sample per so many bytes, so a program that allocates little takes a while.");
    }
    $("flame").hidden = shape !== "flame";
    $("top").hidden = shape === "flame";
    if (shape === "flame") drawFlame(); else drawTop();
    $("flame-reset").hidden = zoomed.length === 0 || shape !== "flame";
    $("flame-matched").textContent = query ? `${percent(root.value ? matched(root) / root.value : 0)} match` : "";
    detail(null);
  };

  const load = async () => {
    if (busy) return;
    busy = true;
    try {
      const [name] = view;
      const text = await (await get("folded?view=" + name)).text();
      if (name !== view[0]) return;
      const first = stacks === null;
      stacks = parse(text);
      // While the user points at the graph, it is not redrawn.
      const still = $("flame").contains(document.activeElement) || performance.now() - pointed < 4000;
      if (first || !still) draw();
    } finally {
      busy = false;
    }
  };

  const mark = () => {
    baseline = baseline ? null : { stacks, at: Date.now() };
    zoomed = [];
    $("flame-mark").setAttribute("aria-pressed", baseline !== null);
    $("flame-mark").textContent = baseline ? "Stop comparing" : "Compare from now";
    draw();
  };

  const start = () => {
    for (const [name, words] of VIEWS) $("flame-view").append(el("option", { value: name }, words));
    $("flame-view").addEventListener("change", () => {
      view = VIEWS.find((other) => other[0] === $("flame-view").value);
      stacks = null;
      zoomed = [];
      if (baseline) mark();
      load().catch((error) => toast(error.message, true));
    });
    $("flame").addEventListener("pointermove", () => { pointed = performance.now(); });
    segmented($("flame-shape"), (button) => { shape = button.dataset.shape; draw(); });
    $("flame-plain").addEventListener("click", () => {
      plain = !plain;
      zoomed = [];
      $("flame-plain").setAttribute("aria-pressed", !plain);
      draw();
    });
    $("flame-search").addEventListener("input", () => { query = $("flame-search").value.trim().toLowerCase(); draw(); });
    $("flame-reset").addEventListener("click", () => zoomTo([]));
    $("flame-mark").addEventListener("click", () => { if (stacks) mark(); });
  };

  return { start, load, draw, empty, reset: () => zoomTo([]), zoomed: () => zoomed.length > 0, has: () => stacks !== null && stacks.size > 0 };
})();
