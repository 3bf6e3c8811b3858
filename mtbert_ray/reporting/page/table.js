// The table of all trials that the filters leave: sorted by a heading's button, some rows at a time.

const PAGE = 25;
const shown = { column: null, descending: false, rows: PAGE };
let columns = [];

const STATUSES = {
  all: ["all trials", () => true],
  front: ["the front", (trial) => trial.on_front],
  short: ["the short list of the front", (trial) => trial.on_front && !isHairThin(trial)],
  finished: ["finished", (trial) => trial.status === "finished"],
  stopped: ["stopped early", (trial) => trial.status === "stopped"],
  failed: ["failed", (trial) => trial.status.startsWith("failed")],
};

function allColumns() {
  const names = byId("table-all").checked ? view.metrics : view.metrics.filter((metric) => isMain(metric.name));
  return [
    { label: "Trial", key: (trial) => trial.id, cell: (trial) => trialButton(trial.id) },
    { label: "Status", key: (trial) => trial.status, cell: statusCell },
    ...names.map((metric) => ({ label: `${metric.label}${metric.unit && metric.unit !== "s" ? ` (${metric.unit})` : ""}`, isNumber: true, key: (trial) => valueOf(trial, metric.name), cell: (trial) => metricCell(metric, trial) })),
    ...view.hyperparameters.map((one, place) => ({ label: one.name, isNumber: one.kind === "number", key: (trial) => trial.values[place], cell: (trial) => trial.values[place] === null ? "" : configValue(trial.values[place]) })),
    { label: "Epochs", isNumber: true, key: (trial) => trial.epochs, cell: (trial) => `${trial.epochs} of ${trial.num_epochs}` },
  ];
}

const isMain = (name) => objectives.some((objective) => objective.name === name) || name === "dev_score" || metricOf.get(name)?.is_score && !name.includes(".");

function metricCell(metric, trial) {
  const value = valueOf(trial, metric.name);
  return value === null ? "" : metric.unit === "s" ? quantity(metric, value) : numberOf(metric, value);
}

function statusCell(trial) {
  if (trial.on_front) return el("span", { class: "badge" }, "on the front");
  return trial.feasible === false ? "over a constraint" : trial.status;
}

function filtered() {
  const [, has] = STATUSES[byId("table-status").value];
  return view.trials.filter((trial) => has(trial) && passes(trial));
}

function sorted(trials) {
  const column = columns[shown.column];
  if (!column) return trials;
  const turn = shown.descending ? -1 : 1;
  return [...trials].sort((a, b) => {
    const [x, y] = [column.key(a), column.key(b)];
    if (x === null || y === null) return (x === null) - (y === null);  // Gaps come last either way.
    return turn * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true }));
  });
}

function sortBy(place) {
  const ascends = shown.column === place && !shown.descending;
  // Numbers first with the largest: the best scores.
  shown.descending = shown.column === place ? !shown.descending : columns[place].isNumber;
  shown.column = place;
  showTable();
  byId("table").tHead.rows[0].cells[place].firstElementChild.focus();
  return ascends;
}

function showTable(fromStart = false) {
  if (fromStart) shown.rows = PAGE;
  columns = allColumns();
  const trials = sorted(filtered());
  const [head, body] = [byId("table").tHead, byId("table").tBodies[0]];
  head.replaceChildren(el("tr", {}, columns.map((column, place) => el("th", {
    scope: "col", class: column.isNumber ? "number" : "", "aria-sort": shown.column === place ? (shown.descending ? "descending" : "ascending") : null,
  }, el("button", { type: "button", onclick: () => sortBy(place) }, column.label)))));
  body.replaceChildren(...trials.slice(0, shown.rows).map((trial) => el("tr", { class: trial.on_front ? "member" : trial.status === "finished" ? "" : "unfinished" },
    columns.map((column, place) => el(place === 0 ? "th" : "td", { scope: place === 0 ? "row" : null, class: column.isNumber ? "number" : "" }, column.cell(trial))))));
  byId("table-count").textContent = `${grouped(trials.length, 0)} of ${counted(view.trials.length, "trial")}`;
  const more = trials.length - shown.rows;
  byId("table-more").hidden = more <= 0;
  byId("table-more").textContent = `Show ${Math.min(more, 200)} more`;
  byId("filter-clear").disabled = !kept.size && byId("table-status").value === "all";
}

function startTable() {
  if (!view.trials.length) return fill("trials", el("h2", { id: "trials-title" }, "All trials"), el("p", {}, "No trial has started."));
  const has = Object.entries(STATUSES).filter(([key, [, test]]) => key === "all" || (view.trials.some(test) && (key !== "short" || front.some(isHairThin))));
  options(byId("table-status"), has.map(([key, [text]]) => [key, text]), "all");
  byId("table-status").addEventListener("change", () => showTable(true));
  byId("table-all").addEventListener("change", () => { shown.column = null; showTable(); });
  byId("table-more").addEventListener("click", () => { shown.rows += 200; showTable(); });
  byId("filter-clear").addEventListener("click", () => {
    kept.clear();
    byId("table-status").value = "all";
    showTable(true);
    showFilterForm();
    redraw("parallel-chart");
  });
  showParallel();
  showTable();
}
