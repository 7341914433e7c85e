// The decoder of a message: a grid of bytes, and what is said of the one that is pointed at (wire.py).
function render({ model, el }) {
  const told = JSON.parse(model.get("payload"));
  const root = document.createElement("div");
  root.tabIndex = 0;
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", told.label);
  root.dataset.lmSuppressShortcuts = "true";
  root.style.cssText = "font:14px/1.5 ui-monospace,monospace;outline-offset:4px;max-width:54em";
  const grid = document.createElement("div");
  grid.style.cssText = "display:grid;grid-template-columns:repeat(16,2.6em);gap:3px 0;user-select:none";
  const info = document.createElement("pre");
  info.setAttribute("aria-live", "polite");
  info.style.cssText = "margin:.8em 0 0;padding:.6em .8em;min-height:7.5em;white-space:pre-wrap;" +
    "border-left:4px solid #68707c;background:rgba(128,128,128,.1);color:inherit";
  const cells = told.bytes.map(([digits, part], i) => {
    const cell = document.createElement("span");
    cell.textContent = digits;
    cell.style.cssText = "text-align:center;cursor:pointer;color:#1c2128;padding:.15em 0;background:" +
      told.parts[part].colour + (i < told.parts[part].body ? "" : "90");
    cell.addEventListener("click", () => go(i));
    grid.append(cell);
    return cell;
  });
  function go(i) {
    model.set("at", Math.max(0, Math.min(cells.length - 1, i)));
    model.save_changes();
    draw();
  }
  function draw() {
    const at = model.get("at");
    if (!cells.length) return;
    const mine = told.bytes[at][1];
    cells.forEach((cell, i) => {
      cell.style.fontWeight = i === at ? "700" : "400";
      cell.style.boxShadow = i === at ? "inset 0 0 0 2px #c9281c"
        : told.bytes[i][1] === mine ? "inset 0 -3px 0 #1c2128" : "none";
    });
    info.textContent = told.bytes[at][2];
    info.style.borderLeftColor = told.parts[mine].colour;
  }
  root.addEventListener("keydown", (e) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 16, ArrowUp: -16, Home: -1e9, End: 1e9 }[e.key];
    if (step === undefined) return;
    e.preventDefault();
    e.stopPropagation();
    go(model.get("at") + step);
  });
  model.on("change:at", draw);
  root.append(grid, info);
  el.append(root);
  draw();
}
export default { render };
