// Importance of each hyperparameter, and an objective over each of them.

function showImportance() {
  const known = view.importance;
  if (!known) return drop("importance");
  const largest = Math.max(...known.values.flat().map(([, , high]) => high), 1e-9);
  const order = known.hyperparameters.map((name, place) => ({ name, place, total: known.values.reduce((sum, target) => sum + target[place][0], 0) })).sort((a, b) => b.total - a.total);
  fill("importance",
    el("h3", {}, "Importance"),
    el("p", { class: "quiet" }, "How much of the difference between good and other trials each hyperparameter explains by itself (PED-ANOVA); the line is its 95% interval over resampled trials."),
    table(["Hyperparameter", ...known.labels], order.map(({ name, place }) => [name, ...known.values.map((target) => importanceCell(target[place], largest))]), { label: "Importance of hyperparameters", class: "importance" }));
}

function importanceCell([value, low, high], largest) {
  const share = (part) => `${(100 * part / largest).toFixed(1)}%`;
  return el("div", { class: "measure" },
    el("div", { class: "track" },
      el("div", { class: "bar", style: `width:${share(value)}` }),
      el("div", { class: "whisker", style: `left:${share(low)};width:${share(high - low)}` })),
    el("span", { class: "measure-text" }, percent(value), el("span", { class: "quiet" }, ` ${percent(low)}–${percent(high)}`)));
}

const effectPanels = view.hyperparameters.map((hyperparameter, place) => ({ ...hyperparameter, place }))
  .filter(({ place }) => new Set(compared.map((trial) => trial.values[place])).size > 1);

function effectColumns(width) {
  return Math.max(1, Math.min(effectPanels.length, Math.floor(width / 300)));
}

function buildEffects(width) {
  const metric = axisMetric(byId("effect-metric").value);
  const columns = effectColumns(width), rows = Math.ceil(effectPanels.length / columns);
  const values = compared.map((trial) => valueOf(trial, metric.name));
  const layout = baseLayout({ showlegend: Boolean(groupsOf(compared)[0]?.label), margin: { l: 58, r: 10, t: 6, b: 32 } });
  const data = groupsOf(compared).filter((group) => group.label).map((group) => ({ ...legendOnly(group) }));
  const gapX = columns > 1 ? 44 / (width - 68) : 0, panelWidth = (1 - gapX * (columns - 1)) / columns, gapY = 74 / (rows * 230);
  effectPanels.forEach((panel, place) => {
    const suffix = place === 0 ? "" : place + 1;
    const [column, row] = [place % columns, Math.floor(place / columns)];
    const x0 = column * (panelWidth + gapX), y1 = 1 - row / rows;
    layout[`xaxis${suffix}`] = { ...effectAxis(panel), anchor: `y${suffix}`, domain: [x0, Math.min(1, x0 + panelWidth)] };
    layout[`yaxis${suffix}`] = { ...metricAxis(metric, values), ...(column ? { title: { text: "" } } : {}), anchor: `x${suffix}`, domain: [Math.max(0, y1 - 1 / rows + gapY), y1] };
    data.push(...effectTraces(panel, metric, suffix));
  });
  return {
    data, layout, height: 230 * rows + 36,
    alt: `${metric.label} of the finished trials over ${joined(effectPanels.map((panel) => panel.name))}, a panel each.`,
  };
}

function legendOnly(group) {
  return { type: "scatter", mode: "markers", x: [null], y: [null], marker: { color: colorOf(group), symbol: SYMBOLS[group.place], size: 8 }, name: plain(group.label), showlegend: true };
}

function effectAxis(panel) {
  const title = { text: plain(shortened(panel.name, 30)) };
  if (panel.kind === "number") {
    const values = compared.map((trial) => trial.values[panel.place]).filter((value) => value !== null);
    const range = rangeAround(values, panel.log);
    if (!panel.log) return axis({ title, range, nticks: 5 });
    const ticks = logTicks(...range);
    return axis({ title, range, type: "log", tickvals: ticks.map((at) => 10 ** at), ticktext: ticks.map((at) => significant(10 ** at, 2)) });
  }
  return axis({ title, tickvals: panel.values.map((_, at) => at), ticktext: panel.values.map((value) => plain(shortened(value, 14))), range: [-0.5, panel.values.length - 0.5] });
}

// A place beside its value for each trial of a category, always the same for the same trial.
function effectPlace(panel, trial) {
  const value = trial.values[panel.place];
  if (panel.kind === "number" || value === null) return value;
  const spread = ((view.trials.indexOf(trial) * 0.618) % 1 - 0.5) * 0.42;
  return panel.values.indexOf(value) + spread;
}

function effectTraces(panel, metric, suffix) {
  const axes = { xaxis: `x${suffix}`, yaxis: `y${suffix}`, showlegend: false };
  const applies = (trial) => trial.values[panel.place] !== null;
  const marks = groupsOf(compared.filter(applies)).map((group) => ({
    type: "scatter", mode: "markers", ...axes,
    x: group.trials.map((trial) => effectPlace(panel, trial)), y: group.trials.map((trial) => valueOf(trial, metric.name)),
    text: group.trials.map(hoverText), hovertemplate: "%{text}<extra></extra>",
    marker: { color: colorOf(group), symbol: SYMBOLS[group.place], size: compared.length > 200 ? 4 : 6, opacity: compared.length > 200 ? 0.3 : 0.65 },
  }));
  return [...marks, { type: "scatter", mode: "lines", hoverinfo: "skip", ...axes, line: { color: colors().ink, width: 2 }, ...medians(panel, metric) }];
}

// The median of each value, or of each eighth of the trials along a range.
function medians(panel, metric) {
  const trials = compared.filter((trial) => trial.values[panel.place] !== null);
  const x = [], y = [];
  if (panel.kind === "category") {
    panel.values.forEach((value, at) => {
      const own = trials.filter((trial) => trial.values[panel.place] === value);
      if (own.length > 1) { x.push(at - 0.3, at + 0.3, null); y.push(...Array(2).fill(median(own.map((trial) => valueOf(trial, metric.name)))), null); }
    });
    return { x, y };
  }
  const ordered = [...trials].sort((a, b) => a.values[panel.place] - b.values[panel.place]);
  const parts = Math.min(8, Math.floor(ordered.length / 10));
  for (let part = 0; part < parts && parts > 1; part++) {
    const own = ordered.slice(Math.floor(part * ordered.length / parts), Math.floor((part + 1) * ordered.length / parts));
    x.push(median(own.map((trial) => trial.values[panel.place])));
    y.push(median(own.map((trial) => valueOf(trial, metric.name))));
  }
  return { x, y };
}

function median(values) {
  const ordered = [...values].sort((a, b) => a - b), half = Math.floor(ordered.length / 2);
  return ordered.length % 2 ? ordered[half] : (ordered[half - 1] + ordered[half]) / 2;
}

function showWhy() {
  if (compared.length < 2 || !effectPanels.length) return drop("why");
  showImportance();
  options(byId("effect-metric"), objectives.map((objective) => [objective.name, objective.label]), objectives[0].name);
  byId("effect-metric").addEventListener("change", () => redraw("effects-chart"));
  drawnBy(["color"], () => redraw("effects-chart"));
  byId("effects-caption").textContent = "Each mark is a finished trial; the dark line is the median of a value, or along a range. The other hyperparameters vary at the same time, so a slope is a hint and no controlled comparison.";
  chart("effects-chart", buildEffects);
}
