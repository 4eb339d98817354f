// ------------------------------------------------------------------------------ table of customers
const PAGE_ROWS = 25;
// Column, its kind, and its title where the label of the scored row is too long for a table.
const LISTED = [
  ["stage", "text", "Stage"], ["segment", "text", "Segment"], ["p_churn", "percent", "Churn risk"], ["clv", "money", "Expected spend"],
  ["historic_clv", "money", "Spent so far"], ["average_order_value", "money", "Average order"],
  ["expected_next_order_at", "date", "Next order"], ["preferred_channel", "text", "Channel"],
];
const listing = { column: "clv", down: true, page: 0, rows: [] };

async function listCustomers() {
  const all = await customers(), text = $("list-who").value.trim().toLowerCase();
  const cells = all.scores[listing.column] || all.ids, sign = listing.down ? -1 : 1;
  const missing = (value) => value === null || value === undefined;
  // Customers without a value come last in either direction.
  const order = (a, b) => missing(cells[a]) - missing(cells[b]) || sign * (cells[a] < cells[b] ? -1 : cells[a] > cells[b] ? 1 : 0) || a - b;
  listing.rows = all.ids.map((_, i) => i).filter((i) => inFilter(all, i) && all.ids[i].toLowerCase().includes(text)).sort(order);
  listing.page = Math.max(0, Math.min(listing.page, Math.ceil(listing.rows.length / PAGE_ROWS) - 1));
  showList(all);
}
function showList(all) {
  const columns = LISTED.filter(([name]) => all.scores[name]), first = listing.page * PAGE_ROWS;
  const head = element("tr");
  for (const [name, kind, title] of [["customer_id", "text", "Customer"], ...columns]) {
    const cell = element("th", undefined, kind === "text" || kind === "date" ? "" : "num"), button = element("button", title || report.labels[name] || name);
    button.type = "button";
    cell.scope = "col";
    cell.setAttribute("aria-sort", listing.column === name ? (listing.down ? "descending" : "ascending") : "none");
    button.addEventListener("click", () => {
      listing.down = listing.column === name ? !listing.down : !["text", "date"].includes(kind);
      listing.column = name;
      listing.page = 0;
      listCustomers();
    });
    cell.append(button);
    head.append(cell);
  }
  $("list-table").querySelector("thead").replaceChildren(head);
  const body = element("tbody");
  for (const i of listing.rows.slice(first, first + PAGE_ROWS)) {
    const line = element("tr"), who = element("th"), button = element("button", all.ids[i], "link");
    button.type = "button";
    button.addEventListener("click", () => { $("who").value = all.ids[i]; showPerson(all, i); $("customer").scrollIntoView(); });
    who.scope = "row";
    who.append(button);
    line.append(who, ...columns.map(([name, kind]) => element("td", shown(all.scores[name][i], kind).replaceAll("_", " "), kind === "text" || kind === "date" ? "" : "num")));
    body.append(line);
  }
  $("list-table").querySelector("tbody").replaceWith(body);
  const count = listing.rows.length, last = Math.min(first + PAGE_ROWS, count);
  $("list-count").textContent = count ? `${shown(first + 1, "int")} to ${shown(last, "int")} of ${shown(count, "int")} customers` : "No customer here matches the filter and the search.";
  $("list-back").disabled = first === 0;
  $("list-on").disabled = last >= count;
  $("list-csv").disabled = !count;
  $("list-draft").textContent = draftOfCampaign();
}
function turnPage(step) {
  listing.page += step;
  customers().then(showList);
}
$("list-back").addEventListener("click", () => turnPage(-1));
$("list-on").addEventListener("click", () => turnPage(1));
$("list-who").addEventListener("input", () => { listing.page = 0; listCustomers(); });
$("list-search").addEventListener("submit", (event) => event.preventDefault());

function csvCell(value) {
  if (value === null || value === undefined) return "";
  // A spreadsheet would compute a text that begins like a formula.
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? "'" + value : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
$("list-csv").addEventListener("click", async () => {
  const all = await customers();
  const lines = [["customer_id", ...all.columns], ...listing.rows.map((i) => [all.ids[i], ...all.columns.map((name) => all.scores[name][i])])];
  const file = new Blob(["\ufeff" + lines.map((line) => line.map(csvCell).join(",")).join("\r\n") + "\r\n"], { type: "text/csv" });
  const link = element("a");
  link.href = URL.createObjectURL(file);
  link.download = `customers-${all.at}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});
function draftOfCampaign() {
  const stages = selected.stage.size ? [...selected.stage] : report.order, segments = [...selected.segment];
  const rules = (segments.length ? segments : [""]).map((name) => report.draft.rules[name]);
  return report.draft.text.replace("{stages}", stages.map((name) => JSON.stringify(name)).join(", ")).replace("{rules}", rules.map((rule) => `\n    - ${rule}`).join(""));
}
$("list-copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("list-draft").textContent);
    $("list-copied").textContent = "Copied.";
  } catch (e) {
    // Some browsers forbid it on a local file: the text is marked instead.
    getSelection().selectAllChildren($("list-draft"));
    $("list-copied").textContent = "The text is selected: copy it with Ctrl+C.";
  }
});

// --------------------------------------------------------------------- the filter in the address
const sectionOf = () => decodeURIComponent(location.hash.slice(1)).split("?")[0];
function keepInAddress() {
  const chosen = new URLSearchParams();
  for (const kind of ["stage", "segment"]) for (const name of selected[kind]) chosen.append(kind, name);
  const text = chosen.toString();
  history.replaceState(null, "", "#" + sectionOf() + (text ? "?" + text : ""));
}
function readAddress() {
  const chosen = new URLSearchParams(location.hash.split("?")[1] || "");
  for (const box of document.querySelectorAll("#filter input[type=checkbox]")) box.checked = chosen.getAll(box.name).includes(box.value);
}
addEventListener("hashchange", () => {
  // A link within the page names a section only, and the filter stays; an address that was typed has its own.
  if (!location.hash.includes("?") && (selected.stage.size || selected.segment.size)) { keepInAddress(); return; }
  readAddress();
  refreshAll();
});
if (location.hash.includes("?")) {
  readAddress();
  const section = $(sectionOf());
  if (section) section.scrollIntoView();
}
drawAll();
