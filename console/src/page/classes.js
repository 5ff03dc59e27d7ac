// Draws the current figures: the tiles, and the size classes.
const tiles = (() => {
  // Returns a tile with a name, a value with its unit, and a line of text below.
  const tile = (name, [value, unit], below) =>
    el("div", { class: "tile" }, el("label", {}, name), el("strong", {}, value, el("small", {}, unit)), el("span", { title: below }, below));

  const rate = (samples, of) => {
    const now = samples[samples.length - 1], before = samples[Math.max(0, samples.length - 6)];
    return now && now.t > before.t ? (of(now) - of(before)) / (now.t - before.t) * 1000 : 0;
  };

  const draw = (stats, status) => {
    const samples = chart.samples();
    const minute = samples[Math.max(0, samples.length - 61)];
    const age = minute ? Math.round((samples[samples.length - 1].t - minute.t) / 1000) : 0;
    const grown = minute ? stats.heap_inuse - minute.inuse : 0;
    const trend = Math.abs(grown) < 1024 ? "steady" : `${grown > 0 ? "+" : ""}${bytes(grown)} in ${age >= 60 ? "a minute" : age + " s"}`;
    const limit = status.memory_limit || status.hard_limit || 0;
    $("tiles").replaceChildren(
      tile("In use", bytesParts(stats.heap_inuse), trend),
      tile("Idle", bytesParts(stats.heap_idle - stats.heap_released), `free, kept for reuse; threads keep up to ${bytes(stats.mcache_held)} more`),
      tile("Released", bytesParts(stats.heap_released), "given back to the system"),
      tile("Resident", bytesParts(stats.resident), limit ? `${percent(stats.resident / limit)} of the limit, ${bytes(limit)}` : `${bytes(stats.peak_resident)} at the peak; no limit is set`),
      tile("Objects", count(stats.heap_objects).split(" ").concat("").slice(0, 2), `${bytes(stats.allocated)} in objects, ${bytes(stats.peak_allocated)} at the peak`),
      tile("Allocating", bytesParts(rate(samples, (s) => s.total_alloc)).map((part, index) => index ? part + "/s" : part), `${count(rate(samples, (s) => s.mallocs))} objects/s${stats.exact ? "" : " or more"}`),
    );
  };
  return { draw };
})();

const classes = (() => {
  let order = "bytes", all = false, latest = null, before = null;
  const COLUMNS = [
    ["size", "Size", "Bytes of one object"],
    ["live", "Objects", "Objects that the program holds"],
    ["bytes", "Bytes", "Bytes in these objects"],
    ["spans", "Spans", "Spans that the class holds", "narrow-hide"],
    ["rate", "Allocs/s", "Objects allocated per second; without the feature `stats` a lower bound", "narrow-hide"],
  ];

  const rows = () => {
    const seconds = before ? (latest.at - before.at) / 1000 : 0;
    return latest.stats.by_size.filter((c) => c.size > 0).map((c) => {
      const live = Math.max(0, c.mallocs - c.frees);
      const earlier = before && before.stats.by_size.find((other) => other.size === c.size);
      const rate = earlier && seconds > 0 ? (c.mallocs - earlier.mallocs) / seconds : 0;
      return { size: c.size, live, bytes: live * c.size, spans: c.spans, rate, used: c.spans > 0 || live > 0 };
    });
  };

  const draw = () => {
    if (!latest) return;
    const head = el("tr");
    for (const [key, name, what, hide] of COLUMNS) {
      const button = el("button", { type: "button", title: what, onclick: () => { order = key; draw(); } }, name);
      head.append(el("th", { class: [hide, order === key && "sorted"].filter(Boolean).join(" ") || undefined, "aria-sort": order === key ? (key === "size" ? "ascending" : "descending") : undefined }, button));
    }
    head.append(el("th", { class: "wide" }, "Share of all"));
    const every = rows(), total = every.reduce((sum, c) => sum + c.bytes, 0) || 1;
    const most = Math.max(1, ...every.map((c) => c.bytes));
    const sorted = every.filter((c) => c.used).sort((a, b) => order === "size" ? a.size - b.size : b[order] - a[order] || a.size - b.size);
    const body = sorted.slice(0, all ? sorted.length : 12).map((c) => el("tr", { "data-size": c.size },
      el("td", {}, c.size < 1024 ? c.size + " B" : bytes(c.size)),
      el("td", {}, count(c.live)),
      el("td", {}, bytes(c.bytes)),
      el("td", { class: "narrow-hide" }, count(c.spans)),
      el("td", { class: c.rate ? "narrow-hide" : "narrow-hide muted" }, count(c.rate)),
      el("td", { class: "wide", title: percent(c.bytes / total) + " of all bytes in size classes" }, el("div", { class: "share" }, el("i", { class: "used", style: { width: 100 * c.bytes / most + "%" } }))),
    ));
    $("classes").tHead.replaceChildren(head);
    $("classes").tBodies[0].replaceChildren(...body);
    $("classes-note").textContent = `${sorted.length} in use, ${bytes(total)}`;
    $("classes-all").hidden = sorted.length <= 12;
    $("classes-all").textContent = all ? "Largest" : "All " + sorted.length;
  };

  const start = () => $("classes-all").addEventListener("click", () => {
    all = !all;
    $("classes-all").setAttribute("aria-pressed", all);
    draw();
  });
  const add = (stats) => {
    const at = performance.now();
    if (!latest || at - latest.at > 500) before = latest;
    latest = { stats, at };
    draw();
  };
  return { start, add };
})();
