// Everything about one trial, over the page; Escape closes it.

function showDetail(id) {
  const trial = trialOf.get(id);
  const dialog = byId("detail");
  dialog.replaceChildren(
    el("div", { class: "card-head" }, el("h2", { id: "detail-title" }, trial.experiment ? `${trial.id}: ${trial.experiment}` : trial.id),
      el("button", { type: "button", onclick: () => dialog.close() }, "Close")),
    el("p", { class: "quiet" }, [trial.status, trial.on_front && "on the front", trial.feasible === false && "over a constraint", `${trial.epochs} of ${counted(trial.num_epochs, "epoch")}`, trial.attempts > 1 && counted(trial.attempts, "attempt")].filter(Boolean).join(", ")),
    trial.reason && el("pre", { class: "reason", tabIndex: 0 }, trial.reason),
    cautions(trial).map((text) => el("p", { class: "caution" }, text)),
    (view.trade_offs[id] ?? []).map((text) => el("p", {}, text)),
    el("h3", {}, "Config"), pairsTable(configPairs(trial).map(([name, value]) => [name, configValue(value, 6)]), "Config"),
    el("h3", {}, "Measured"), pairsTable(view.metrics.filter((metric) => valueOf(trial, metric.name) !== null).map((metric) => [metric.label, measured(trial, metric)]), "Measured"),
    reruns(trial),
    el("h3", {}, "Get it"), commandsOf(trial));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function measured(trial, metric) {
  const place = objectives.findIndex((objective) => objective.name === metric.name);
  const pair = trial.noise?.intervals[place];
  return quantity(metric, valueOf(trial, metric.name)) + (pair && pair[1] > pair[0] ? `  (95%: ${interval(metric, pair)})` : "");
}

function pairsTable(pairs, label) {
  return pairs.length ? el("table", { class: "pairs", "aria-label": label }, el("tbody", {}, pairs.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value))))) : el("p", { class: "quiet" }, "none");
}

function reruns(trial) {
  const own = view.reruns.filter((rerun) => rerun.of === trial.id);
  if (!own.length) return null;
  return [el("h3", {}, "Run again"), table(["Run", "Purpose", "Status", ...objectives.map((objective) => objective.label)],
    own.map((rerun) => [rerun.id, rerun.purpose === "repeat" ? "another seed" : "alone, for its costs", rerun.status, ...objectives.map((objective, place) => quantity(objective, rerun.objectives[place]))]), { label: "Further runs" })];
}
