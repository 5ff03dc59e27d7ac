// Lists the allocator's events, the latest first. Events of the same kind in a row share one line.
const events = (() => {
  const WORDS = {
    purge: "Purge", soft_limit: "Soft limit", hard_limit: "Hard limit", arena_reserved: "Arena", arena_grew: "Growth",
    huge_pages_stopped: "Huge pages", gc_cycle: "Cycle", gc_heap_kept: "Heap kept",
  };
  const MOST = 60;
  let next = 0, missed = 0, lines = [];

  // Returns the text with sizes ("65536 bytes") in a readable unit and times with three digits.
  // Other numbers stay.
  const readable = (text) => text
    .replace(/^collector cycle/, "cycle")
    .replace(/\b(\d{4,}) bytes\b/g, (all, figure) => bytes(Number(figure)).replace(" ", "\u00a0"))
    .replace(/\b(\d+\.\d+)(ns|\u00b5s|ms|s)\b/g, (all, figure, unit) => `${Number(Number(figure).toPrecision(3))}\u00a0${unit}`);

  const add = (event) => {
    const first = lines[0];
    if (first && first.event.name === event.name && first.event.name !== "hard_limit") {
      first.event = event;
      first.times++;
    } else {
      lines.unshift({ event, times: 1 });
      lines.length = Math.min(lines.length, MOST);
    }
  };

  const draw = () => {
    const body = lines.map(({ event, times }) => el("tr", { "data-name": event.name },
      el("td", { class: "when muted" }, clock(event.t)),
      el("td", { class: "what" }, el("i", { class: event.name }), (WORDS[event.name] ?? event.name) + (times > 1 ? ` \u00d7 ${count(times)}` : "")),
      el("td", { class: "name" }, readable(event.text)),
    ));
    $("events").tBodies[0].replaceChildren(...body);
    $("events-note").textContent = `${count(next)} so far` + (missed ? `, ${count(missed)} missed` : "");
  };

  const load = async () => {
    const news = await json("events.json?since=" + next);
    if (!news.events.length && lines.length) return;
    // Events from before the page was opened do not count as missed.
    if (next) missed += news.missed;
    next = news.next;
    news.events.forEach(add);
    draw();
  };
  return { load };
})();
