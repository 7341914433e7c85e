// The viewer: a timeline with a cursor, the tables of the scheduler at that step, and the line of code.
//
// One idea: stepping is moving a cursor through data that is all there (payload.py). Tables move by
// the small steps that came with each event, backwards from the nearest key frame; only the columns
// about the cursor are drawn. It lives in a notebook (`render`, called by anywidget) and in a page
// of its own (`mount`), and asks nobody for anything.

const KEY_FRAME = 128; // events between two copies of all tables
const LEFT = 132, COLUMN = 46, ROW = 34, HEAD = 20, FOOT = 22; // of the timeline and its axis, in pixels
const MOST_ROWS = 7; // of a table, before it scrolls
const QUEUES = ["mailbox", "wakeup_queue", "fork_queue", "error_queue", "coroutine_pool"];
const SESSIONS = ["session_id_coroutine", "sleep_session", "watching_session", "queue", "socket_pool"];
const REQUESTS = ["session_coroutine_id", "session_coroutine_address", "session_coroutine_tracetag", "session_response", "unresponse",
  "watching_service", "dead_service"];
const TAGS = ["#0c8599", "#b35c00", "#7048e8", "#2b8a3e"]; // bands of trace tags, as in drawing.py
const NODE = ["global_queue", "commands", "sockets", "timers", "now"];
const DERIVED = "watching_service"; // counted from two other tables, as the scheduler does

const STYLE = `
.skl{--page:#fff;--band:#f4f6f8;--ink:#1c2128;--faint:#5c6470;--rule:#d5dae0;--run:#8fb3d9;--resume:#00875a;
--stop:#c9281c;--wakeup:#7b3fa0;--socket:#b86a0a;--say:#fff4d6;--line:#ffe9a8;--new:#e3f5ec;--focus:#1f6feb;
color:var(--ink);background:var(--page);font:13px/1.45 system-ui,-apple-system,"Segoe UI",sans-serif;
border:1px solid var(--rule);border-radius:8px;outline:none;min-width:0;text-align:left}
.skl.dark{--page:#14171c;--band:#1b2027;--ink:#e6e9ee;--faint:#a3adba;--rule:#39414c;--run:#3f6ea3;--resume:#2fc48d;
--stop:#ff6f5e;--wakeup:#c792ea;--socket:#f0a64a;--say:#2d2817;--line:#4a4020;--new:#173527;--focus:#6cb0ff}
.skl *{box-sizing:border-box;scrollbar-width:thin}
.skl:focus-visible,.skl :focus-visible{outline:2px solid var(--focus);outline-offset:1px}
.skl header{display:flex;flex-wrap:wrap;gap:6px;align-items:center;padding:8px 10px;border-bottom:1px solid var(--rule)}
.skl .title{font-size:14px;margin:0 10px 0 0;font-weight:650}
.skl button,.skl select,.skl input[type=search]{font:inherit;color:inherit;background:var(--page);
border:1px solid var(--rule);border-radius:6px;padding:3px 8px;min-height:28px}
.skl button{cursor:pointer}.skl button:hover{background:var(--band)}.skl button:disabled{opacity:.45;cursor:default}
.skl button.on{background:var(--ink);color:var(--page)}
.skl label{display:inline-flex;gap:4px;align-items:center;color:var(--faint)}
.skl header .end{margin-left:auto;display:flex;gap:6px;align-items:center;color:var(--faint)}
.skl .film{overflow:hidden auto;max-height:430px;position:relative;background:var(--page)}
.skl svg{display:block}
.skl .veil,.skl .cursor{position:absolute;top:0;left:0;pointer-events:none;will-change:transform}
.skl .veil{width:100%;background:var(--page);opacity:.72}
.skl .cursor{border-left:1.5px solid var(--ink)}
.skl .axis{position:relative;overflow:hidden;height:22px;contain:strict}
.skl .axis b{position:absolute;top:3px;left:-21px;width:42px;text-align:center;border-radius:3px;will-change:transform;
background:var(--ink);color:var(--page);font:11px/16px system-ui,sans-serif;contain:strict;height:16px}
.skl svg text{font:11px system-ui,-apple-system,"Segoe UI",sans-serif;fill:var(--ink)}
.skl svg .mono{font:10.5px ui-monospace,Menlo,Consolas,monospace;fill:var(--stop)}
.skl svg .faint{fill:var(--faint)}
.skl .strip{display:block;width:100%;height:22px;border-top:1px solid var(--rule)}
.skl .slider{width:100%;margin:0;display:block;accent-color:var(--resume)}
.skl .say{background:var(--say);padding:8px 12px;height:66px;overflow:auto;border-block:1px solid var(--rule)}
.skl .say .n{color:var(--faint);margin-right:10px;font-variant-numeric:tabular-nums}
.skl .say .note:not(:empty){margin-right:10px;padding:1px 6px;border-radius:4px;background:var(--ink);color:var(--page)}
.skl .say .raw{display:block;color:var(--faint);font:11.5px ui-monospace,Menlo,Consolas,monospace;margin-top:2px;
white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.skl .why{display:flex;gap:6px;align-items:center;padding:6px 10px;height:41px;overflow:auto hidden;
white-space:nowrap;color:var(--faint)}
.skl .why button{padding:1px 7px;min-height:24px;font-size:12px}
.skl .below{display:grid;grid-template-columns:repeat(3,minmax(0,1fr)) minmax(0,1.6fr);gap:8px;padding:8px 10px;align-items:start}
.skl.medium .say{height:86px}.skl.medium .below{grid-template-columns:repeat(2,minmax(0,1fr))}
.skl.narrow .say{height:128px}.skl.narrow .below{grid-template-columns:minmax(0,1fr)}
.skl.bare .below{grid-template-columns:repeat(3,minmax(0,1fr))}.skl.bare .col:last-child{display:none}
.skl .card,.skl .film{contain:content}.skl .say,.skl .why,.skl .code{contain:strict}
.skl .card{border:1px solid var(--rule);border-radius:6px;overflow:hidden;min-width:0}
.skl .card+.card{margin-top:6px}
.skl .card h4{display:flex;justify-content:space-between;gap:6px;margin:0;padding:2px 8px;background:var(--band);
font:600 11.5px ui-monospace,Menlo,Consolas,monospace;color:inherit}
.skl .card h4 .gone{font-weight:400;color:var(--stop);overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.skl .card.changed{border-color:var(--resume)}
.skl .rows{font:11.5px/18px ui-monospace,Menlo,Consolas,monospace;overflow:hidden auto;padding:1px 0}
.skl .rows span:last-child{overflow:hidden;text-overflow:ellipsis}
.skl .rows div{display:flex;gap:8px;padding:0 8px;white-space:nowrap}
.skl .rows .k{color:var(--faint)}
.skl .rows .k::after{content:"→";margin-left:8px}
.skl .rows .new{background:var(--new);font-weight:650}
.skl .rows .new::before{content:"+";color:var(--resume)}
.skl .rows .none{color:var(--faint)}
.skl .unused{color:var(--faint);font-size:12px;padding:4px 2px}
.skl .code{overflow:auto;font:11.5px/17px ui-monospace,Menlo,Consolas,monospace;height:168px}
.skl .code div{white-space:pre;padding:0 8px;min-width:max-content}
.skl .code div i{display:inline-block;width:3.2em;color:var(--faint);font-style:normal;user-select:none}
.skl .code .hit{background:var(--line);box-shadow:inset 3px 0 0 var(--socket)}
.skl .code .hit i::before{content:"▶"}
.skl .stack{display:flex;flex-wrap:wrap;gap:2px;padding:3px 6px;height:calc(var(--lines,1)*25px + 5px);overflow:hidden auto;align-content:flex-start}
.skl .stack button{padding:0 6px;min-height:22px;font:11px ui-monospace,Menlo,Consolas,monospace}
.skl details{padding:5px 10px;border-bottom:1px solid var(--rule)}.skl summary{cursor:pointer;color:var(--faint)}
.skl details ul{margin:4px 0 0;padding-left:18px}
.skl .sr{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
`;

