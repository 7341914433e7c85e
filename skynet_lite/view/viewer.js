// The viewer: a timeline with a cursor, the tables of the scheduler at that step, and the line of code.
//
// One idea: stepping is moving a cursor through data that is all there (payload.py). Tables move by
// the small steps that came with each event, from the tables before its piece of the run; only pieces
// that one looks at are parsed, and only the columns and lanes about the cursor are drawn. It lives in a
// notebook (`render`, called by anywidget) and in a page of its own (`mount`), and asks nobody for anything.

const LEFT = 132, COLUMN = 46, ROW = 34, HEAD = 20, FOOT = 22; // of the timeline and its axis, in pixels
const MOST_ROWS = 7, MOST_DRAWN = 60; // of a table, before it scrolls; that are on the page at all
const HEIGHTS = {world: 20, service: 27, strip: 8}, EDGE = 24; // of the rows of the overview; what lies to the right of it
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
.skl .veil{width:100%;background:var(--page);opacity:.72}.skl.quiz .veil{opacity:1}
.skl .say button{padding:1px 10px;min-height:24px;margin-left:6px}
.skl .cursor{border-left:1.5px solid var(--ink)}
.skl .axis{position:relative;overflow:hidden;height:22px;contain:strict}
.skl .axis b{position:absolute;top:3px;left:-21px;width:42px;text-align:center;border-radius:3px;will-change:transform;
background:var(--ink);color:var(--page);font:11px/16px system-ui,sans-serif;contain:strict;height:16px}
.skl svg text{font:11px system-ui,-apple-system,"Segoe UI",sans-serif;fill:var(--ink)}
.skl svg .mono{font:10.5px ui-monospace,Menlo,Consolas,monospace;fill:var(--stop)}
.skl svg .faint{fill:var(--faint)}
.skl .crowd{position:relative;overflow:hidden auto;max-height:250px;cursor:pointer}
.skl .lens{position:absolute;top:0;left:0;pointer-events:none;background:var(--focus);opacity:.3;min-width:3px;will-change:transform}
.skl .fold{display:flex;gap:8px;align-items:center;padding:3px 10px;height:34px;color:var(--faint);border-top:1px solid var(--rule)}
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
.skl .card{border:1px solid var(--rule);border-radius:6px;overflow:hidden;min-width:0;margin-bottom:6px}
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

/** The tables of a service; of the node, or of one of several by its name. */
const owner = (tables, service) => (service === "" ? tables : tables.services[service] ?? tables.nodes?.[service]);

