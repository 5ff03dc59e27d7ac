// The page's loop, which requests the figures once a second, and the buttons of the page's head.
(() => {
  let paused = false, status = null, beat = 0, command = "";

  const state = (name, words) => {
    $("state").className = "state " + name;
    $("state").lastElementChild.textContent = words;
  };

  const head = () => {
    $("program").textContent = status.program;
    $("process").textContent = `process ${status.pid}, ${span(status.uptime_ms / 1000)}, greyspan ${status.version}`;
    document.title = `${status.program}: heap`;
    $("collect").hidden = status.managed_heaps === 0;
    $("sampling").textContent = status.profiling ? "Stop sampling" : "Start sampling";
    $("sampling").title = status.profiling
      ? `Sampling runs: one sample per ${bytes(status.profile_rate)} on average`
      : "Start sampling the heap: one sample per 512 KiB on average";
    $("sampling").hidden = !status.can_profile;
    const notice = status.serves_program ? "" : "Greyspan has served no request of this program, so the figures are empty. Declare it with #[global_allocator] to make it the program's allocator.";
    $("notice").textContent = notice;
    $("notice").hidden = notice === "";
    const line = `go tool pprof ${location.origin}/debug/pprof/heap`;
    if (line !== command) $("command").textContent = command = line;
  };

  const drawFlame = async () => {
    if (status.profiling || status.has_profile) await flame.load();
    else flame.empty(el("p", {}, status.can_profile
      ? "Sampling is off, so there is no profile. Press Start sampling to begin."
      : "This program was built without profiling. Build greyspan-console with its feature profiling."));
  };

  // Does one round: requests the figures each time, and the pictures every fourth time.
  const round = async () => {
    const slow = beat % 4 === 0;
    const [now, stats, history] = await Promise.all([json("status.json"), json("stats.json"), json("history.json?since=" + chart.last())]);
    status = now;
    chart.setLimit(status.memory_limit || status.hard_limit || 0);
    chart.add(history);
    head();
    tiles.draw(stats, status);
    chart.draw();
    classes.add(stats);
    collector.draw(stats, status);
    await Promise.all([events.load(), slow ? drawFlame() : null, slow ? map.load() : null]);
    beat++;
  };

  const loop = async () => {
    if (!paused && !document.hidden) {
      try {
        await round();
        if (!paused) state("live", "live");
      } catch (error) {
        const away = error instanceof TypeError;
        state("gone", away ? "the program does not answer; trying again" : error.message);
      }
    }
    setTimeout(loop, 1000);
  };

  const pause = () => {
    paused = !paused;
    $("pause").textContent = paused ? "Resume" : "Pause";
    $("pause").setAttribute("aria-pressed", paused);
    if (paused) state("", "paused");
  };

  const pressed = async (id, path, words) => {
    $(id).disabled = true;
    try {
      toast(words(await act(path)));
      beat = 0;
      await round();
    } catch (error) {
      toast(error.message, true);
    }
    $(id).disabled = false;
  };

  const THEMES = { auto: "\u25d0", light: "\u2600\ufe0e", dark: "\u263e" };
  const theme = (name) => {
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    $("theme").textContent = THEMES[name];
    $("theme").title = "Colours: " + (name === "auto" ? "as the system says" : name);
    try { localStorage.setItem("greyspan-theme", name); } catch { /* storage may be off */ }
    map.draw();
  };
  const kept = () => {
    try { return localStorage.getItem("greyspan-theme"); } catch { return null; }
  };

  chart.start();
  classes.start();
  flame.start();
  let current = kept() in THEMES ? kept() : "auto";
  theme(current);
  $("theme").addEventListener("click", () => {
    const names = Object.keys(THEMES);
    theme(current = names[(names.indexOf(current) + 1) % names.length]);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => map.draw());
  $("pause").addEventListener("click", pause);
  $("purge").addEventListener("click", () => pressed("purge", "purge", (done) => `${bytes(done.bytes)} given back to the system`));
  $("collect").addEventListener("click", () => pressed("collect", "collect", (done) => `${done.heaps} managed heap${done.heaps === 1 ? "" : "s"} collected in ${Math.round(done.ms)} ms`));
  $("sampling").addEventListener("click", () => status && pressed("sampling", status.profiling ? "profile/stop" : "profile/start",
    (done) => done.profiling ? `Sampling has started: one sample per ${bytes(done.rate)} on average` : "Sampling has stopped"));
  addEventListener("keydown", (event) => {
    const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
    if (event.key === "Escape") {
      if (typing) { $("flame-search").value = ""; $("flame-search").dispatchEvent(new Event("input")); event.target.blur(); } else flame.reset();
    } else if (!typing && event.key === "/") {
      event.preventDefault();
      $("flame-search").focus();
    } else if (!typing && event.key === " " && event.target.tagName !== "BUTTON") {
      event.preventDefault();
      pause();
    }
  });
  let drawn = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === drawn) return;
    drawn = innerWidth;
    chart.draw();
    flame.draw();
    map.draw();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) beat = 0; });
  loop();
})();