const escape = (s) => String(s).replace(/[&<>"]/g, (c) => ({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}[c]));
const bold = (s) => escape(s).replace(/\*\*(.+?)\*\*/g, "<b>$1</b>");
const show = (v) => (Array.isArray(v) ? v.join(" ") : typeof v === "object" && v ? JSON.stringify(v) : String(v));
const wide = (c) => (c >= "\u2e80" ? 2 : 1); // Chinese characters, and the letters and signs as wide as these
const byNumber = new Intl.Collator("en", {numeric: true}).compare;

// ------------------------------------------------------------------ tables

/** Do one small step of trace/state.py. */
export function move(tables, step) {
  const [kind, service, name, ...rest] = step;
  if (kind === "born") { tables.services[service] = structuredClone(name); return; }
  if (kind === "gone") { delete tables.services[service]; return; }
  const home = service === "" ? tables : tables.services[service];
  if (kind === "put" && rest[0] === null) { home[name] = rest[1]; return; }
  const table = home[name];
  if (kind === "put") table[rest[0]] = rest[1];
  else if (kind === "drop") delete table[rest[0]];
  else if (kind === "push") table.push(rest[0]);
  else if (kind === "pop") table.splice(rest[0], 1);
  else if (kind === "clear") table.length = 0;
}

function watching(t) {
  const counts = {};
  for (const a of [...Object.values(t.session_coroutine_address ?? {}), ...(t.unresponse ?? []).map((u) => u[1])])
    counts[a] = (counts[a] ?? 0) + 1;
  return counts;
}

/** A table as [key, value] rows, in the order in which Python shows it. */
function rows(tables, service, name) {
  const home = service === "" ? tables : tables.services[service];
  if (!home) return [];
  const t = name === DERIVED ? watching(home) : home[name];
  if (t === undefined) return [];
  if (typeof t !== "object") return [["", show(t)]];
  if (!Array.isArray(t)) return Object.keys(t).sort(byNumber).map((k) => [k, show(t[k])]);
  const list = t.map(show);
  if (name === "timers") return t.slice().sort((a, b) => a[0] - b[0]).map((x) => [`tick ${x[0]}`, `${x[1]} ${x[2]}`]);
  if (["session_response", "dead_service", "unresponse"].includes(name)) list.sort(byNumber);
  return list.map((v) => ["", v]);
}

class Film {
  constructor(data) {
    this.data = data;
    this.size = data.kinds.length;
    this.frames = [];
    this.most = {}; // "service|table" → rows at most
    const tables = structuredClone(data.tables);
    const measure = (service, name) => {
      const key = `${service}|${name}`, home = service === "" ? tables : tables.services[service];
      const t = home?.[name];
      const n = t === undefined ? 0 : typeof t !== "object" ? 1 : Array.isArray(t) ? t.length : Object.keys(t).length;
      this.most[key] = Math.max(this.most[key] ?? 0, n);
    };
    const all = (service, names) => names.forEach((name) => measure(service, name));
    for (const s of Object.keys(tables.services)) all(s, [...QUEUES, ...SESSIONS, ...REQUESTS]);
    all("", NODE);
    this.frames.push(structuredClone(tables));
    for (let i = 0; i < this.size; i++) {
      for (const step of data.steps[i]) {
        move(tables, step);
        if (step[0] !== "born" && step[0] !== "gone") measure(step[1], step[2]);
      }
      if ((i + 1) % KEY_FRAME === 0) this.frames.push(structuredClone(tables));
    }
    this.tables = structuredClone(data.tables);
    this.at = -1; // the event after which the tables stand
  }

  /** Stand after event `i`; answers which tables may have changed, null for all. */
  go(i) {
    const near = i >= this.at && i - this.at <= KEY_FRAME, touched = near ? new Set() : null;
    if (i < this.at || i - this.at > KEY_FRAME) {
      const frame = Math.min(Math.floor((i + 1) / KEY_FRAME), this.frames.length - 1);
      this.tables = structuredClone(this.frames[frame]);
      this.at = frame * KEY_FRAME - 1;
    }
    while (this.at < i) {
      for (const step of this.data.steps[++this.at]) {
        move(this.tables, step);
        touched?.add(`${step[1]}|${step[2]}`);
      }
    }
    return touched;
  }
}

// ------------------------------------------------------------------ the viewer

export function mount(el, data, options = {}) {
  return new Viewer(el, data, options);
}

class Viewer {
  constructor(el, data, options) {
    const begin = performance.now();
    this.data = data;
    // What the viewer says, in the language of its data: a form of words_en.toml with its names filled in.
    this.word = (key, fields = {}) => data.words[key].replace(/\{(\w+)\}/g, (_, name) => fields[name]);
    this.options = options;
    this.film = new Film(data);
    this.step = -1; // position in events, 0 is number data.first
    this.before = -1;
    this.service = data.shown[0] ?? "";
    this.detail = false;
    this.only = data.coroutines.length === 1 ? data.coroutines[0] : "";
    this.home = "shown";
    this.frame = null; // the place of the stack that the reader has chosen
    this.layouts = new Map(); // service → its cards, once they were shown
    this.queue = [];
    this.busy = false;
    this.painted = 0;
    this.timer = null;
    this.places = this.latestPlaces();
    this.root = document.createElement("div");
    this.root.className = "skl";
    el.replaceChildren(this.root);
    this.build();
    this.theme();
    this.select();
    this.resize();
    const wanted = options.step === undefined || options.step === null ? data.first : options.step;
    this.goto(this.nearest(wanted - data.first), true);
    this.loaded = performance.now() - begin;
    this.watcher = new ResizeObserver(() => this.resize());
    this.watcher.observe(this.root);
  }

  /** By classes and not by container queries, which make the page ask its style for every layout. */
  resize() {
    const width = this.root.clientWidth;
    this.root.classList.toggle("medium", width && width < 1020);
    this.root.classList.toggle("narrow", width && width < 560);
    this.width = 0;
    // As many lines of buttons as the deepest stack needs, whatever the step.
    const box = this.sources?.[1].clientWidth - 10 || 400, wide = (p) => p.length * 6.62 + 16;
    const deepest = this.data.stacks.reduce((most, stack) => Math.max(most, stack.slice(0, -1).reduce((sum, p) => sum + wide(p), 0)), 0);
    this.root.style.setProperty("--lines", Math.min(3, Math.ceil(deepest / box) || 1));
    this.draw();
    this.overview(); // a notebook mounts us before we are on its page: only now there are width and colours
  }

  destroy() {
    this.watcher.disconnect();
    this.schemes.removeEventListener("change", this.onscheme);
    this.themes.disconnect();
    clearInterval(this.timer);
  }

  /** For each event the place that its coroutine is known to be at: an index of stacks, or null. */
  latestPlaces() {
    const d = this.data, last = {}, found = [], users = {}; // of users, "" is whoever ran last
    this.parked = []; // for each event: who of its service is parked where, for when no line of the user's runs
    for (let i = 0; i < d.kinds.length; i++) {
      const key = `${d.services[i]}|${d.coroutine[i]}`;
      const fresh = d.kinds[i] === "co_create";
      if (d.places[i] !== null) last[key] = d.places[i];
      else if (fresh) delete last[key];
      found.push(d.coroutine[i] ? last[key] ?? null : d.places[i]);
      const place = d.places[i] === null ? undefined : d.stacks[d.places[i]].find((p) => !/\.py:\d+$/.test(p));
      if (place && d.coroutine[i]) users[d.services[i]] = users[""] = [d.coroutine[i], place];
      this.parked.push(users[d.services[i]] ?? null);
    }
    return found;
  }

  /** A service by name and address; in a recording of the real skynet they are the same. */
  named(s) {
    const name = this.data.names[s] ?? "";
    return name === s ? s : `${name} ${s}`.trim();
  }

  // ---- what there is on the page

  build() {
    const d = this.data;
    const coroutines = [...new Set(d.coroutine.filter(Boolean))].sort(byNumber);
    const services = Object.keys(d.names).sort();
    const option = (v, text) => `<option value="${escape(v)}">${escape(text)}</option>`;
    const named = (s) => this.named(s);
    const word = (key, fields) => escape(this.word(key, fields)), many = (n, key) => (n > 1 ? key : `${key}.one`);
    const counted = ["fault", "suspicion"].map((g) => [d.verdicts.filter((v) => v[0] === g).length, g]).filter(([n]) => n)
      .map(([n, g]) => this.word(many(n, g), {n})).join(this.word("comma"));
    this.root.setAttribute("role", "group");
    this.root.setAttribute("aria-label", this.word("stepper", {title: d.title}));
    this.root.lang = d.lang;
    this.root.tabIndex = 0;
    this.root.innerHTML = `<style>${STYLE}</style>
<header>
  <strong class="title">${escape(d.title)}</strong>${d.hidden ? `<span class="unused">${word("hidden", {n: d.hidden})}</span>` : ""}
  <button data-do="first" aria-label="${word("first")}" title="${word("first.key")}">|◀</button>
  <button data-do="back" aria-label="${word("back")}" title="${word("back.key")}">◀</button>
  <button data-do="play" aria-label="${word("play")}" title="${word("play.key")}">${word("play.button")}</button>
  <button data-do="forward" aria-label="${word("forward")}" title="${word("forward.key")}">▶</button>
  <button data-do="last" aria-label="${word("last")}" title="${word("last.key")}">▶|</button>
  <select data-name="speed" aria-label="${word("speed")}" title="${word("speed")}">
    ${[[1000, 1], [400, 2.5], [120, 8]].map(([pause, n]) => option(pause, this.word("speed.n", {n}))).join("")}</select>
  <button data-do="previous" aria-label="${word("previous")}" title="${word("previous.key")}">◁ ${word("co")}</button>
  <button data-do="next" aria-label="${word("next")}" title="${word("next.key")}">${word("co")} ▷</button>
  <span class="end"><span class="found" aria-live="polite"></span>
    <input type="search" aria-label="${word("search")}" placeholder="${word("search.hint")}">
    <button data-do="link" aria-label="${word("link")}" title="${word("link")}">${word("link.button")}</button></span>
</header>
<header>
  <label>${word("events")} <select data-name="home" aria-label="${word("events.which")}">
    ${option("shown", this.word("program"))}${option("all", this.word("services"))}${services.map((s) => option(s, named(s))).join("")}</select></label>
  <label>${word("coroutine")} <select data-name="only" aria-label="${word("coroutine.which")}">
    ${option("", this.word("all"))}${coroutines.map((c) => option(c, c)).join("")}</select></label>
  <label><input type="checkbox" data-name="detail"> ${word("detail")}</label>
  <label class="end">${word("tables")} <select data-name="service" aria-label="${word("tables.which")}">
    ${option("", this.word("own"))}${services.map((s) => option(s, named(s))).join("")}</select></label>
</header>
${d.verdicts.length ? `<details><summary>${word(many(d.verdicts.length, "findings"), {n: d.verdicts.length, counted})}</summary><ul>${d.verdicts.map((v) =>
    `<li><button data-go="${v[1] - d.first}" aria-label="${word("go", {n: v[1]})}">${v[1]}</button> ${escape(v[2].replace(/ \[\S+ \d+\]$/, ""))}</li>`).join("")}</ul></details>` : ""}
<div class="film"><svg role="img" aria-label="${word("timeline", {title: d.title})}"></svg><div class="veil"></div><div class="cursor"></div></div>
<div class="axis" aria-hidden="true"><svg></svg><b></b></div>
<canvas class="strip" aria-hidden="true"></canvas>
<input class="slider" type="range" min="0" max="0" value="0" step="1" aria-label="${word("step")}">
<div class="say"><span class="n"></span><b class="note"></b><span class="words" aria-live="polite"></span><span class="raw"></span></div>
<div class="why"></div>
<div class="below"><div class="col"></div><div class="col"></div><div class="col"></div><div class="col"></div></div>
`;
    const find = (q) => this.root.querySelector(q);
    this.stage = find(".film");
    this.svg = find("svg");
    this.veil = find(".veil");
    this.cursor = find(".cursor");
    this.axis = find(".axis svg");
    this.tag = find(".axis b");
    this.strip = find(".strip");
    this.slider = find(".slider");
    this.search = find("input[type=search]");
    this.found = find(".found");
    this.n = find(".say .n");
    this.words = find(".say .words");
    this.raw = find(".say .raw");
    this.why = find(".why");
    this.columns = [...this.root.querySelectorAll(".col")];
    this.playButton = find("[data-do=play]");
    find("[data-name=only]").value = this.only;
    // JupyterLab and Notebook take keys for themselves from whatever does not say this.
    for (const x of [this.root, ...this.root.querySelectorAll("button,select,input")])
      x.setAttribute("data-lm-suppress-shortcuts", "true");
    this.root.addEventListener("keydown", (e) => this.key(e));
    this.root.addEventListener("click", (e) => this.click(e));
    this.stage.addEventListener("scroll", () => { this.scrolled = this.stage.scrollTop; }, {passive: true});
    this.slider.addEventListener("input", () => this.goto(this.visible[+this.slider.value]));
    this.search.addEventListener("input", () => this.look());
    for (const select of this.root.querySelectorAll("[data-name]"))
      select.addEventListener("change", () => this.choose(select));
  }

  theme() {
    const wanted = this.options.theme;
    const dark = () => {
      if (wanted) return wanted === "dark";
      const jp = document.body?.dataset.jpThemeLight;
      return jp !== undefined ? jp === "false" : matchMedia("(prefers-color-scheme: dark)").matches;
    };
    this.onscheme = () => { this.root.classList.toggle("dark", dark()); this.overview(); };
    this.root.classList.toggle("dark", dark());
    this.schemes = matchMedia("(prefers-color-scheme: dark)");
    this.schemes.addEventListener("change", this.onscheme);
    this.themes = new MutationObserver(this.onscheme);
    this.themes.observe(document.body, {attributeFilter: ["data-jp-theme-light"]});
  }

  // ---- which events are steps

  select() {
    const d = this.data, quiet = new Set(d.quiet), shown = new Set(d.shown);
    this.visible = [];
    for (let i = 0; i < d.kinds.length; i++) {
      if (!this.detail && quiet.has(d.kinds[i])) continue;
      const s = d.services[i];
      if (this.home === "shown" ? s && !shown.has(s) : this.home !== "all" && s !== this.home) continue;
      if (this.only && d.coroutine[i] !== this.only) continue;
      this.visible.push(i);
    }
    if (!this.visible.length) this.visible = d.kinds.length ? [0] : [];
    this.slider.max = Math.max(0, this.visible.length - 1);
    this.overview();
    this.look(false);
  }

  /** Which step is at or before an event; -1 if none is. */
  rank(i) {
    let low = 0, high = this.visible.length;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (this.visible[mid] <= i) low = mid + 1; else high = mid;
    }
    return low - 1;
  }

  /** The step at or before an event; the first one if there is none. */
  nearest(i) { return this.visible[Math.max(0, this.rank(i))] ?? 0; }

  choose(select) {
    const name = select.dataset.name;
    if (name === "speed") { if (this.timer) { this.play(); this.play(); } return; }
    if (name === "service") this.fixed = select.value;
    else this[name] = select.type === "checkbox" ? select.checked : select.value;
    this.select();
    this.goto(this.nearest(this.step), true);
  }

  // ---- moving

  key(e) {
    if (e.altKey || e.ctrlKey || e.metaKey) return;
    const typing = e.target === this.search, picking = e.target.tagName === "SELECT";
    if (typing) {
      if (e.key === "Enter") this.jump(e.shiftKey ? -1 : 1);
      else if (e.key === "Escape") this.root.focus();
      e.stopPropagation();
      return;
    }
    if (picking && e.key !== "Escape") { e.stopPropagation(); return; }
    if (e.key.startsWith("Arrow") && e.target.classList.contains("code")) { e.stopPropagation(); return; }
    const onButton = e.target.tagName === "BUTTON" || e.target.tagName === "SUMMARY" || e.target.type === "checkbox";
    if (onButton && (e.key === " " || e.key === "Enter")) { e.stopPropagation(); return; }
    const act = {
      ArrowRight: "forward", ArrowLeft: "back", Home: "first", End: "last", PageDown: "page", PageUp: "pageback", " ": "play", n: "next", p: "previous", "/": "search", Escape: "focus",
    }[e.key];
    if (!act) return;
    e.preventDefault();
    e.stopPropagation();
    this.ask(act);
  }

  click(e) {
    const button = e.target.closest("button");
    if (button?.dataset.do) return this.ask(button.dataset.do);
    if (button?.dataset.go) return this.goto(+button.dataset.go);
    if (button?.dataset.frame) { this.frame = button.dataset.frame; this.code(); return; }
    if (e.target === this.strip) {
      const part = (e.offsetX - 8) / (this.strip.clientWidth - 16);
      return this.goto(this.visible[Math.max(0, Math.min(this.visible.length - 1, Math.floor(part * this.visible.length)))]);
    }
    if (e.target.closest("svg")) {
      const x = e.clientX - this.svg.getBoundingClientRect().left;
      const k = Math.round((x - LEFT) / COLUMN - 0.5) + this.start;
      const c = this.data.columns[Math.max(0, Math.min(this.data.columns.length - 1, k))];
      if (c !== undefined) this.goto(this.nearest(c - this.data.first));
      this.root.focus({preventScroll: true});
    }
  }

  /** Each request is a step that is painted: what comes within the same frame waits for the next one. */
  ask(act) {
    if (this.busy) { this.queue.push(act); return; }
    this.busy = true;
    // Asked for the frame before acting: if an act fails, the next key is still taken.
    const drain = () => {
      this.painted++;
      const next = this.queue.shift();
      if (next === undefined) { this.busy = false; return; }
      requestAnimationFrame(drain);
      this.act(next);
    };
    requestAnimationFrame(drain);
    this.act(act);
  }

  act(act) {
    const begin = performance.now();
    const go = (way) => this.goto(this.visible[Math.max(0, Math.min(this.visible.length - 1, this.from(way)))]);
    if (act === "forward") go(1);
    else if (act === "back") go(-1);
    else if (act === "first") this.goto(this.visible[0]);
    else if (act === "last") this.goto(this.visible.at(-1));
    else if (act === "page") go(10);
    else if (act === "pageback") go(-10);
    else if (act === "next" || act === "previous") this.sameCoroutine(act === "next" ? 1 : -1);
    else if (act === "play") this.play();
    else if (act === "search") this.search.focus();
    else if (act === "focus") this.root.focus();
    else if (act === "link") this.link();
    this.spent = performance.now() - begin;
  }

  /** Which step is `way` steps away. A jump may have led to an event that is none: then it lies between two. */
  from(way) {
    const k = this.rank(this.step);
    return k + way + (way < 0 && this.visible[k] !== this.step ? 1 : 0);
  }

  sameCoroutine(way) {
    const d = this.data;
    const at = this.step, who = `${d.services[at]}|${d.coroutine[at]}`;
    if (!d.coroutine[at]) return;
    for (let k = this.from(way); k >= 0 && k < this.visible.length; k += way) {
      const i = this.visible[k];
      if (`${d.services[i]}|${d.coroutine[i]}` === who) return this.goto(i);
    }
  }

  play() {
    if (this.timer) { clearInterval(this.timer); this.timer = null; }
    else {
      const speed = +this.root.querySelector("[data-name=speed]").value;
      if (this.step >= this.visible.at(-1)) this.goto(this.visible[0]);
      this.timer = setInterval(() => {
        if (!this.root.isConnected || this.step >= this.visible.at(-1)) this.play();
        else if (!this.busy) this.ask("forward"); // a page in the background paints nothing, and shall not make up for it
      }, speed);
    }
    this.playButton.textContent = this.word(this.timer ? "pause.button" : "play.button");
    this.playButton.setAttribute("aria-label", this.word(this.timer ? "pause" : "play"));
    this.playButton.classList.toggle("on", !!this.timer);
  }

  link() {
    const n = this.step + this.data.first;
    const text = this.options.link ? this.options.link(n) : `trace.stepper(step=${n})`;
    const say = (done) => { this.found.textContent = done + text.slice(text.lastIndexOf("#") + 1); };
    // A page that is not secure (a notebook on another machine) has no clipboard: then it is there to be read.
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(() => say(this.word("copied")), () => say(""));
    else say("");
  }

  look(move = true) {
    const wanted = this.search.value.trim().toLowerCase(), d = this.data;
    this.hits = wanted ? this.visible.filter((i) =>
      d.lines[i].toLowerCase().includes(wanted) || d.say[i].replaceAll("**", "").toLowerCase().includes(wanted)) : [];
    const at = this.hits.indexOf(this.step) + 1;
    this.found.textContent = !wanted ? "" : this.word(at ? "search.at" : "search.found", {k: at, n: this.hits.length});
    if (move && this.hits.length && !this.hits.includes(this.step)) this.jump(1, true);
  }

  jump(way, here = false) {
    if (!this.hits.length) return;
    const ahead = way > 0 ? this.hits.find((i) => (here ? i >= this.step : i > this.step))
      : this.hits.findLast((i) => i < this.step);
    const i = ahead ?? (way > 0 ? this.hits[0] : this.hits.at(-1));
    this.goto(i);
    this.found.textContent = this.word("search.at", {k: this.hits.indexOf(i) + 1, n: this.hits.length});
  }

  /** Stand after event `i`. */
  goto(i, quiet = false) {
    if (i === undefined || !this.data.kinds.length) return this.draw();
    const k = this.rank(i);
    // What has just changed: since the step before this one, however we came here.
    this.before = this.visible[k] !== i ? i - 1 : k > 0 ? this.settled(this.visible[k - 1]) : -1;
    this.step = i;
    this.frame = null;
    this.touched = this.film.go((this.stands = this.settled(i)));
    this.slider.value = Math.max(0, k);
    this.slider.setAttribute("aria-valuetext", this.word("step.n", {n: i + this.data.first}));
    this.sentence();
    this.draw();
    this.cards();
    this.code();
    if (!quiet || this.options.eager) this.options.onstep?.(i + this.data.first);
  }

  /** The last of the bookkeeping that belongs to a step: tables are looked at when it has been done. */
  settled(i) {
    const d = this.data;
    if (!this.detail) while (i + 1 < d.kinds.length && d.quiet.includes(d.kinds[i + 1])) i++;
    return i;
  }

  /** What whoever shows us has to say about this step, until the next one. */
  note(text) { this.root.querySelector(".note").textContent = text; }

  // ---- the sentence, and why

  sentence() {
    const d = this.data, i = this.step;
    const until = this.stands > i ? `–${this.stands + d.first}` : "";
    this.n.textContent = `${i + d.first}${until} / ${d.first + d.kinds.length - 1}`;
    this.words.innerHTML = bold(d.say[i]);
    this.raw.textContent = d.lines[i];
    const chain = [];
    for (let n = d.causes[i]; n !== null && n !== undefined && chain.length < 8; n = d.causes[n - d.first]) chain.push(n);
    const by = d.by[i] ? this.word("by", {by: `<b>${escape(d.by[i])}</b>`}) + (chain.length ? this.word("comma") : "") : "";
    this.why.innerHTML = "<span>" + (by || chain.length ? "" : this.word("from_outside")) + by
      + (chain.length ? this.word("because") : "")
      + chain.map((n) => {
        const c = n - d.first, text = c < 0 ? this.word("not_shown", {n}) : `${n} ${d.coroutine[c]} ${d.kinds[c]}`.replace("  ", " ");
        return `<button data-go="${c}"${c < 0 ? " disabled" : ""} data-lm-suppress-shortcuts="true" aria-label="${this.word("cause", {n})}" title="${escape(d.say[c] ?? "").replaceAll("**", "")}">${escape(text)}</button>`;
      }).join(" ← ") + (chain.length === 8 ? " ← …" : "") + "</span>";
  }

  // ---- tables

  changes() {
    const changed = {};
    for (let i = this.before + 1; i <= this.stands; i++) {
      for (const [kind, service, name, ...rest] of this.data.steps[i]) {
        if (kind === "born" || kind === "gone") continue;
        const c = (changed[`${service}|${name}`] ??= {keys: new Set(), values: [], gone: []});
        if (kind === "put") c.keys.add(String(rest[0] ?? ""));
        else if (kind === "push") c.values.push(show(rest[0]));
        else if (kind === "drop") c.gone.push(String(rest[0]));
        else c.gone.push("1");
      }
    }
    return changed;
  }

  cards() {
    const own = this.data.services[this.step];
    if (this.fixed) this.service = this.fixed;
    else if (own && this.film.tables.services[own]) this.service = own;
    const s = this.service, changed = this.changes();
    if (this.built !== s) this.layout(s);
    this.turn = (this.turn ?? 0) + 1;
    for (const card of this.cardList) {
      const key = `${card.service}|${card.name}`, c = changed[key];
      // A card that was not marked, is not now, and was brought up to date before: nothing to do.
      if (this.touched && card.fresh === this.turn - 1 && !c && !card.marked && !this.touched.has(key) && card.name !== DERIVED) {
        card.fresh = this.turn;
        continue;
      }
      card.fresh = this.turn;
      card.marked = !!c;
      const list = rows(this.film.tables, card.service, card.name);
      const fresh = (k, v, n) => c && (c.keys.has(k) || c.values.includes(card.name === "timers" ? `${k.slice(5)} ${v}` : v)
        && (card.name === "timers" || n >= list.length - c.values.length));
      this.fill(card, list.length ? list.map(([k, v], n) => [k, v, fresh(k, v, n) ? "new" : ""]) : [["", this.word("empty"), "none"]]);
      const gone = c?.gone.length ? `− ${c.gone.every((g) => g === "1") ? c.gone.length : c.gone.join(", ")}` : "";
      if (card.said !== gone) { card.gone.textContent = gone; card.said = gone; }
      card.el.classList.toggle("changed", !!c);
      if (c && list.length > MOST_ROWS) {
        const n = card.nodes.findIndex((row) => row.style === "new");
        if (n >= 0) card.body.scrollTop = (n - 3) * 18;
      }
    }
  }

  /** Put rows into a card, touching only what differs: a step changes few of them. */
  fill(card, list) {
    const nodes = card.nodes;
    while (nodes.length > list.length) nodes.pop().el.remove();
    list.forEach(([k, v, style], n) => {
      let row = nodes[n];
      if (!row) {
        row = {el: document.createElement("div"), key: document.createElement("span"), value: document.createElement("span")};
        row.el.setAttribute("role", "listitem");
        row.el.append(row.key, row.value);
        card.body.append(row.el);
        nodes.push(row);
      }
      if (row.k !== k) { row.key.textContent = row.k = k; row.key.className = k === "" ? "sr" : "k"; }
      if (row.v !== v) row.value.textContent = row.value.title = row.v = v;
      if (row.style !== style) row.el.className = row.style = style;
    });
  }

  /** Cards that keep their size while one steps: as many rows as their table ever has, up to seven. */
  layout(s) {
    this.built = s;
    const kept = this.layouts.get(s);
    if (kept) {
      this.cardList = kept.cards;
      this.columns.slice(0, 3).forEach((column, g) => column.replaceChildren(...kept.columns[g]));
      return;
    }
    this.cardList = [];
    const name = this.named(s), unused = [];
    const groups = [[0, s, QUEUES, this.word("queues", {name})], [1, s, SESSIONS, this.word("sessions")],
      [2, s, REQUESTS, this.word("requests")], [2, "", NODE, this.word("node")]];
    if (!this.sources) this.columns[3].append(this.heading(this.word("code")), ...this.sourceCards());
    // A recording of the real skynet knows no lines.
    this.root.classList.toggle("bare", !this.data.stacks.length);
    for (const column of this.columns.slice(0, 3)) column.replaceChildren();
    for (const [g, service, names, title] of groups) {
      const column = this.columns[g];
      column.append(this.heading(title));
      for (const table of names) {
        const most = table === DERIVED ? Math.max(this.film.most[`${service}|session_coroutine_address`] ?? 0,
          this.film.most[`${service}|unresponse`] ?? 0) : this.film.most[`${service}|${table}`] ?? 0;
        if (!most) { unused.push(table); continue; }
        const el = document.createElement("div");
        el.className = "card";
        el.innerHTML = `<h4><span>${table}</span><span class="gone"></span></h4><div class="rows" role="list" aria-label="${table}"></div>`;
        const body = el.querySelector(".rows");
        body.style.height = `${Math.min(most, MOST_ROWS) * 18 + 2}px`;
        body.dataset.table = `${service}|${table}`;
        column.append(el);
        this.cardList.push({service, name: table, el, body, gone: el.querySelector(".gone"), nodes: [], said: ""});
      }
    }
    if (unused.length) this.columns[0].append(this.heading(this.word("unused", {tables: unused.join(", ")})));
    this.layouts.set(s, {cards: this.cardList, columns: this.columns.slice(0, 3).map((column) => [...column.children])});
  }

  heading(text) {
    const el = document.createElement("div");
    el.className = "unused";
    el.textContent = text;
    return el;
  }

  /** What the DOM shows, as [key, value] rows by "service|table": for tests. */
  shown() {
    const out = {};
    for (const card of this.cardList) out[`${card.service}|${card.name}`] = rows(this.film.tables, card.service, card.name);
    return out;
  }

  // ---- source

  sourceCards() {
    const card = (label) => {
      const el = document.createElement("div");
      el.className = "card";
      el.innerHTML = `<h4><span class="what"></span></h4><div class="stack"></div><div class="code" role="group" tabindex="0" aria-label="${label}" data-lm-suppress-shortcuts="true"></div>`;
      return el;
    };
    this.sources = [card(this.word("source")), card(this.word("source.runtime"))];
    this.sources[0].querySelector(".stack").remove();
    return this.sources;
  }

  code() {
    const d = this.data, i = this.step, index = this.places[i];
    const stack = index === null || index === undefined ? [] : d.stacks[index];
    const ours = stack.filter((p) => /\.py:\d+$/.test(p));
    const users = stack.find((p) => !/\.py:\d+$/.test(p));
    const who = d.coroutine[i] || this.word("nobody");
    const parks = /^\S+ +\S+ +yield +(SUSPEND +)?(SLEEP|CALL) /.test(d.lines[i]);
    const state = parks ? "parks" : d.kinds[i] === "co_create" ? "begins" : d.kinds[i] === "yield" ? "yields" : "is";
    const [other, where] = this.parked[i] ?? [];
    this.listing(this.sources[0], users ?? where, users ? this.word(state, {who, place: users})
      : where ? this.word("seen", {who: other, place: where}) : this.word("service"), this.word("no_line"));
    const chosen = ours.includes(this.frame) ? this.frame : ours.find((p) => !/^skynet\/(scheduler|coroutine|calls|waits|services)\.py:/.test(p)) ?? ours[0];
    this.listing(this.sources[1], chosen, chosen ? this.word("in_runtime", {place: chosen}) : this.word("runtime"),
      this.word("no_runtime"));
    const box = this.sources[1].querySelector(".stack");
    const buttons = ours.map((p) => `<button data-frame="${escape(p)}" data-lm-suppress-shortcuts="true" class="${p === chosen ? "on" : ""}" aria-label="${escape(this.word("show", {place: p}))}">${escape(p)}</button>`).join("");
    if (box.shown !== buttons) box.innerHTML = box.shown = buttons;
  }

  listing(card, place, title, none) {
    card.querySelector(".what").textContent = title;
    const box = card.querySelector(".code");
    if (card.shown === (place ?? null)) return;
    card.shown = place ?? null;
    if (!place) { box.innerHTML = `<div class="unused">${none}</div>`; return; }
    const cut = place.lastIndexOf(":"), label = place.slice(0, cut), hit = +place.slice(cut + 1);
    const lines = (this.data.sources[label] ?? "").split("\n");
    const from = Math.max(1, Math.min(hit - 4, lines.length - 8)), to = Math.min(lines.length, from + 8);
    let html = "";
    for (let n = from; n <= to; n++)
      html += `<div${n === hit ? ' class="hit"' : ""}><i>${n}</i>${escape(lines[n - 1] ?? "")}</div>`;
    box.innerHTML = html || `<div>${escape(this.word("no_text", {label}))}</div>`;
  }

  // ---- the timeline

  x(n) {
    const c = this.data.columns;
    let low = 0, high = c.length;
    while (low < high) { const mid = (low + high) >> 1; if (c[mid] < n) low = mid + 1; else high = mid; }
    return LEFT + COLUMN * ((c[low] === n ? low + 0.5 : low) - this.start);
  }

  draw() {
    if (!this.width) {
      this.width = this.stage.clientWidth || 900;
      this.room = parseFloat(getComputedStyle(this.stage).maxHeight) || 430;
    }
    const width = this.width;
    const columns = this.data.columns, fit = Math.max(3, Math.floor((width - LEFT) / COLUMN));
    let cursor = columns.findIndex((c) => c > this.step + this.data.first);
    if (cursor < 0) cursor = columns.length;
    const old = this.start;
    if (this.start === undefined || cursor - 1 < this.start + 1 || cursor > this.start + fit - 2 || this.fit !== fit)
      this.start = Math.max(0, Math.min(columns.length - fit, cursor - Math.floor(fit * 0.4)));
    if (old !== this.start || this.fit !== fit || this.drawn !== width || !this.svg.firstChild) {
      this.fit = fit;
      this.drawn = width;
      this.paint(width);
    }
    this.point();
  }

  /** The future is under a veil; the cursor stands where it begins. */
  point() {
    const n = this.step + this.data.first, x = this.x(n) + (this.data.columns.includes(n) ? 9 : 0);
    // Over the drawing and not in it: so it is not laid out anew for each step.
    this.veil.style.transform = this.cursor.style.transform = `translateX(${x}px)`;
    this.tag.style.transform = `translateX(${Math.min(x, this.width - 22)}px)`;
    this.tag.textContent = n;
    const lane = this.data.lanes.findIndex((l) => l[0] === this.data.services[this.step] && l[2] === this.data.coroutine[this.step]);
    if (lane >= 0 && this.height > this.room) {
      // Compared with numbers of our own: asking the page where things are makes it lay them out anew.
      const y = HEAD + lane * ROW;
      if (y < (this.scrolled ?? 0) + HEAD || y + ROW > (this.scrolled ?? 0) + this.room)
        this.stage.scrollTop = this.scrolled = Math.max(0, Math.min(this.height - this.room, y - this.room / 2));
    }
  }

  paint(width) {
    const d = this.data, out = [], labels = [], taken = [];
    const height = (this.height = HEAD + Math.max(1, d.lanes.length) * ROW);
    const low = d.columns[this.start] ?? 0, last = Math.min(d.columns.length, this.start + this.fit) - 1;
    const high = d.columns[last] ?? 0, edge = LEFT + this.fit * COLUMN;
    const y = (lane) => HEAD + lane * ROW + ROW / 2;
    const X = (n, otherwise) => (n === null ? otherwise : n < low ? LEFT : n > high ? edge : this.x(n));
    const path = (p, colour, w, dash = "") => out.push(`<path d="${p}" fill="none" stroke="${colour}" stroke-width="${w}"${dash && ` stroke-dasharray="${dash}"`}/>`);
    d.lanes.forEach((lane, k) => {
      if (k % 2 === 0) out.push(`<rect x="${LEFT}" y="${HEAD + k * ROW}" width="${width - LEFT}" height="${ROW}" fill="var(--band)"/>`);
      out.push(`<text x="${LEFT - 8}" y="${y(k) + (lane[3] ? -2 : 4)}" text-anchor="end" font-weight="650">${escape(cut(lane[2], 20))}</text>`);
      if (lane[3]) out.push(`<text x="${LEFT - 8}" y="${y(k) + 11}" text-anchor="end" class="faint" style="font-size:9.5px">${escape(cut(lane[3], 24))}</text>`);
      if (k && lane[0] !== d.lanes[k - 1][0]) path(`M4 ${HEAD + k * ROW}H${width}`, "var(--rule)", 1);
    });
    for (const [at, text] of d.moments) {
      if (at < low || at > high) continue;
      path(`M${this.x(at)} ${HEAD}V${height}`, "var(--rule)", 1, "1 3");
      labels.push([6, text, "faint", [[this.x(at), 8]]]);
    }
    const tags = [...new Set(d.stretches.filter((s) => s[3] === "tag").map((s) => s[4]))];
    for (const [lane, start, stop, kind, label] of d.stretches) {
      if ((start !== null && start > high) || (stop !== null && stop < low)) continue;
      const x0 = X(start, LEFT), x1 = X(stop, edge), m = y(lane);
      if (kind === "run") out.push(`<rect x="${x0}" y="${m - 5}" width="${Math.max(1, x1 - x0)}" height="10" fill="var(--run)"/>`);
      else if (kind === "tag") {
        const colour = TAGS[tags.indexOf(label) % TAGS.length];
        out.push(`<rect x="${x0}" y="${m + 7}" width="${Math.max(1, x1 - x0)}" height="2.6" fill="${colour}"/>`);
        labels.push([4, label, "mono", [[Math.max(x0, LEFT) + 40, m + 17]], x1 - x0, colour]);
      }
      else if (kind === "work") out.push(`<rect x="${x0}" y="${m - 3}" width="${Math.max(1, x1 - x0 - 8)}" height="6" fill="var(--socket)"/>`);
      else {
        const style = {parked: ["var(--faint)", 1.2, "4 3"], queued: ["var(--socket)", 1.6, ""], pending: ["var(--rule)", 1, ""]}[kind];
        path(`M${x0} ${m}H${x1}`, ...(style ?? ["var(--rule)", 1.4, "1 3"]));
        if (label && (kind === "parked" || kind === "pool") && x1 - x0 > 30)
          labels.push([kind === "parked" ? 5 : 1, label, "faint", [[(x0 + x1) / 2, m - 7], [(x0 + x1) / 2, m + 9]], x1 - x0 - 16]);
      }
    }
    const colours = {dispatch_wakeup: "var(--resume)", wakeup: "var(--wakeup)", failed: "var(--stop)"};
    for (const [a, since, b, at, kind, label] of d.arrows) {
      if (at < low || since > high) continue;
      const x0 = X(since, LEFT), x1 = X(at, edge), up = b < a ? -1 : 1, colour = colours[kind] ?? "var(--ink)";
      const y0 = y(a) + up * 5, y1 = y(b) - up * 8;
      path(`M${x0} ${y0}L${x1} ${y1}`, colour, 1.1, kind === "wakeup" ? "4 2.5" : "");
      const angle = Math.atan2(y1 - y0, x1 - x0), side = (t) => `${(x1 - 7 * Math.cos(angle + t)).toFixed(1)} ${(y1 - 7 * Math.sin(angle + t)).toFixed(1)}`;
      out.push(`<path d="M${x1} ${y1}L${side(0.38)}L${side(-0.38)}Z" fill="${colour}"/>`);
      if (label) {
        const text = label.replace("\n", " "), spots = [];
        for (const t of [0.5, 0.35, 0.65, 0.2, 0.8]) for (const dx of [1, -1])
          spots.push([x0 + (x1 - x0) * t, y0 + (y1 - y0) * t + 4, dx]);
        labels.push([kind === "wakeup" || kind === "dispatch_wakeup" ? 8 : kind === "dispatch" ? 4 : 7, text, "", spots, 0, colour]);
      }
    }
    for (const [lane, at, kind, label] of d.marks) {
      if (at < low || at > high) continue;
      const cx = this.x(at), cy = y(lane);
      const dot = (r, fill, stroke) => out.push(`<circle cx="${cx}" cy="${cy}" r="${r}" fill="${fill}" stroke="${stroke ?? "var(--page)"}"/>`);
      if (kind === "resume") out.push(`<path d="M${cx - 4} ${cy - 6}L${cx + 6} ${cy}L${cx - 4} ${cy + 6}Z" fill="var(--resume)" stroke="var(--page)"/>`);
      else if (kind === "yield") out.push(`<rect x="${cx - 5}" y="${cy - 5}" width="10" height="10" fill="var(--stop)" stroke="var(--page)"/>`);
      else if (kind === "error" || kind === "exit" || kind === "skip") path(`M${cx - 5} ${cy - 5}l10 10m0 -10l-10 10`, kind === "skip" ? "var(--wakeup)" : "var(--stop)", 2.4);
      else if (kind === "push") dot(3.5, "var(--page)", "var(--socket)");
      else if (kind === "driver" || kind === "wakeup") path(`M${cx} ${cy - 5}v10`, "var(--ink)", 1.2);
      else if (kind === "mark") out.push(`<path d="M${cx} ${cy - 6}l4 6l-4 6l-4 -6Z" fill="var(--ink)"/>`);
      else if (kind !== "state") dot(4, kind === "set" || kind === "fired" ? "var(--faint)" : kind === "client" ? "var(--ink)" : "var(--socket)");
      taken.push([cx - 7, cy - 7, cx + 7, cy + 7]);
      if (label) labels.push([kind === "yield" ? 7 : kind === "resume" ? 6 : 5, label, kind === "yield" ? "mono" : kind === "state" ? "faint" : "",
        kind === "yield" ? [[cx, cy + 15], [cx, cy - 9]] : [[cx, cy - 9], [cx, cy + 15]]]);
    }
    const axis = [`<path d="M14 6.5L23 11.5L14 16.5Z" fill="var(--resume)"/><text x="28" y="15.5" class="faint">${this.word("resume")}</text>`
      + `<rect x="75" y="7" width="9" height="9" fill="var(--stop)"/><text x="89" y="15.5" class="faint">${this.word("yield")}</text>`];
    for (let k = this.start; k <= last; k++)
      axis.push(`<text x="${this.x(d.columns[k])}" y="15" text-anchor="middle" class="faint" style="font-size:9.5px">${d.columns[k]}</text>`);
    this.axis.setAttribute("width", width);
    this.axis.setAttribute("height", FOOT);
    this.axis.innerHTML = axis.join("");
    this.label(labels, taken, out, width, height);
    this.veil.style.height = this.cursor.style.height = `${height}px`;
    this.svg.setAttribute("width", width);
    this.svg.setAttribute("height", height);
    this.svg.innerHTML = out.join("");
  }

  /** The most important first; one that would touch another is left out. */
  label(labels, taken, out, width, bottom) {
    const hits = (b) => taken.some((t) => b[0] < t[2] && t[0] < b[2] && b[1] < t[3] && t[1] < b[3]);
    labels.sort((a, b) => b[0] - a[0]);
    for (const [, text, style, spots, room, colour] of labels) {
      const short = cut(text, 34), w = measure(short, style === "mono") + 4;
      if (room && w > room) {
        // Without the place, if there is no room for it.
        const bare = cut(short.split(this.word("at"))[0], 34), bw = measure(bare, false) + 4;
        if (bw > room) continue;
        this.spot(bare, bw, style, spots, colour, hits, taken, out, width, bottom);
      } else this.spot(short, w, style, spots, colour, hits, taken, out, width, bottom);
    }
  }

  spot(text, w, style, spots, colour, hits, taken, out, width, bottom) {
    for (const [px, py, side] of spots) {
      const x = side ? px + side * (w / 2 + 4) : Math.max(LEFT + w / 2, Math.min(width - w / 2 - 2, px));
      const box = [x - w / 2, py - 10, x + w / 2, py + 3];
      if (box[0] < LEFT - 2 || box[2] > width || box[1] < 0 || box[3] > bottom || hits(box)) continue;
      taken.push(box);
      out.push(`<text x="${x.toFixed(1)}" y="${py.toFixed(1)}" text-anchor="middle"${style ? ` class="${style}"` : ""} style="paint-order:stroke;stroke:var(--page);stroke-width:3px;stroke-linejoin:round${colour ? `;fill:${colour}` : ""}">${escape(text)}</text>`);
      return;
    }
  }

  /** All of the run in a strip: where coroutines are resumed and where they yield. */
  overview() {
    const c = this.strip, ratio = window.devicePixelRatio || 1, width = c.clientWidth || 800;
    c.width = width * ratio;
    c.height = 22 * ratio;
    const g = c.getContext("2d"), style = getComputedStyle(this.root), n = Math.max(1, this.visible.length);
    const colours = {resume: style.getPropertyValue("--resume"), yield: style.getPropertyValue("--stop"), co_error: style.getPropertyValue("--stop"),
      ready: style.getPropertyValue("--socket"), command: style.getPropertyValue("--socket"), wakeup: style.getPropertyValue("--wakeup")};
    g.scale(ratio, 1 * ratio);
    this.visible.forEach((i, k) => {
      const kind = this.data.kinds[i], colour = colours[kind];
      if (!colour) return;
      g.fillStyle = colour;
      // The slider's thumb does not reach the edges.
      g.fillRect(8 + (k / n) * (width - 16), kind === "resume" ? 3 : kind === "yield" ? 12 : 8, Math.max(1, (width - 16) / n - 0.5), kind === "resume" || kind === "yield" ? 7 : 5);
    });
  }
}

function cut(s, n) {
  if ([...s].reduce((sum, c) => sum + wide(c), 0) <= n) return s;
  let kept = "", room = n - 1;
  for (const c of s) if ((room -= wide(c)) >= 0) kept += c; else break;
  return kept + "…";
}
const widths = new Map();
let pen = null;
function measure(text, mono) {
  const key = (mono ? "m" : "s") + text;
  let w = widths.get(key);
  if (w === undefined) {
    pen ??= document.createElement("canvas").getContext("2d");
    pen.font = mono ? "10.5px ui-monospace, Menlo, Consolas, monospace" : "11px system-ui, sans-serif";
    w = pen.measureText(text).width * 1.04;
    widths.set(key, w);
  }
  return w;
}

// ------------------------------------------------------------------ in a notebook

function render({model, el}) {
  const viewer = mount(el, JSON.parse(model.get("payload")), {
    step: model.get("step") < 0 ? undefined : model.get("step"),
    theme: model.get("theme") || undefined,
    onstep: (n) => { viewer_step = n; model.set("step", n); model.save_changes(); },
  });
  let viewer_step = model.get("step");
  el.viewer = viewer;
  const follow = () => {
    const n = model.get("step");
    if (n !== viewer_step && n >= 0) viewer.goto(viewer.nearest(n - viewer.data.first), true);
  };
  model.on("change:step", follow);
  return () => { model.off("change:step", follow); viewer.destroy(); };
}

export default {render};
