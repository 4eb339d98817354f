"use strict";
const $ = (id) => document.getElementById(id);
const report = JSON.parse($("payload").textContent);
const rowsOf = (table) => {
  const names = Object.keys(table);
  return table[names[0]].map((_, i) => Object.fromEntries(names.map((n) => [n, table[n][i]])));
};
const numberFormat = (digits) => new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const integerFormat = numberFormat(0), decimalFormat = numberFormat(2), percentFormat = numberFormat(1);
function shown(value, kind) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (kind === "int") return integerFormat.format(value);
  if (kind === "decimal") return decimalFormat.format(value);
  if (kind === "percent") return percentFormat.format(100 * value) + "%";
  if (kind === "money") return ((Math.abs(value) >= 100 ? integerFormat : decimalFormat).format(value) + " " + report.currency).trim();
  return String(value);
}
function element(tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

// ------------------------------------------------------------------------------ light and dark
const root = document.documentElement, theme = $("theme");
const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
function showTheme() {
  theme.textContent = isDark() ? "Light" : "Dark";
  theme.setAttribute("aria-label", isDark() ? "Switch to light colours" : "Switch to dark colours");
  theme.removeAttribute("aria-pressed");
}
theme.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  try { localStorage.setItem("stagecast-theme", root.dataset.theme); } catch (e) { /* no storage */ }
  showTheme();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
showTheme();

// --------------------------------------------------------------------------------------- filter
const selected = { stage: new Set(), segment: new Set() };
const matchesFilter = (row) =>
  (!selected.stage.size || row.stage === undefined || selected.stage.has(row.stage)) &&
  (!selected.segment.size || row.segment === undefined || selected.segment.has(row.segment));
const passesChosenStage = (row) => !selected.stage.size || selected.stage.has(row.from_stage) || selected.stage.has(row.to_stage);
const cells = rowsOf(report.cells);

function showHeadlines() {
  const matching = cells.filter(matchesFilter), sum = (name) => matching.reduce((total, row) => total + (row[name] || 0), 0);
  for (const h of report.headlines) {
    const denominator = h.denominator ? sum(h.denominator) : 1;
    $("n-" + h.key).textContent = shown(denominator ? sum(h.numerator) / denominator : null, h.kind);
  }
  const names = [...selected.stage, ...selected.segment];
  $("state").textContent = (names.length ? names.join(", ") : "Everyone") + ": " + shown(sum("n"), "int") + " customers";
}

// --------------------------------------------------------------------------------------- charts
const charts = new Map(report.figures.map((f) => [f.key, {
  ...f, sets: Object.keys(f.data).filter((name) => JSON.stringify(f.spec).includes(`"name":"${name}"`)), rows: Object.fromEntries(Object.entries(f.data).map(([name, table]) => [name, rowsOf(table)])), picked: null, view: null,
}]));
function rowsFor(f, name) {
  let rows = f.rows[name];
  if (f.filtered.includes(name)) rows = rows.filter(matchesFilter);
  if (f.dimmed.includes(name)) rows = rows.map((row) => ({ ...row, on: passesChosenStage(row) ? 1 : 0 }));
  if (f.choice && name === f.table.data) rows = rows.filter((row) => row[f.choice] === f.picked);
  return rows;
}
function fillTable(f) {
  if (!f.filtered.includes(f.table.data)) return;
  const groups = new Map();
  for (const row of rowsFor(f, f.table.data)) {
    const key = JSON.stringify(f.table.keys.map(([name]) => row[name]));
    if (f.table.sums.length === 0) { groups.set(key + groups.size, row); continue; }
    const sum = groups.get(key) || { ...row, ...Object.fromEntries(f.table.sums.map(([name]) => [name, 0])) };
    for (const [name] of f.table.sums) sum[name] += row[name] || 0;
    groups.set(key, sum);
  }
  const body = element("tbody");
  for (const row of groups.values()) {
    const line = element("tr");
    for (const [name, kind] of [...f.table.keys, ...f.table.sums])
      line.append(element("td", shown(row[name], kind), kind === "text" || kind === "date" ? "" : "num"));
    body.append(line);
  }
  $("table-" + f.key).querySelector("tbody").replaceWith(body);
}
async function embed(id, spec, sets) {
  // On narrow screens shorten the names of bars and wrap legends earlier.
  const narrow = $(id).clientWidth < 480, config = {
    ...spec.config, axisY: { labelLimit: Math.min(380, Math.max(130, 0.42 * $(id).clientWidth)) }, legend: { ...spec.config.legend, columns: narrow ? 2 : 4 },
  };
  const result = await window.vegaEmbed("#" + id, { ...spec, config, datasets: sets }, { actions: false, renderer: "svg", tooltip: { disableDefaultStyle: true } });
  return result.view;
}
async function draw(f) {
  if (f.view) return;
  f.view = "drawing";
  f.view = await embed("plot-" + f.key, f.spec, Object.fromEntries(f.sets.map((name) => [name, rowsFor(f, name)])));
  $("plot-" + f.key).style.minHeight = "";
}
async function refresh(f) {
  fillTable(f);
  if (!f.view || f.view === "drawing") return;
  const changing = f.sets.filter((name) => f.filtered.includes(name) || f.dimmed.includes(name) || (f.choice && name === f.table.data));
  const nobody = f.sets.some((name) => f.filtered.includes(name) && !rowsFor(f, name).length);
  $("plot-" + f.key).classList.toggle("nobody", nobody);  // axes without a row have no ends
  if (nobody) return;
  for (const name of changing) f.view.data(name, rowsFor(f, name));
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
    selected[kind] = new Set([...document.querySelectorAll(`#filter input[name="${kind}"]:checked`)].map((box) => box.value));
  keepInAddress();
  showHeadlines();
  listing.page = 0;
  await listCustomers();
  for (const f of charts.values()) await refresh(f);
}
$("filter").addEventListener("change", refreshAll);
$("filter").addEventListener("reset", () => setTimeout(refreshAll));
$("filter").addEventListener("submit", (event) => event.preventDefault());
if (matchMedia("(max-width: 900px)").matches) document.querySelector(".filters").open = false;
// Let the browser show the text before the first chart is drawn.
const nextFrame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
async function drawAll() {
  for (const f of charts.values()) { await nextFrame(); await draw(f); }
  await refreshAll();
  root.dataset.ready = "true";
}

const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
function watch(section) {
  const observer = new IntersectionObserver(([entry]) => {
    if (!entry.isIntersecting) return;
    for (const link of links.values()) link.removeAttribute("aria-current");
    links.get(section.id).setAttribute("aria-current", "true");
  }, { rootMargin: "-20% 0px -70% 0px" });
  observer.observe(section);
}
for (const id of links.keys()) watch($(id));

// ------------------------------------------------------------------------------------ customers
let unpacked = null;
async function customers() {
  if (unpacked) return unpacked;
  const bytes = Uint8Array.from(atob($("packed").textContent), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  unpacked = JSON.parse(await new Response(stream).text());
  return unpacked;
}
const scoreOf = (all, i) => Object.fromEntries(all.columns.map((name) => [name, all.scores[name][i]]));
const inFilter = (all, i) => matchesFilter({ stage: all.scores.stage[i], segment: all.scores.segment[i] });
async function search() {
  const all = await customers(), text = $("who").value.trim(), list = $("matches");
  list.replaceChildren();
  if (!text) { $("found").textContent = ""; $("person").hidden = true; return null; }
  const exact = all.ids.indexOf(text);
  const found = all.ids.map((id, i) => i).filter((i) => i === exact || all.ids[i].toLowerCase().includes(text.toLowerCase()));
  found.sort((a, b) => (a === exact ? -1 : b === exact ? 1 : 0));
  if (!found.length) $("person").hidden = true;
  $("found").textContent = found.length ? `${found.length} customer${found.length > 1 ? "s" : ""} found` : "No searchable customer has this id. The table of scores contains all customers.";
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
  if (first !== null) showPerson(unpacked, first);
});
$("any").addEventListener("click", async () => {
  const all = await customers(), matching = all.ids.map((_, i) => i).filter((i) => inFilter(all, i));
  if (!matching.length) { $("found").textContent = "No searchable customer matches the filter."; return; }
  const i = matching[Math.floor(Math.random() * matching.length)];
  $("who").value = all.ids[i];
  await search();
  showPerson(all, i);
});
const dayOf = (all, ago) => new Date(Date.parse(all.at + "T00:00:00Z") - ago * 86400000).toISOString().slice(0, 10);
const money = (value) => shown(value, "money"), percent = (value) => shown(value, "percent");
function tilesOf(s) {
  const has = (name) => s[name] !== null && s[name] !== undefined, churnDays = report.days.churn, valueDays = report.days.value;
  const tiles = [["Stage", `${s.stage}${s.sub_stage ? ` (${s.sub_stage})` : ""}`, s.stage_since ? `since ${s.stage_since}` : ""]];
  if (s.stage_predicted) tiles.push(["Most likely stage by the model", s.stage_predicted, `${percent(s.stage_confidence)} probability`]);
  if (has("p_churn")) tiles.push([`Churn risk, ${churnDays} days`, percent(s.p_churn), s.churn_band ? `${s.churn_band} compared with similar customers` : ""]);
  if (has("clv")) tiles.push([`Expected spend, ${valueDays} days`, money(s.clv), has("clv_low") ? `8 of 10 such customers: ${money(s.clv_low)} to ${money(s.clv_high)}` : ""]);
  if (s.next_stage) tiles.push(["Next stage, if it changes", s.next_stage, `${percent(s.p_move)} chance of a change`]);
  if (has("p_first_purchase")) tiles.push([`Chance of a first purchase, ${valueDays} days`, percent(s.p_first_purchase), `lead band ${s.lead_band} (A is best)`]);
  if (has("p_reactivate")) tiles.push([`Chance of coming back, ${valueDays} days`, percent(s.p_reactivate), ""]);
  if (s.expected_next_order_at) tiles.push(["Next order expected by", s.expected_next_order_at, ""]);
  if (s.lapses_at_if_silent) tiles.push(["Lapses on", s.lapses_at_if_silent, "if nothing else happens"]);
  if (has("historic_clv")) tiles.push(["Spent so far", money(s.historic_clv), s.value_tier ? `value tier ${s.value_tier}` : ""]);
  return tiles;
}
function stageStays(all, path, s) {
  // Merge consecutive grid dates with the same stage into one stay.
  const found = [];
  for (let k = 0; k < path.length; k++) {
    if (path[k] === ".") continue;
    const stage = all.stages[path.charCodeAt(k) - 97], from = dayOf(all, all.grid[k]);
    const to = k + 1 < path.length ? dayOf(all, all.grid[k + 1]) : all.at;
    const last = found[found.length - 1];
    if (last && last.stage === stage && last.to === from) last.to = to;
    else if (from !== to) found.push({ stage, from, to, row: "stage" });
  }
  // The grid is weekly; the start of the current stay is exact.
  const last = found[found.length - 1];
  if (last && last.stage !== s.stage && s.stage_since < all.at) {
    last.to = s.stage_since > last.from ? s.stage_since : last.from;
    found.push({ stage: s.stage, from: last.to, to: all.at, row: "stage" });
  }
  return found;
}
const roleName = (all, role) => report.roles[all.roles[role]] || all.roles[role];
function eventsOf(all, i) {
  const rows = [];
  for (const [role, ago, counts, values] of all.events[i])
    ago.forEach((d, k) => rows.push({ row: roleName(all, role), day: dayOf(all, d), n: counts[k], value: values.length ? values[k] : null }));
  return rows.sort((a, b) => (a.day < b.day ? 1 : a.day > b.day ? -1 : 0));
}
function timelineSpec(all, events) {
  const lanes = ["stage", ...all.roles.map((_, role) => roleName(all, role)).filter((name) => events.some((e) => e.row === name))];
  const x = { type: "temporal", title: null, axis: { format: "%b %y", grid: false, tickCount: 6 }, scale: { type: "utc" } };
  // Two invisible points extend the axis to the whole year.
  const year = [{ from: dayOf(all, 364), to: dayOf(all, 364), row: "stage" }, { from: all.at, to: all.at, row: "stage" }];
  const y = { field: "row", type: "nominal", title: null, sort: lanes, scale: { domain: lanes } };
  const colour = { field: "stage", type: "nominal", legend: { title: null }, scale: { domain: report.order, range: report.order.map((s) => report.colours[s]) } };
  return {
    config: report.figures[0].spec.config, width: "container", height: 34 * lanes.length + 10, autosize: { type: "fit-x", contains: "padding", resize: true },
    layer: [
      { data: { values: year }, mark: { type: "point", opacity: 0 }, encoding: { x: { field: "from", ...x }, y } },
      { data: { name: "stays" }, mark: { type: "bar", height: { band: 0.6 }, cornerRadius: 2 }, encoding: { x: { field: "from", ...x }, x2: { field: "to" }, y, color: colour, tooltip: [{ field: "stage" }, { field: "from" }, { field: "to" }] } },
      ...(events.length ? [{ data: { name: "events" }, mark: { type: "point", filled: true, opacity: 0.75, color: "#2F7FC1" }, encoding: { x: { field: "day", ...x }, y, size: { field: "size", type: "quantitative", legend: null, scale: { range: [24, 260] } },
        tooltip: [{ field: "day" }, { field: "row", title: "activity" }, { field: "n", title: "events" }, { field: "value", title: "amount" }] } }] : []),
    ],
  };
}
const CAUSES = {
  behaviour: "an event", clock: "time without activity", first_load: "the first load of the data", definition: "a change of the stage rules", identity: "merged customer ids",
};
function remainingReasons(why, listed) {
  // The reasons listed above are not repeated.
  const parts = (why || "").split("; ").filter((part) => part && !listed.includes(part));
  return parts.length ? "; " + parts.join("; ") : "";
}
async function showPerson(all, i) {
  const s = scoreOf(all, i), events = eventsOf(all, i), path = stageStays(all, all.paths[i], s);
  $("person").hidden = false;
  $("p-title").textContent = all.ids[i];
  $("p-why").textContent = `In ${s.stage} because: ${all.why[i]}.` + (s.previous_stage ? ` Before that in ${s.previous_stage}; the change was caused by ${CAUSES[s.stage_change_cause] || s.stage_change_cause}.` : "");
  $("p-tiles").replaceChildren(...tilesOf(s).map(([label, value, hint]) => {
    const box = element("div");
    box.append(element("dt", label), element("dd", value), element("dd", hint, "hint"));
    return box;
  }));
  const reasons = [...all.reasons[i].map((text) => `Reason: ${text}`), ...all.campaigns[i].map(([title, arm, change, rank, value, why]) =>
    `${title}: ${change === "removed" ? "left this campaign" : arm === "control" ? "held out, do not contact" : `contact${rank ? `, rank ${rank}` : ""}`}` + (value ? `; expected value ${money(value)}` : "") + remainingReasons(why, all.reasons[i]))];
  $("p-reasons").replaceChildren(...(reasons.length ? reasons : ["Not in any campaign of this run."]).map((text) => element("li", text)));
  const body = element("tbody");
  for (const e of events) {
    const line = element("tr");
    line.append(element("td", e.day), element("td", e.row), element("td", shown(e.n, "int"), "num"), element("td", e.value === null ? "–" : money(e.value), "num"));
    body.append(line);
  }
  $("p-events").querySelector("tbody").replaceWith(body);
  const whole = element("tbody");
  for (const name of all.columns) {
    const line = element("tr"), head = element("th", report.labels[name] || name.replaceAll("_", " "));
    head.scope = "row";
    line.append(head, element("td", s[name] === null ? "–" : String(s[name])));
    whole.append(line);
  }
  $("p-row").querySelector("tbody").replaceWith(whole);
  const label = `${events.length} days with events in the last year. Stages: ` + path.map((p) => `${p.stage} from ${p.from}`).join(", ");
  $("p-timeline").setAttribute("aria-label", label);
  await embed("plot-person", timelineSpec(all, events), { stays: path, ...(events.length ? { events: events.map((e) => ({ ...e, size: e.value === null ? e.n : Math.abs(e.value) })) } : {}) });
  $("p-title").focus({ preventScroll: true });
  $("person").dataset.shown = all.ids[i];
}
