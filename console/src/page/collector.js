// Draws the collector's card, if the program has managed heaps: the cycles, and the stalls of
// mutators.
const collector = (() => {
  // Draws bars, with the name below every `every`th one; `list` has [name, value, tip] for each
  // bar.
  const bars = (box, list, every) => {
    const width = box.clientWidth, height = box.clientHeight, bottom = 18;
    const most = Math.max(1, ...list.map((bar) => bar[1])), step = width / Math.max(1, list.length);
    const svg = el("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
    list.forEach(([name, value, what], index) => {
      const tall = value ? Math.max(2, value / most * (height - bottom - 14)) : 0;
      const bar = el("rect", { class: "bar", x: index * step + 1, width: Math.max(1, step - 2), y: height - bottom - tall, height: tall, rx: 2 });
      bar.append(el("title", {}, what));
      svg.append(bar);
      if (index % every === 0) svg.append(el("text", { x: index * step + 1, y: height - 4 }, name));
    });
    svg.append(el("line", { class: "grid", x1: 0, x2: width, y1: height - bottom, y2: height - bottom }));
    svg.append(el("text", { x: width, y: 10, "text-anchor": "end" }, "up to " + count(most)));
    box.replaceChildren(svg);
  };

  const draw = (stats, status) => {
    const there = status.managed_heaps > 0 || stats.num_gc > 0;
    $("card-gc").hidden = !there;
    if (!there) return;
    const facts = [
      ["Cycles", count(stats.num_gc)],
      ["Requested", count(stats.num_forced_gc)],
      ["Last ended", stats.last_gc ? span(Math.max(0, Date.now() / 1000 - stats.last_gc / 1e9)) + " ago" : "never"],
      ["Next at", stats.next_gc ? bytes(stats.next_gc) : "\u2013"],
      ["Processor time", (stats.gc_cpu_fraction / 1e4).toFixed(2) + " %"],
      ["Longest stall", stats.max_stall_ns ? ns(stats.max_stall_ns) : "none"],
    ];
    $("gc-facts").replaceChildren(...facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
    $("gc-note").textContent = status.managed_heaps ? `${status.managed_heaps} managed heap${status.managed_heaps > 1 ? "s" : ""} known to the console` : "";
    const samples = chart.samples();
    const minutes = [];
    for (let end = samples.length - 1; end > 0 && minutes.length < 30; end -= 10) {
      const begin = Math.max(0, end - 10), time = (samples[end].t - samples[begin].t) / 60000;
      const cycles = (samples[end].num_gc - samples[begin].num_gc) / (time || 1);
      minutes.unshift([clock(samples[end].t, true), cycles, `${clock(samples[end].t)}: ${count(cycles)} a minute`]);
    }
    while (minutes.length < 30) minutes.unshift(["", 0, ""]);
    bars($("gc-cycles"), minutes, $("gc-cycles").clientWidth > 500 ? 6 : 10);
    const first = stats.stall_ns.findIndex((n) => n > 0), from = Math.max(0, Math.min(first < 0 ? 10 : first, 10));
    const stalls = stats.stall_ns.slice(from, 31).map((n, index) => {
      const low = 2 ** (index + from);
      return [ns(low), n, `${count(n)} of ${ns(low)} to ${ns(2 * low)}`];
    });
    bars($("gc-stalls"), stalls, $("gc-stalls").clientWidth > 500 ? 3 : 6);
  };
  return { draw };
})();
