// Draws the heap over time: stacked areas, and the limit.
const chart = (() => {
  // The layers from the bottom up. `of` returns a layer's bytes in a sample.
  const LAYERS = [
    { name: "Objects", colour: "objects", what: "objects that the program holds", of: (s) => Math.min(s.allocated, s.inuse) },
    { name: "Free slots", colour: "slack", what: "free slots in spans that hold objects", of: (s) => Math.max(0, s.inuse - s.allocated) },
    { name: "Idle", colour: "idle", what: "free pages with memory behind them", of: (s) => Math.max(0, s.idle - s.released) },
    { name: "Released", colour: "released", what: "free pages given back to the system", of: (s) => s.released, off: true },
  ];
  const fine = [], coarse = [];
  let seconds = 300, limit = 0, last = 0, pointer = null;

  const add = (history) => {
    const read = (row) => Object.fromEntries(history.names.map((name, index) => [name, row[index]]));
    for (const [ring, rows, most] of [[fine, history.fine, 300], [coarse, history.coarse, 720]]) {
      ring.push(...rows.map(read));
      ring.splice(0, ring.length - most);
    }
    last = fine.length ? fine[fine.length - 1].t : last;
  };

  const shown = () => {
    const from = last - seconds * 1000;
    const old = seconds > 300 && fine.length ? coarse.filter((s) => s.t < fine[0].t) : [];
    return [...old, ...fine].filter((s) => s.t >= from);
  };

  // Divides `top` into about four round steps, in binary units.
  const steps = (top) => {
    const rough = top / 4, base = 2 ** Math.floor(Math.log2(Math.max(rough, 1)));
    const step = rough > base * 1.5 ? base * 2 : base;
    return Array.from({ length: Math.ceil(top / step) + 1 }, (_, index) => index * step);
  };

  const draw = () => {
    const box = $("chart"), width = box.clientWidth, height = box.clientHeight;
    const left = 62, right = 8, top = 8, bottom = 22;
    const samples = shown();
    const visible = LAYERS.filter((layer) => !layer.off);
    if (!samples.length || width < 100) return;
    const peak = Math.max(1, ...samples.map((s) => visible.reduce((sum, layer) => sum + layer.of(s), 0)));
    // A limit far above the heap is not drawn: it would squeeze the areas flat.
    const near = limit > 0 && limit < peak * 3;
    const grid = steps(Math.max(peak, near ? limit : 0) * 1.04), most = grid[grid.length - 1];
    // The curve of a young program fills the width too.
    const end = last, begin = Math.max(end - seconds * 1000, Math.min(samples[0].t, end - 30000));
    const x = (t) => left + (t - begin) / (end - begin) * (width - left - right);
    const y = (v) => top + (1 - v / most) * (height - top - bottom);
    const svg = el("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Heap over time" });
    for (const value of grid) {
      svg.append(el("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
      svg.append(el("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, value ? bytes(value).replace(/\.0+ /, " ") : "0"));
    }
    let floor = samples.map(() => 0);
    for (const layer of visible) {
      const ceiling = samples.map((s, index) => floor[index] + layer.of(s));
      const line = (values) => values.map((v, index) => `${x(samples[index].t).toFixed(1)},${y(v).toFixed(1)}`);
      const upper = line(ceiling);
      svg.append(el("path", { class: "area", d: "M" + [...upper, ...line(floor).reverse()].join("L") + "Z", style: { fill: `var(--${layer.colour})`, "fill-opacity": "0.82" } }));
      svg.append(el("path", { class: "edge", d: "M" + upper.join("L"), style: { stroke: `var(--${layer.colour})` } }));
      floor = ceiling;
    }
    if (near) {
      svg.append(el("line", { class: "limit", x1: left, x2: width - right, y1: y(limit), y2: y(limit) }));
      svg.append(el("text", { class: "limit-name", x: width - right - 4, y: y(limit) - 5, "text-anchor": "end" }, "limit " + bytes(limit).replace(/\.0+ /, " ")));
    }
    const ticks = width > 700 ? 6 : 3;
    for (let index = 0; index <= ticks; index++) {
      const t = begin + (end - begin) * index / ticks;
      const anchor = index === 0 ? "start" : index === ticks ? "end" : "middle";
      svg.append(el("text", { x: x(t), y: height - 5, "text-anchor": anchor }, clock(t, end - begin <= 600000)));
    }
    if (pointer !== null) {
      const at = begin + (pointer - left) / (width - left - right) * (end - begin);
      const nearest = samples.reduce((best, s) => Math.abs(s.t - at) < Math.abs(best.t - at) ? s : best);
      svg.append(el("line", { class: "cross", x1: x(nearest.t), x2: x(nearest.t), y1: top, y2: height - bottom }));
      svg.pointed = nearest;
    }
    box.replaceChildren(svg);
    return svg.pointed;
  };

  const point = (event) => {
    pointer = event.clientX - $("chart").getBoundingClientRect().left;
    const s = draw();
    if (!s) return;
    const table = el("table", {}, el("tr", {}, el("td", {}, clock(s.t)), el("td", {})));
    for (const layer of [...LAYERS].reverse()) table.append(el("tr", {}, el("td", {}, layer.name), el("td", {}, bytes(layer.of(s)))));
    table.append(el("tr", {}, el("td", {}, "Resident"), el("td", {}, bytes(s.resident))));
    table.append(el("tr", {}, el("td", {}, "Objects held"), el("td", {}, count(s.objects))));
    tip(event, table);
  };

  const start = () => {
    for (const layer of LAYERS) {
      const button = el("button", {
        type: "button", title: layer.what, class: layer.off ? "off" : "", "aria-pressed": undefined, onclick: () => {
          layer.off = !layer.off;
          button.classList.toggle("off", layer.off);
          draw();
        },
      }, el("i", { style: { background: `var(--${layer.colour})` } }), layer.name);
      $("chart-legend").append(button);
    }
    segmented($("chart-range"), (button) => { seconds = Number(button.dataset.seconds); draw(); });
    $("chart").addEventListener("pointermove", point);
    $("chart").addEventListener("pointerleave", () => { pointer = null; untip(); draw(); });
  };

  return { start, add, draw, last: () => last, samples: () => fine, long: () => [...coarse.filter((s) => !fine.length || s.t < fine[0].t), ...fine], setLimit: (value) => { limit = value; } };
})();
