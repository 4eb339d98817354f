"use strict";
const $ = (id) => document.getElementById(id);
const told = JSON.parse($("payload").textContent);
const rowsOf = (table) => {
  const names = Object.keys(table);
  return table[names[0]].map((_, i) => Object.fromEntries(names.map((n) => [n, table[n][i]])));
};
const whole = (digits) => new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const plainInt = whole(0), plainTwo = whole(2), onePercent = whole(1);
function shown(value, kind) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (kind === "int") return plainInt.format(value);
  if (kind === "decimal") return plainTwo.format(value);
  if (kind === "percent") return onePercent.format(100 * value) + "%";
  if (kind === "money") return ((Math.abs(value) >= 100 ? plainInt : plainTwo).format(value) + " " + told.currency).trim();
  return String(value);
}
function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// ------------------------------------------------------------------------------ light and dark
const root = document.documentElement, theme = $("theme");
const darkNow = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
function showTheme() {
  theme.textContent = darkNow() ? "Light" : "Dark";
  theme.setAttribute("aria-label", darkNow() ? "Switch to light colours" : "Switch to dark colours");
  theme.removeAttribute("aria-pressed");
}
theme.addEventListener("click", () => {
  root.dataset.theme = darkNow() ? "light" : "dark";
  try { localStorage.setItem("stagecast-theme", root.dataset.theme); } catch (e) { /* not kept */ }
  showTheme();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
showTheme();

// --------------------------------------------------------------------------------------- filter
const chosen = { stage: new Set(), segment: new Set() };
const fits = (row) =>
  (!chosen.stage.size || row.stage === undefined || chosen.stage.has(row.stage)) &&
  (!chosen.segment.size || row.segment === undefined || chosen.segment.has(row.segment));
const touched = (row) => !chosen.stage.size || chosen.stage.has(row.from_stage) || chosen.stage.has(row.to_stage);
const cells = rowsOf(told.cells);

function showHeadlines() {
  const mine = cells.filter(fits), sum = (name) => mine.reduce((total, row) => total + (row[name] || 0), 0);
  for (const h of told.headlines) {
    const bottom = h.bottom ? sum(h.bottom) : 1;
    $("n-" + h.key).textContent = shown(bottom ? sum(h.top) / bottom : null, h.kind);
  }
  const names = [...chosen.stage, ...chosen.segment];
  $("state").textContent = (names.length ? names.join(", ") : "Everyone") + ": " + shown(sum("n"), "int") + " customers";
}

// --------------------------------------------------------------------------------------- charts
const charts = new Map(told.figures.map((f) => [f.key, {
  ...f, sets: Object.keys(f.data).filter((name) => JSON.stringify(f.spec).includes(`"name":"${name}"`)), rows: Object.fromEntries(Object.entries(f.data).map(([name, table]) => [name, rowsOf(table)])), picked: null, view: null,
}]));
function drawn(f, name) {
  let rows = f.rows[name];
  if (f.filtered.includes(name)) rows = rows.filter(fits);
  if (f.dimmed.includes(name)) rows = rows.map((row) => ({ ...row, on: touched(row) ? 1 : 0 }));
  if (f.choice && name === f.twin.data) rows = rows.filter((row) => row[f.choice] === f.picked);
  return rows;
}
function showTwin(f) {
  if (!f.filtered.includes(f.twin.data)) return;
  const groups = new Map();
  for (const row of drawn(f, f.twin.data)) {
    const key = JSON.stringify(f.twin.keys.map(([name]) => row[name]));
    if (f.twin.sums.length === 0) { groups.set(key + groups.size, row); continue; }
    const sum = groups.get(key) || { ...row, ...Object.fromEntries(f.twin.sums.map(([name]) => [name, 0])) };
    for (const [name] of f.twin.sums) sum[name] += row[name] || 0;
    groups.set(key, sum);
  }
  const body = element("tbody");
  for (const row of groups.values()) {
    const line = element("tr");
    for (const [name, kind] of [...f.twin.keys, ...f.twin.sums])
      line.append(element("td", shown(row[name], kind), kind === "text" || kind === "date" ? "" : "num"));
    body.append(line);
  }
  $("twin-" + f.key).querySelector("tbody").replaceWith(body);
}
async function embed(id, spec, sets) {
  // Where there is little room, names of bars are cut sooner and legends are broken sooner.
  const narrow = $(id).clientWidth < 480, config = {
    ...spec.config, axisY: { labelLimit: Math.min(380, Math.max(130, 0.42 * $(id).clientWidth)) }, legend: { ...spec.config.legend, columns: narrow ? 2 : 4 },
  };
  const result = await window.vegaEmbed("#" + id, { ...spec, config, datasets: sets }, { actions: false, renderer: "svg", tooltip: { disableDefaultStyle: true } });
  return result.view;
}
async function draw(f) {
  if (f.view) return;
  f.view = "drawing";
  f.view = await embed("plot-" + f.key, f.spec, Object.fromEntries(f.sets.map((name) => [name, drawn(f, name)])));
  $("plot-" + f.key).style.minHeight = "";
}
async function refresh(f) {
  showTwin(f);
  if (!f.view || f.view === "drawing") return;
  for (const name of f.sets)
    if (f.filtered.includes(name) || f.dimmed.includes(name) || (f.choice && name === f.twin.data)) f.view.data(name, drawn(f, name));
  await f.view.runAsync();
}
for (const f of charts.values()) {
  const list = $("choice-" + f.key);
  if (!list) continue;
  f.picked = list.value;
  list.addEventListener("change", () => { f.picked = list.value; refresh(f); });
}
async function refreshAll() {
  for (const kind of ["stage", "segment"])
    chosen[kind] = new Set([...document.querySelectorAll(`#filter input[name="${kind}"]:checked`)].map((box) => box.value));
  showHeadlines();
  for (const f of charts.values()) await refresh(f);
}
$("filter").addEventListener("change", refreshAll);
$("filter").addEventListener("reset", () => setTimeout(refreshAll));
$("filter").addEventListener("submit", (event) => event.preventDefault());
if (matchMedia("(max-width: 900px)").matches) document.querySelector(".filters").open = false;
// The text is on the screen before the first chart is drawn.
const rest = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
async function drawAll() {
  for (const f of charts.values()) { await rest(); await draw(f); }
  await refreshAll();
  root.dataset.ready = "true";
}
drawAll();

const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
function watch(section) {
  const eye = new IntersectionObserver(([entry]) => {
    if (!entry.isIntersecting) return;
    for (const link of links.values()) link.removeAttribute("aria-current");
    links.get(section.id).setAttribute("aria-current", "true");
  }, { rootMargin: "-20% 0px -70% 0px" });
  eye.observe(section);
}
for (const id of links.keys()) watch($(id));

// ------------------------------------------------------------------------------------ customers
let known = null;
async function people() {
  if (known) return known;
  const bytes = Uint8Array.from(atob($("packed").textContent), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  known = JSON.parse(await new Response(stream).text());
  return known;
}
const scoreOf = (all, i) => Object.fromEntries(all.columns.map((name) => [name, all.scores[name][i]]));
const inFilter = (all, i) => fits({ stage: all.scores.stage[i], segment: all.scores.segment[i] });
async function search() {
  const all = await people(), text = $("who").value.trim(), list = $("matches");
  list.replaceChildren();
  if (!text) { $("found").textContent = ""; return null; }
  const exact = all.ids.indexOf(text);
  const found = all.ids.map((id, i) => i).filter((i) => i === exact || all.ids[i].toLowerCase().includes(text.toLowerCase()));
  found.sort((a, b) => (a === exact ? -1 : b === exact ? 1 : 0));
  $("found").textContent = found.length ? `${found.length} customer${found.length > 1 ? "s" : ""} found` : "No searchable customer has this id. Scores of everyone are in the table customer_scores.";
  for (const i of found.slice(0, 24)) {
    const button = element("button", all.ids[i]);
    button.type = "button";
    button.addEventListener("click", () => showPerson(all, i));
    const item = element("li");
    item.append(button);
    list.append(item);
  }
  return found.length ? found[0] : null;
}
$("who").addEventListener("input", search);
$("search").addEventListener("submit", async (event) => {
  event.preventDefault();
  const first = await search();
  if (first !== null) showPerson(known, first);
});
$("any").addEventListener("click", async () => {
  const all = await people(), mine = all.ids.map((_, i) => i).filter((i) => inFilter(all, i));
  if (!mine.length) { $("found").textContent = "No searchable customer is in the filter."; return; }
  const i = mine[Math.floor(Math.random() * mine.length)];
  $("who").value = all.ids[i];
  await search();
  showPerson(all, i);
});
const dayOf = (all, ago) => new Date(Date.parse(all.at + "T00:00:00Z") - ago * 86400000).toISOString().slice(0, 10);
const money = (value) => shown(value, "money"), percent = (value) => shown(value, "percent");
function tilesOf(s) {
  const tiles = [["Stage, since", `${s.stage}${s.sub_stage ? ` (${s.sub_stage})` : ""}`, s.stage_since || ""]];
  if (s.stage_predicted) tiles.push(["Likely stage by now", s.stage_predicted, percent(s.stage_confidence) + " sure"]);
  if (s.p_churn !== null) tiles.push(["Churn risk", percent(s.p_churn), s.churn_band ? `${s.churn_band} for customers like this` : ""]);
  if (s.clv !== null && s.clv !== undefined) tiles.push(["Expected spend", money(s.clv), s.clv_low === null || s.clv_low === undefined ? "" : `80 %: ${money(s.clv_low)} to ${money(s.clv_high)}`]);
  if (s.next_stage) tiles.push(["Next stage, if they move", s.next_stage, `${percent(s.p_move)} to move at all`]);
  if (s.p_first_purchase !== null && s.p_first_purchase !== undefined) tiles.push(["Chance of a first purchase", percent(s.p_first_purchase), `lead band ${s.lead_band}`]);
  if (s.p_reactivate !== null && s.p_reactivate !== undefined) tiles.push(["Chance of coming back", percent(s.p_reactivate), ""]);
  if (s.expected_next_order_at) tiles.push(["Next order expected by", s.expected_next_order_at, ""]);
  if (s.lapses_at_if_silent) tiles.push(["Lapses if silent", s.lapses_at_if_silent, "by the clock alone"]);
  if (s.historic_clv !== null && s.historic_clv !== undefined) tiles.push(["Spent so far", money(s.historic_clv), s.value_tier ? `value tier ${s.value_tier}` : ""]);
  return tiles;
}
function stays(all, path, s) {
  // The grid's first date stands first; equal neighbours become one stay.
  const found = [];
  for (let k = 0; k < path.length; k++) {
    if (path[k] === ".") continue;
    const stage = all.stages[path.charCodeAt(k) - 97], from = dayOf(all, all.grid[k]);
    const to = k + 1 < path.length ? dayOf(all, all.grid[k + 1]) : all.at;
    const last = found[found.length - 1];
    if (last && last.stage === stage && last.to === from) last.to = to;
    else if (from !== to) found.push({ stage, from, to, row: "stage" });
  }
  // The grid is weekly; the present stay is known to the day.
  const last = found[found.length - 1];
  if (last && last.stage !== s.stage && s.stage_since < all.at) {
    last.to = s.stage_since > last.from ? s.stage_since : last.from;
    found.push({ stage: s.stage, from: last.to, to: all.at, row: "stage" });
  }
  return found;
}
function eventsOf(all, i) {
  const rows = [];
  for (const [role, ago, counts, values] of all.events[i])
    ago.forEach((d, k) => rows.push({ row: all.roles[role], day: dayOf(all, d), n: counts[k], value: values.length ? values[k] : null }));
  return rows.sort((a, b) => (a.day < b.day ? 1 : a.day > b.day ? -1 : 0));
}
function timelineSpec(all, events) {
  const lanes = ["stage", ...all.roles.filter((role) => events.some((e) => e.row === role))];
  const x = { type: "temporal", title: null, axis: { format: "%b %y", grid: false, tickCount: 6 }, scale: { type: "utc" } };
  // Two unseen points span the year.
  const year = [{ from: dayOf(all, 364), to: dayOf(all, 364), row: "stage" }, { from: all.at, to: all.at, row: "stage" }];
  const y = { field: "row", type: "nominal", title: null, sort: lanes, scale: { domain: lanes } };
  const colour = { field: "stage", type: "nominal", legend: { title: null }, scale: { domain: told.order, range: told.order.map((s) => told.colours[s]) } };
  return {
    config: told.figures[0].spec.config, width: "container", height: 34 * lanes.length + 10, autosize: { type: "fit-x", contains: "padding", resize: true },
    layer: [
      { data: { values: year }, mark: { type: "point", opacity: 0 }, encoding: { x: { field: "from", ...x }, y } },
      { data: { name: "stays" }, mark: { type: "bar", height: { band: 0.6 }, cornerRadius: 2 }, encoding: { x: { field: "from", ...x }, x2: { field: "to" }, y, color: colour, tooltip: [{ field: "stage" }, { field: "from" }, { field: "to" }] } },
      ...(events.length ? [{ data: { name: "events" }, mark: { type: "point", filled: true, opacity: 0.75, color: "#2F7FC1" }, encoding: { x: { field: "day", ...x }, y, size: { field: "size", type: "quantitative", legend: null, scale: { range: [24, 260] } },
        tooltip: [{ field: "day" }, { field: "row", title: "what" }, { field: "n", title: "events" }, { field: "value", title: "amount" }] } }] : []),
    ],
  };
}
const PLAIN = {
  p_churn: "churn risk", p_any_order: "chance of an order", p_move: "chance of a move", clv: "expected spend", historic_clv: "spent so far",
  p_first_purchase: "chance of a first purchase", p_reactivate: "chance of coming back",
};
function inWords(why, said) {
  // Names of columns as words; what the reasons above say is not said again.
  const parts = (why || "").split("; ").filter((part) => part && !said.includes(part));
  const words = parts.map((part) => part.replace(/^(p_[a-z_]+) ([0-9.e-]+)$/, (_, name, p) => `${name} ${percent(Number(p))}`).replace(/^[a-z0-9]+(_[a-z0-9]+)*(?= )/, (name) => PLAIN[name] || name.replaceAll("_", " ")));
  return words.length ? "; " + words.join("; ") : "";
}
async function showPerson(all, i) {
  const s = scoreOf(all, i), events = eventsOf(all, i), path = stays(all, all.paths[i], s);
  $("person").hidden = false;
  $("p-title").textContent = all.ids[i];
  $("p-why").textContent = `In ${s.stage} because: ${all.why[i]}.` + (s.previous_stage ? ` Before that in ${s.previous_stage}; moved by ${s.stage_change_cause}.` : "");
  $("p-tiles").replaceChildren(...tilesOf(s).map(([label, value, hint]) => {
    const box = element("div");
    box.append(element("dt", label), element("dd", value), element("dd", hint, "hint"));
    return box;
  }));
  const reasons = [...all.reasons[i].map((text) => `Reason: ${text}`), ...all.campaigns[i].map(([title, arm, change, rank, value, why]) =>
    `${title}: ${change === "removed" ? "left this campaign" : arm === "control" ? "held out, do not address" : `address${rank ? `, rank ${rank}` : ""}`}` + (value ? `; expected value ${money(value)}` : "") + inWords(why, all.reasons[i]))];
  $("p-reasons").replaceChildren(...(reasons.length ? reasons : ["In no campaign of this run."]).map((text) => element("li", text)));
  const body = element("tbody");
  for (const e of events) {
    const line = element("tr");
    line.append(element("td", e.day), element("td", e.row), element("td", shown(e.n, "int"), "num"), element("td", e.value === null ? "–" : money(e.value), "num"));
    body.append(line);
  }
  $("p-events").querySelector("tbody").replaceWith(body);
  const whole = element("tbody");
  for (const name of all.columns) {
    const line = element("tr"), head = element("th", name);
    head.scope = "row";
    line.append(head, element("td", s[name] === null ? "–" : String(s[name])));
    whole.append(line);
  }
  $("p-row").querySelector("tbody").replaceWith(whole);
  const label = `${events.length} days with events in the last year; stages: ` + path.map((p) => `${p.stage} from ${p.from}`).join(", ");
  $("p-timeline").setAttribute("aria-label", label);
  await embed("plot-person", timelineSpec(all, events), { stays: path, ...(events.length ? { events: events.map((e) => ({ ...e, size: e.value === null ? e.n : Math.abs(e.value) })) } : {}) });
  $("p-title").focus({ preventScroll: true });
  $("person").dataset.shown = all.ids[i];
}