/** Do one small step of trace/steps.py: what to do, where, and the rest of it. */
function move(tables, [kind, service, name], rest) {
  if (kind === "born") { tables.services[service] = structuredClone(rest[0]); return; }
  if (kind === "gone") { delete tables.services[service]; return; }
  const home = owner(tables, service);
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
  const home = owner(tables, service);
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

/** Parts of a run: of a long one each is a text until somebody looks at it. */
class Pieces {
  constructor(list) { this.list = list; this.known = []; }
  get(k) { return (this.known[k] ??= typeof this.list[k] === "string" ? JSON.parse(this.list[k]) : this.list[k]); }
}

/** Of very many rows those about the new ones, and how many stand before and behind. */
function some(list) {
  const new_ = list.findIndex((row) => row[2] === "new"), from = Math.max(0, Math.min(new_ - MOST_DRAWN / 2, list.length - MOST_DRAWN));
  const more = (n) => (n > 0 ? [["", `… ${n}`, "none"]] : []);
  return [...more(from), ...list.slice(from, from + MOST_DRAWN), ...more(list.length - from - MOST_DRAWN)];
}

class Film {
  constructor(data) {
    this.data = data;
    this.events = new Pieces(data.events);
    this.stands = data.tables.map((t) => (typeof t === "string" ? t : JSON.stringify(t))); // before each piece
    this.start(0);
  }

  /** What is told of event `i`: its line, what is said of it, its steps, ... */
  of(name, i) { return this.events.get(Math.floor(i / this.data.piece))[name][i % this.data.piece]; }
  steps(i) { return this.of("steps", i).map(([what, ...rest]) => [this.data.moves[what], rest]); }
  cause(i) { return this.of("since", i) ? i - this.of("since", i) : null; }

  start(piece) {
    this.tables = JSON.parse(this.stands[piece]);
    this.at = piece * this.data.piece - 1; // the event after which the tables stand
  }

  /** Stand after event `i`; answers which tables may have changed, null for all. */
  go(i) {
    const piece = Math.floor(i / this.data.piece), near = i >= this.at && this.at >= piece * this.data.piece - 1;
    const touched = near ? new Set() : null;
    if (!near) this.start(piece);
    while (this.at < i) {
      for (const [what, rest] of this.steps(++this.at)) {
        move(this.tables, what, rest);
        touched?.add(`${what[1]}|${what[2]}`);
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
    const words = ([known, numbers]) => numbers.map((n) => known[n]);
    this.data = data = {...data, kinds: words(data.kinds), services: words(data.services), coroutine: words(data.coroutine)};
    // What the viewer says, in the language of its data: a form of words_en.toml with its names filled in.
    this.word = (key, fields = {}) => data.words[key].replace(/\{(\w+)\}/g, (_, name) => fields[name]);
    this.options = options;
    this.film = new Film(data);
    this.pictures = new Pieces(data.film);
    this.idle = !data.density; // whether lanes are shown in which nothing happens
    this.laneOf = new Map(data.lanes.map(([service, , name], k) => [`${service}|${name}`, k]));
    this.step = -1; // position in events, 0 is number data.first
    this.before = -1;
    this.service = data.shown[0] ?? "";
    this.detail = false;
    this.only = data.coroutines.length === 1 ? data.coroutines[0] : "";
    this.home = "shown";
    this.frame = null; // the place of the stack that the reader has chosen
    this.quiz = null; // "your turn": how many questions were answered, and at the first try
    this.asked = null; // the question that is open
    this.queue = [];
    this.busy = false;
    this.painted = 0;
    this.timer = null;
    this.root = document.createElement("div");
    this.root.className = "skl";
    el.replaceChildren(this.root);
    this.build();
    this.theme();
    this.select();
    this.resize();
    const wanted = options.step === undefined || options.step === null ? data.first : options.step;
    this.goto(this.nearest(wanted - data.first), true);
    // Not for a new height: another service has other cards, and everything else stays as it is.
    this.watcher = new ResizeObserver(() => { if (this.root.clientWidth !== this.across) this.resize(); });
    this.watcher.observe(this.root);
  }

  /** By classes and not by container queries, which make the page ask its style for every layout. */
  resize() {
    const width = (this.across = this.root.clientWidth);
    this.root.classList.toggle("medium", width && width < 1020);
    this.root.classList.toggle("narrow", width && width < 560);
    this.width = 0;
    // As many lines of buttons as the deepest stack needs, whatever the step.
    const box = this.sources?.[1].clientWidth - 10 || 400, wide = (p) => p.length * 6.62 + 16;
    const deepest = this.data.stacks.reduce((most, stack) => Math.max(most, stack.slice(0, -1).reduce((sum, p) => sum + wide(p), 0)), 0);
    this.root.style.setProperty("--lines", Math.min(3, Math.ceil(deepest / box) || 1));
    this.draw();
    this.crowd();
    this.overview(); // a notebook mounts us before we are on its page: only now there are width and colours
  }

  destroy() {
    this.watcher.disconnect();
    this.schemes.removeEventListener("change", this.onscheme);
    this.themes.disconnect();
    clearInterval(this.timer);
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
  ${d.words.quiz ? `<button data-do="quiz" aria-pressed="false" title="${word("quiz.key")}">${word("quiz")}</button>` : "" /* data stored before there were questions */}<span class="score" aria-live="polite"></span>
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
${d.density ? `<details open><summary>${word("density", {n: d.kinds.length})}</summary><div class="crowd"><svg role="img" aria-label="${word("density", {n: d.kinds.length})}"></svg><div class="lens"></div></div></details>` : ""}
<div class="film"><svg role="img" aria-label="${word("timeline", {title: d.title})}"></svg><div class="veil"></div><div class="cursor"></div></div>
${d.density ? `<div class="fold"><span></span><button data-do="idle"></button></div>` : ""}
<div class="axis" aria-hidden="true"><svg></svg><b></b></div>
<canvas class="strip" aria-hidden="true"></canvas>
<input class="slider" type="range" min="0" max="0" value="0" step="1" aria-label="${word("step")}">
<div class="say"><span class="n"></span><b class="note"></b><span class="words" aria-live="polite"></span><span class="raw"></span></div>
<div class="why"></div>
<div class="below"><div class="col"></div><div class="col"></div><div class="col"></div><div class="col"></div></div>
`;
    const find = (q) => this.root.querySelector(q);
    this.stage = find(".film");
    this.svg = find(".film svg");
    this.fold = find(".fold");
    this.veil = find(".veil");
    this.cursor = find(".cursor");
    this.axis = find(".axis svg");
    this.tag = find(".axis b");
    this.strip = find(".strip");
    this.lens = find(".lens");
    this.slider = find(".slider");
    this.search = find("input[type=search]");
    this.found = find(".found");
    this.n = find(".say .n");
    this.words = find(".say .words");
    this.score = find(".score");
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
    this.stage.addEventListener("scroll", () => {
      this.scrolled = this.stage.scrollTop;
      if (this.beyond()) this.paint(this.width);
    }, {passive: true});
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
    this.overview();
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
    if (this.asked && e.key >= "1" && e.key <= "9") { e.stopPropagation(); return this.answer(this.asked.choices[e.key - 1]); }
    const act = {
      ArrowRight: "forward", ArrowLeft: "back", Home: "first", End: "last", PageDown: "page", PageUp: "pageback", " ": "play", n: "next", p: "previous", t: this.data.words.quiz && "quiz", "/": "search", Escape: "focus",
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
    if (button?.dataset.turn) return this.answer(button.dataset.turn);
    if (button?.dataset.frame) { this.frame = button.dataset.frame; this.code(); return; }
    if (e.target === this.strip) {
      const part = (e.offsetX - 8) / (this.strip.clientWidth - 16);
      return this.goto(this.visible[Math.max(0, Math.min(this.visible.length - 1, Math.floor(part * this.visible.length)))]);
    }
    const crowd = e.target.closest(".crowd");
    if (crowd) {
      const part = (e.clientX - crowd.getBoundingClientRect().left - LEFT) / (this.width - LEFT - EDGE);
      this.goto(this.nearest(Math.round(part * (this.data.kinds.length - 1))));
      this.root.focus({preventScroll: true});
    } else if (e.target.closest("svg")) {
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
    const go = (way) => this.goto(this.visible[Math.max(0, Math.min(this.visible.length - 1, this.from(way)))]);
    if (act === "forward") this.posed(this.visible[this.from(1)]) || go(1);
    else if (act === "back") go(-1);
    else if (act === "first") this.goto(this.visible[0]);
    else if (act === "last") this.goto(this.visible.at(-1));
    else if (act === "page") go(10);
    else if (act === "pageback") go(-10);
    else if (act === "next" || act === "previous") this.sameCoroutine(act === "next" ? 1 : -1);
    else if (act === "play") this.play();
    else if (act === "quiz") this.turns();
    else if (act === "search") this.search.focus();
    else if (act === "focus") this.root.focus();
    else if (act === "link") this.link();
    else if (act === "idle") { this.idle = !this.idle; this.paint(this.width); this.point(); }
  }

  /** Which step is `way` steps away. A jump may have led to an event that is none: then it lies between two. */
  from(way) {
    const k = this.rank(this.step);
    return k + way + (way < 0 && this.visible[k] !== this.step ? 1 : 0);
  }

  // ---- your turn: the reader says who is resumed next, and the run says whether that is so

  /** Begin, or end. What is still to come is hidden meanwhile. */
  turns() {
    this.quiz = this.quiz ? null : {asked: 0, right: 0};
    this.root.classList.toggle("quiz", !!this.quiz);
    const button = this.root.querySelector("[data-do=quiz]");
    button.classList.toggle("on", !!this.quiz);
    button.setAttribute("aria-pressed", String(!!this.quiz));
    this.score.textContent = this.quiz ? this.word("quiz.on") : "";
    if (this.asked) this.goto(this.step);
  }

  /** Ask before step `i`, if it resumes one of several coroutines. True while the question is open. */
  posed(i) {
    if (!this.quiz || i === undefined || this.data.kinds[i] !== "resume") return false;
    if (this.asked?.event !== i) {
      this.film.go((this.stands = this.step)); // not yet what the scheduler does on its way to the next: it takes it out of the queue
      const right = this.data.coroutine[i], service = this.data.services[i];
      const known = JSON.stringify(owner(this.film.tables, service) ?? "").match(/"co\d+"/g) ?? [];
      const choices = [...new Set([...known.map((c) => c.slice(1, -1)), right])].sort(byNumber);
      if (choices.length < 2) return false;
      this.touched = null;
      this.sentence();
      this.cards();
      this.asked = {event: i, right, service, choices, tries: 0};
      this.put(this.word("quiz.ask", {service: this.named(service)}));
    }
    if (this.timer) this.play();
    return true;
  }

  put(text) {
    this.words.innerHTML = `<b>${escape(text)}</b>` + this.asked.choices.map((c) =>
      `<button data-turn="${c}" data-lm-suppress-shortcuts="true">${c}</button>`).join("");
    this.raw.textContent = this.word("quiz.hint");
    this.root.focus({preventScroll: true}); // the button that was pressed is gone
  }

  answer(co) {
    const {event, right, tries} = this.asked;
    if (co === undefined) return;
    if (co !== right) {
      this.asked.tries++;
      this.put(this.word("quiz.no", {where: this.whereabouts(co)}));
      return;
    }
    this.quiz.asked++;
    this.quiz.right += tries === 0;
    this.asked = null;
    this.goto(event);
    this.score.textContent = this.word("quiz.score", {k: this.quiz.right, n: this.quiz.asked});
  }

  /** Where a coroutine is now, by the tables of its service. */
  whereabouts(co) {
    const t = owner(this.film.tables, this.asked.service) ?? {}, k = (t.wakeup_queue ?? []).map(show).indexOf(co);
    if (k > 0) return this.word("quiz.behind", {co, first: show(t.wakeup_queue[0])});
    if (k === 0) return this.word("quiz.first", {co});
    const holds = (table) => (Array.isArray(table) ? table.some((v) => show(v).split(" ").includes(co)) : false);
    if (holds(t.coroutine_pool)) return this.word("quiz.pool", {co});
    if (holds(t.fork_queue)) return this.word("quiz.fork", {co});
    const session = Object.entries(t.session_id_coroutine ?? {}).find(([, v]) => show(v) === co)?.[0];
    return session ? this.word("quiz.session", {co, session}) : this.word("quiz.nowhere", {co});
  }

  sameCoroutine(way) {
    const d = this.data;
    const at = this.step;
    if (!d.coroutine[at]) return;
    for (let k = this.from(way); k >= 0 && k < this.visible.length; k += way) {
      const i = this.visible[k];
      if (d.coroutine[i] === d.coroutine[at] && d.services[i] === d.services[at]) return this.goto(i);
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
    const wanted = this.search.value.trim().toLowerCase(), film = this.film;
    this.hits = wanted ? this.visible.filter((i) => film.of("lines", i).toLowerCase().includes(wanted)
      || film.of("say", i).replaceAll("**", "").toLowerCase().includes(wanted)) : [];
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
    this.frame = this.asked = null;
    this.touched = this.film.go((this.stands = this.settled(i)));
    this.slider.value = Math.max(0, k);
    this.slider.setAttribute("aria-valuetext", this.word("step.n", {n: i + this.data.first}));
    this.sentence();
    this.draw();
    this.cards();
    this.code();
    if (!quiet) this.options.onstep?.(i + this.data.first);
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
    const d = this.data, i = this.step, film = this.film;
    const until = this.stands > i ? `–${this.stands + d.first}` : "";
    this.n.textContent = `${i + d.first}${until} / ${d.first + d.kinds.length - 1}`;
    this.words.innerHTML = bold(film.of("say", i));
    this.raw.textContent = film.of("lines", i);
    const chain = [];
    for (let c = film.cause(i); c !== null && chain.length < 8; c = c < 0 ? null : film.cause(c)) chain.push(c);
    const reason = d.reasons[film.of("by", i)];
    const by = reason ? this.word("by", {by: `<b>${escape(reason)}</b>`}) + (chain.length ? this.word("comma") : "") : "";
    this.why.innerHTML = "<span>" + (by || chain.length ? "" : this.word("from_outside")) + by
      + (chain.length ? this.word("because") : "")
      + chain.map((c) => {
        const n = c + d.first, text = c < 0 ? this.word("not_shown", {n}) : `${n} ${d.coroutine[c]} ${d.kinds[c]}`.replace("  ", " ");
        return `<button data-go="${c}"${c < 0 ? " disabled" : ""} data-lm-suppress-shortcuts="true" aria-label="${this.word("cause", {n})}" title="${escape(c < 0 ? "" : film.of("say", c)).replaceAll("**", "")}">${escape(text)}</button>`;
      }).join(" ← ") + (chain.length === 8 ? " ← …" : "") + "</span>";
  }

  // ---- tables

  changes() {
    const changed = {};
    for (let i = this.before + 1; i <= this.stands; i++) {
      for (const [[kind, service, name], rest] of this.film.steps(i)) {
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
      this.fill(card, list.length ? some(list.map(([k, v], n) => [k, v, fresh(k, v, n) ? "new" : ""])) : [["", this.word("empty"), "none"]]);
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
    this.made ??= this.makeCards();
    // A recording of the real skynet knows no lines.
    this.root.classList.toggle("bare", !this.data.stacks.length);
    for (const card of this.made) {
      const of = this.data.most[card.service = card.node ? s.slice(0, Math.max(0, s.lastIndexOf(":"))) : s] ?? {};
      const most = card.name === DERIVED ? Math.max(of.session_coroutine_address ?? 0, of.unresponse ?? 0) : of[card.name] ?? 0;
      card.el.hidden = !most;
      card.body.style.height = `${Math.min(most, MOST_ROWS) * 18 + 2}px`;
      card.body.dataset.table = `${card.service}|${card.name}`;
      card.fresh = null;
    }
    this.cardList = this.made.filter((card) => !card.el.hidden);
    const unused = this.made.filter((card) => card.el.hidden).map((card) => card.name).join(", ");
    this.columns[0].firstChild.textContent = this.word("queues", {name: this.named(s)});
    this.columns[0].lastChild.textContent = unused && this.word("unused", {tables: unused});
  }

  /** Every service is shown in the same cards. */
  makeCards() {
    const groups = [[0, QUEUES, ""], [1, SESSIONS, this.word("sessions")], [2, REQUESTS, this.word("requests")], [2, NODE, this.word("node")]];
    const made = groups.flatMap(([g, names, title]) => {
      this.columns[g].append(this.heading(title));
      return names.map((name) => {
        const el = document.createElement("div");
        el.className = "card";
        el.innerHTML = `<h4><span>${name}</span><span class="gone"></span></h4><div class="rows" role="list" aria-label="${name}"></div>`;
        this.columns[g].append(el);
        return {name, node: names === NODE, el, body: el.querySelector(".rows"), gone: el.querySelector(".gone"), nodes: [], said: ""};
      });
    });
    this.columns[0].append(this.heading(""));
    this.columns[3].append(this.heading(this.word("code")), ...this.sourceCards());
    return made;
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
    const d = this.data, i = this.step, stack = d.stacks[this.film.of("places", i)] ?? [];
    const ours = stack.filter((p) => /\.(py|lua):\d+$/.test(p));
    const users = stack.find((p) => !/\.(py|lua):\d+$/.test(p));
    const who = d.coroutine[i] || this.word("nobody");
    const parks = /^\S+ +\S+ +yield +(SUSPEND +)?(SLEEP|CALL) /.test(this.film.of("lines", i));
    const state = parks ? "parks" : d.kinds[i] === "co_create" ? "begins" : d.kinds[i] === "yield" ? "yields" : "is";
    const [other, where] = d.parked[this.film.of("parked", i)] ?? [];
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

  /** The first column at or behind event `n`. */
  column(n) {
    const c = this.data.columns;
    let low = 0, high = c.length;
    while (low < high) { const mid = (low + high) >> 1; if (c[mid] < n) low = mid + 1; else high = mid; }
    return low;
  }

  x(n) {
    const k = this.column(n);
    return LEFT + COLUMN * ((this.data.columns[k] === n ? k + 0.5 : k) - this.start);
  }

  draw() {
    if (!this.width) {
      this.width = this.stage.clientWidth || 900;
      this.room = parseFloat(getComputedStyle(this.stage).maxHeight) || 430;
    }
    const width = this.width;
    const columns = this.data.columns, fit = Math.max(3, Math.floor((width - LEFT) / COLUMN));
    const cursor = this.column(this.step + this.data.first + 1);
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
    const n = this.step + this.data.first, x = this.x(n) + (this.data.columns[this.column(n)] === n ? 9 : 0);
    // Over the drawing and not in it: so it is not laid out anew for each step.
    this.veil.style.transform = this.cursor.style.transform = `translateX(${x}px)`;
    this.tag.style.transform = `translateX(${Math.min(x, this.width - 22)}px)`;
    this.tag.textContent = n;
    const lane = this.row.get(this.laneOf.get(`${this.data.services[this.step]}|${this.data.coroutine[this.step]}`)) ?? -1;
    if (lane >= 0 && this.height > this.room) {
      // Compared with numbers of our own: asking the page where things are makes it lay them out anew.
      const y = HEAD + lane * ROW;
      if (y < (this.scrolled ?? 0) + HEAD || y + ROW > (this.scrolled ?? 0) + this.room)
        this.stage.scrollTop = this.scrolled = Math.max(0, Math.min(this.height - this.room, y - this.room / 2));
      if (this.beyond()) this.paint(this.width);
    }
  }

  /** Whether lanes are in view that were not painted. */
  beyond() {
    const [from, to] = this.painting, top = this.scrolled ?? 0;
    return (top < from && from > 0) || (top + this.room > to && to < this.height);
  }

  /** What may be drawn between two columns: all of the first piece that meets them, and what begins in the others. */
  scene(from, to) {
    const size = this.data.piece, found = {stretches: [], marks: [], arrows: []}, first = Math.floor(from / size);
    for (let k = first; k <= Math.floor(to / size); k++)
      for (const [name, list] of Object.entries(this.pictures.get(k)))
        found[name].push(...(k === first ? list : list.filter((x) => x[1] !== null && x[1] >= this.data.columns[k * size])));
    const low = this.data.columns[from] ?? 0, high = this.data.columns[to] ?? 0;
    found.stretches = found.stretches.filter(([, start, stop]) => (start === null || start <= high) && (stop === null || stop >= low));
    found.marks = found.marks.filter(([, at]) => at >= low && at <= high);
    found.arrows = found.arrows.filter(([, since, , at]) => at >= low && since <= high);
    return found;
  }

  /** Lane → row. In a long run those lanes have none in which nothing happens here, unless the reader wants all. */
  lanes(found) {
    const d = this.data, busy = new Set([...found.marks.map((m) => m[0]), ...found.arrows.flatMap((a) => [a[0], a[2]]),
      ...found.stretches.filter((s) => s[3] === "run").map((s) => s[0])]);
    const lanes = d.lanes.map((_, k) => k).filter((k) => this.idle || busy.has(k)), n = d.lanes.length - lanes.length;
    if (this.fold) {
      this.fold.firstChild.textContent = this.word(this.idle ? "lanes" : "idle", {n: this.idle ? lanes.length : n});
      this.fold.lastChild.textContent = this.word(this.idle ? "idle.fold" : "idle.show");
    }
    return new Map(lanes.map((lane, k) => [lane, k]));
  }

  paint(width) {
    const d = this.data, out = [], labels = [], taken = [];
    const last = Math.min(d.columns.length, this.start + this.fit) - 1, found = this.scene(this.start, Math.max(0, last));
    const row = (this.row = this.lanes(found));
    const height = (this.height = Math.max(HEAD + Math.max(1, row.size) * ROW, d.density ? this.room : 0));
    const low = d.columns[this.start] ?? 0, high = d.columns[last] ?? 0, edge = LEFT + this.fit * COLUMN;
    const y = (lane) => HEAD + row.get(lane) * ROW + ROW / 2;
    // Of very many lanes, those about the ones in view.
    const [from, to] = this.painting = height < 4 * this.room ? [0, height]
      : [(this.scrolled ?? 0) - this.room, (this.scrolled ?? 0) + 2 * this.room];
    const seen = (...lanes) => lanes.some((lane) => row.has(lane) && y(lane) > from && y(lane) < to) && lanes.every((lane) => row.has(lane));
    const X = (n, otherwise) => (n === null ? otherwise : n < low ? LEFT : n > high ? edge : this.x(n));
    const path = (p, colour, w, dash = "") => out.push(`<path d="${p}" fill="none" stroke="${colour}" stroke-width="${w}"${dash && ` stroke-dasharray="${dash}"`}/>`);
    let service = "";
    for (const [index, k] of row) {
      const lane = d.lanes[index];
      if (!seen(index)) continue;
      if (k % 2 === 0) out.push(`<rect x="${LEFT}" y="${HEAD + k * ROW}" width="${width - LEFT}" height="${ROW}" fill="var(--band)"/>`);
      out.push(`<text x="${LEFT - 8}" y="${y(index) + (lane[3] ? -2 : 4)}" text-anchor="end" font-weight="650">${escape(cut(lane[2], 20))}</text>`);
      if (lane[3]) out.push(`<text x="${LEFT - 8}" y="${y(index) + 11}" text-anchor="end" class="faint" style="font-size:9.5px">${escape(cut(lane[3], 24))}</text>`);
      if (k && lane[0] !== service) path(`M4 ${HEAD + k * ROW}H${width}`, "var(--rule)", 1);
      service = lane[0];
    }
    for (const [, at, kind, text] of found.marks) {
      if (kind !== "moment") continue;
      path(`M${this.x(at)} ${HEAD}V${height}`, "var(--rule)", 1, "1 3");
      labels.push([6, text, "faint", [[this.x(at), 8]]]);
    }
    const tags = [...new Set(found.stretches.filter((s) => s[3] === "tag").map((s) => s[4]))];
    for (const [lane, start, stop, kind, label] of found.stretches) {
      if (!seen(lane)) continue;
      const x0 = X(start, LEFT), x1 = X(stop, edge), m = y(lane);
      if (kind === "run") out.push(`<rect x="${x0}" y="${m - 5}" width="${Math.max(1, x1 - x0)}" height="10" fill="var(--run)"/>`);
      else if (kind === "tag") {
        const colour = TAGS[tags.indexOf(label) % TAGS.length];
        out.push(`<rect x="${x0}" y="${m + 7}" width="${Math.max(1, x1 - x0)}" height="2.6" fill="${colour}"/>`);
        labels.push([4, label, "mono", [[Math.max(x0, LEFT) + 40, m + 17]], x1 - x0, colour]);
      }
      else if (kind === "work") out.push(`<rect x="${x0}" y="${m - 3}" width="${Math.max(1, x1 - x0 - 8)}" height="6" fill="var(--socket)"/>`);
      else {
        const style = {parked: ["var(--faint)", 1.2, "4 3"], due: ["var(--wakeup)", 2, ""], queued: ["var(--socket)", 1.6, ""], pending: ["var(--rule)", 1, ""]}[kind];
        path(`M${x0} ${m}H${x1}`, ...(style ?? ["var(--faint)", 1.2, "1 3.5"]));
        if (label && ["parked", "due", "pool"].includes(kind) && x1 - x0 > 30)
          labels.push([{parked: 5, due: 4}[kind] ?? 1, label, "faint", [[(x0 + x1) / 2, m - 7], [(x0 + x1) / 2, m + 9]], x1 - x0 - 16,
            kind === "due" ? "var(--wakeup)" : undefined]);
      }
    }
    const colours = {dispatch_wakeup: "var(--resume)", wakeup: "var(--wakeup)", failed: "var(--stop)", wire: "var(--socket)"};
    for (const [a, since, b, at, kind, label] of found.arrows) {
      if (!seen(a, b)) continue;
      const x0 = X(since, LEFT), x1 = X(at, edge), up = b < a ? -1 : 1, colour = colours[kind] ?? "var(--ink)";
      const y0 = y(a) + up * 5, y1 = y(b) - up * 8;
      path(`M${x0} ${y0}L${x1} ${y1}`, colour, 1.1, kind === "wakeup" ? "4 2.5" : "");
      const angle = Math.atan2(y1 - y0, x1 - x0), side = (t) => `${(x1 - 7 * Math.cos(angle + t)).toFixed(1)} ${(y1 - 7 * Math.sin(angle + t)).toFixed(1)}`;
      out.push(`<path d="M${x1} ${y1}L${side(0.38)}L${side(-0.38)}Z" fill="${colour}"/>`);
      if (label) {
        const text = label.replace("\n", " "), spots = [];
        for (const t of [0.5, 0.35, 0.65, 0.2, 0.8, 0.1, 0.9]) for (const dx of [1, -1])
          spots.push([x0 + (x1 - x0) * t, y0 + (y1 - y0) * t + 4, dx]);
        // In the lanes of its ends first: in others it would say something of somebody else.
        const away = ([, py]) => Math.min(Math.abs(py - 4 - y(a)), Math.abs(py - 4 - y(b))) > ROW / 2 - 3;
        const own = spots.filter((p) => !away(p)), places = kind === "dispatch" ? own : [...own, ...spots.filter(away)];
        labels.push([kind === "wakeup" || kind === "dispatch_wakeup" ? 8 : kind === "dispatch" ? 4 : 7, text, "", places, 0, colour]);
      }
    }
    for (const [lane, at, kind, label] of found.marks) {
      if (kind === "moment" || !seen(lane)) continue;
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
    if (this.lens) {
      const [x0, x1] = [low, high].map((n) => this.whole(n));
      this.lens.style.transform = `translateX(${x0}px)`;
      this.lens.style.width = `${x1 - x0}px`;
    }
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

  /** Where an event of the whole stands in the overview. */
  whole(n) { return LEFT + (Math.max(0, n - this.data.first) / Math.max(1, this.data.kinds.length - 1)) * (this.width - LEFT - EDGE); }

  /** The overview of a long run, who was busy when: drawn once for a width, what is enlarged below lies over it. */
  crowd() {
    const d = this.data, box = this.root.querySelector(".crowd");
    if (!box) return;
    const width = this.width, out = [];
    for (let k = 0; k <= 8; k++) {
      const n = d.first + Math.round((k / 8) * (d.kinds.length - 1));
      out.push(`<text x="${this.whole(n)}" y="9" text-anchor="${k < 8 ? "middle" : "end"}" class="faint" style="font-size:9.5px">${n}</text>`);
    }
    let y = 13;
    for (const [kind, title, note, counts, waiting, errors, marks] of d.density) {
      const h = HEIGHTS[kind], step = (width - LEFT - EDGE) / counts.length, x = (k) => (LEFT + k * step).toFixed(1);
      const scale = (list) => { const most = Math.max(1, ...list); return (v) => (y + h - 1 - ((h - 4) * v) / most).toFixed(1); };
      const bar = scale(counts), wait = scale(waiting), base = y + h - 1;
      if (kind !== "strip") {
        out.push(`<rect x="${LEFT}" y="${y}" width="${width - LEFT - EDGE}" height="${h - 1}" fill="var(--band)"/>`
          + `<text x="${LEFT - 8}" y="${y + 11.5}" text-anchor="end" font-weight="650">${escape(cut(title, 18))}</text>`);
        if (h > 24) out.push(`<text x="${LEFT - 8}" y="${y + 22}" text-anchor="end" class="faint" style="font-size:9.5px">${escape(note.join(""))}</text>`);
      }
      out.push(`<path d="${counts.map((v, k) => (v ? `M${x(k)} ${base}V${bar(v)}H${x(k + 1)}V${base}Z` : "")).join("")}" fill="var(${kind === "world" ? "--socket" : "--run"})"/>`);
      if (waiting.some(Boolean)) out.push(`<path d="${waiting.map((v, k) => (v ? `${waiting[k - 1] ? "L" : "M"}${x(k)} ${wait(v)}H${x(k + 1)}` : "")).join("")}" fill="none" stroke="var(--socket)"/>`);
      for (const k of marks) out.push(`<path d="M${x(k + 0.5)} ${y + h - 8}l3 4l-3 4l-3 -4Z" fill="var(--ink)"/>`);
      for (const k of errors) out.push(`<path d="M${x(k + 0.5)} ${y + 5}m-3 -3l6 6m0 -6l-6 6" stroke="var(--stop)" stroke-width="2"/>`);
      y += h;
    }
    const svg = box.querySelector("svg");
    svg.setAttribute("width", width);
    svg.setAttribute("height", y);
    svg.innerHTML = out.join("");
    this.lens.style.height = `${y}px`;
  }

  /** All of the run in a strip: where coroutines are resumed and where they yield. */
  overview() {
    const c = this.strip, ratio = window.devicePixelRatio || 1, width = c.clientWidth || 800;
    c.width = width * ratio;
    c.height = 22 * ratio;
    const g = c.getContext("2d"), style = getComputedStyle(this.root), n = Math.max(1, this.visible.length);
    const colours = {resume: style.getPropertyValue("--resume"), yield: style.getPropertyValue("--stop"), co_error: style.getPropertyValue("--stop"),
      ready: style.getPropertyValue("--socket"), command: style.getPropertyValue("--socket"), wakeup: style.getPropertyValue("--wakeup")};
    g.scale(ratio, ratio);
    const last = {}; // where a kind was drawn last: of a long run many steps share a pixel
    this.visible.forEach((i, k) => {
      const kind = this.data.kinds[i], colour = colours[kind], pixel = Math.floor((k / n) * (width - 16) * ratio);
      if (!colour || last[kind] === pixel) return;
      last[kind] = pixel;
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
