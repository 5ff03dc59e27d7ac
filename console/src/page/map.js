// Draws the map of the heap: one cell per group of pages, in the order of addresses. A cell has the
// colour of the use that most of its pages have.
const map = (() => {
  const CELL = 9, GAP = 1, ROWS = 40;
  // Maps the kinds in the JSON to colours of the style sheet, and to words. The colour of a span of
  // small objects depends on how full the span is.
  const KINDS = {
    small: ["full-4", "small objects, by how full the spans are"],
    large: ["large", "large objects"],
    managed: ["managed", "the collector's spans"],
    spare: ["spare", "empty spans, kept for reuse"],
    changing: ["spare", "span that is changing its state"],
    free: ["idle", "free, with memory behind it"],
    room: ["released", "room for large objects to grow"],
    released: ["released", "free, given back to the system"],
  };
  let latest = null, layout = null, next = 0;

  // Divides an arena into cells of `pages` pages. Each cell counts its pages by kind and keeps its
  // first three runs.
  const cellsOf = (arena, pages) => {
    const cells = [];
    let cell = null, at = Number(arena.first);
    const open = () => ({ pages: 0, by: {}, live: 0, room: 0, runs: [] });
    for (const run of arena.runs) {
      let left = run[0];
      const begin = at;
      at += run[0] * latest.page;
      while (left > 0) {
        cell ??= open();
        const here = Math.min(left, pages - cell.pages), kind = run[1];
        cell.by[kind] = (cell.by[kind] || 0) + here;
        if (kind === "small") {
          cell.live += run[2] * run[4] * here / run[0];
          cell.room += run[2] * run[3] * here / run[0];
        }
        if (cell.runs.length < 3) cell.runs.push([run, begin]);
        cell.pages += here;
        left -= here;
        if (cell.pages === pages) { cells.push(cell); cell = null; }
      }
    }
    if (cell) cells.push(cell);
    return cells;
  };

  const kindOf = (cell) => Object.keys(KINDS).reduce((best, kind) => (cell.by[kind] || 0) > (cell.by[best] || 0) ? kind : best, "small");
  const shadeOf = (cell) => {
    const kind = kindOf(cell);
    if (kind !== "small") return KINDS[kind][0];
    return "full-" + Math.min(4, Math.max(1, Math.ceil(4 * cell.live / (cell.room || 1))));
  };

  const draw = () => {
    if (!latest) return;
    const box = $("map"), columns = Math.max(8, Math.floor((box.clientWidth + GAP) / (CELL + GAP)));
    const pagesOf = (arena) => arena.runs.reduce((sum, run) => sum + run[0], 0);
    let pages = 1;
    while (latest.arenas.reduce((sum, arena) => sum + Math.ceil(pagesOf(arena) / pages / columns), 0) > ROWS) pages *= 2;
    const cells = latest.arenas.flatMap((arena) => {
      const own = cellsOf(arena, pages).map((cell, index) => ({ ...cell, huge: arena.huge[Math.floor(index * pages * latest.page / latest.huge)] === "1" }));
      // Each arena begins a new row.
      while (own.length % columns) own.push(null);
      return own;
    });
    const rows = Math.max(1, cells.length / columns), density = Math.max(1, Math.round(devicePixelRatio));
    const canvas = box.firstElementChild?.tagName === "CANVAS" ? box.firstElementChild : el("canvas", { role: "img", "aria-label": "Map of the heap" });
    if (!canvas.isConnected) {
      canvas.addEventListener("pointermove", point);
      canvas.addEventListener("pointerleave", untip);
      box.replaceChildren(canvas);
    }
    const step = CELL + GAP;
    canvas.width = columns * step * density;
    canvas.height = rows * step * density;
    canvas.style.width = columns * step + "px";
    const paint = canvas.getContext("2d"), colours = {};
    paint.scale(density, density);
    cells.forEach((cell, index) => {
      if (!cell) return;
      const shade = shadeOf(cell), x = index % columns * step, y = Math.floor(index / columns) * step;
      paint.fillStyle = colours[shade] ??= colour(shade);
      paint.fillRect(x, y, CELL, CELL);
      if (cell.huge) {
        paint.fillStyle = colours.ink ??= colour("ink");
        paint.globalAlpha = 0.55;
        paint.fillRect(x, y + CELL - 2, CELL, 2);
        paint.globalAlpha = 1;
      }
    });
    layout = { cells, columns, step, pages };
    const { ready, in_use } = latest.bytes;
    $("map-note").textContent = `${bytes(in_use)} of ${bytes(ready)} in use, ${bytes(pages * latest.page)} per cell`;
    legend();
  };

  const legend = () => {
    const here = latest.bytes, items = [["full-1", "sparse"], ["full-4", "full"]];
    if (here.large) items.push(["large", "large"]);
    if (here.managed) items.push(["managed", "managed"]);
    if (here.free) items.push(["idle", "free"]);
    if (here.released || here.room) items.push(["released", "released"]);
    $("map-legend").replaceChildren(...items.map(([name, words]) => el("span", {}, el("i", { style: { background: `var(--${name})` } }), words)));
  };

  const describe = ([run, begin]) => {
    const [pages, kind, a, b, c] = run, length = bytes(pages * latest.page), where = "0x" + begin.toString(16);
    switch (kind) {
      case "small": return `${where}: span of ${length}, ${c} of ${b} objects of ${a < 1024 ? a + " B" : bytes(a)} held (${percent(c / (b || 1))})`;
      case "large": return `${where}: large object of ${bytes(a)} in ${length}`;
      case "managed": return `${where}: the collector's span of ${length}, ${b} slots of ${bytes(a)}`;
      default: return `${where}: ${length} ${KINDS[kind]?.[1] ?? kind}`;
    }
  };

  const point = (event) => {
    const box = event.currentTarget.getBoundingClientRect(), { cells, columns, step } = layout;
    const scale = columns * step / box.width;
    const column = Math.floor((event.clientX - box.left) * scale / step), row = Math.floor((event.clientY - box.top) * scale / step);
    const cell = cells[row * columns + column];
    if (!cell) { untip(); $("map-detail").textContent = ""; return; }
    const lines = cell.runs.map(describe);
    if (cell.huge) lines.push("in a huge page");
    $("map-detail").textContent = lines.join("; ");
    tip(event, ...lines.map((line) => el("div", {}, line)));
  };

  const load = async () => {
    const begin = performance.now();
    if (begin < next) return;
    latest = await json("heapmap.json");
    draw();
    // The map of a large heap takes long. So it may take one twentieth of the time.
    next = performance.now() + 20 * (performance.now() - begin) - 1000;
  };

  return { load, draw };
})();
