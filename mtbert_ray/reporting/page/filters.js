// Brushing: ranges of parallel coordinates, or values in a form, filter the table. Both change the same ranges.

// Key of a dimension -> the ranges that it keeps, in the axis' own coordinates; a dimension without any keeps all.
const kept = new Map();
const dimensions = [...objectives.map(objectiveDimension), ...view.hyperparameters.map(hyperparameterDimension)]
  .filter((dimension) => dimension.coordinates.size > 1);

function objectiveDimension(objective) {
  return numberDimension(objective.name, objective, (trial) => valueOf(trial, objective.name), spansDecades(compared.map((trial) => valueOf(trial, objective.name))));
}

function hyperparameterDimension(hyperparameter, place) {
  const read = (trial) => trial.values[place];
  if (hyperparameter.kind === "number") return numberDimension(hyperparameter.name, { label: hyperparameter.name, unit: "" }, read, hyperparameter.log);
  const at = (value) => value === null ? -1 : hyperparameter.values.indexOf(value);
  const coordinates = new Set(compared.map((trial) => at(read(trial))));
  const places = [...coordinates].sort((a, b) => a - b);
  return {
    key: hyperparameter.name, label: hyperparameter.name, kind: "category", coordinates, read, places,
    coordinate: (trial) => at(read(trial)), textOf: (coordinate) => coordinate < 0 ? "n/a" : hyperparameter.values[coordinate],
    axis: { tickvals: places, ticktext: places.map((coordinate) => plain(shortened(coordinate < 0 ? "n/a" : hyperparameter.values[coordinate], 16))), range: [places[0] - 0.25, places.at(-1) + 0.25] },
  };
}

function numberDimension(key, metric, read, isLog) {
  const values = compared.map(read).filter((value) => value !== null && (!isLog || value > 0));
  const scaled = values.map((value) => isLog ? Math.log10(value) : value);
  const low = Math.min(...scaled), high = Math.max(...scaled), span = high - low || 1;
  const missing = low - 0.12 * span;  // Where the trials stand that it does not apply to.
  const hasMissing = compared.some((trial) => read(trial) === null);
  const coordinateOf = (value) => value === null ? missing : isLog ? Math.log10(value) : value;
  const ticks = isLog ? logTicks(low, high) : metric.unit === "s" ? timeTicks(low, high).tickvals : evenTicks(low, high);
  return {
    key, label: metric.label, kind: "number", metric, read, isLog, low, high,
    coordinates: new Set(compared.map((trial) => coordinateOf(read(trial)))),
    coordinate: (trial) => coordinateOf(read(trial)),
    fromCoordinate: (at) => isLog ? 10 ** at : at,
    toCoordinate: (value) => isLog ? Math.log10(value) : value,
    axis: {
      range: [hasMissing ? missing : low, high],
      tickvals: [...(hasMissing ? [missing] : []), ...ticks],
      ticktext: [...(hasMissing ? ["n/a"] : []), ...ticks.map((at) => tickText(metric, isLog ? 10 ** at : at))],
    },
  };
}

function tickText(metric, value) {
  return metric.unit === "s" ? shortTime(Math.round(value)) : significant(value, 3);
}

function evenTicks(low, high) {
  const rough = (high - low) / 5 || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((size) => size * power).find((size) => size >= rough);
  const ticks = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + 1e-9 * step; tick += step) ticks.push(Number(tick.toPrecision(12)));
  return ticks;
}

function logTicks(low, high) {
  const all = [];
  for (let power = Math.floor(low); power <= high; power++) all.push(...[1, 2, 5].map((step) => power + Math.log10(step)));
  const within = all.filter((at) => at >= low - 1e-9 && at <= high + 1e-9);
  const powers = within.filter((at) => Math.abs(at - Math.round(at)) < 1e-9);
  if (within.length > 7 && powers.length > 1) return powers;
  return within.length > 1 ? within : evenTicks(low, high);
}

function shortened(text, length) {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

function passes(trial) {
  return [...kept].every(([key, ranges]) => {
    const dimension = dimensions.find((one) => one.key === key);
    if (dimension.metric && placeOfMetric.has(key) && dimension.read(trial) === null) return false;
    const at = dimension.coordinate(trial);
    return ranges.some(([from, to]) => at >= from - 1e-9 && at <= to + 1e-9);
  });
}

function keep(key, ranges) {
  if (ranges?.length) kept.set(key, ranges);
  else kept.delete(key);
  showTable(true);
}

function buildParallel(width) {
  const { ink, quiet, accent, faint } = colors();
  const ordered = [...compared].sort((a, b) => a.on_front - b.on_front);
  return {
    data: [{
      type: "parcoords",
      line: { color: ordered.map((trial) => Number(trial.on_front)), colorscale: [[0, faint], [1, accent]], cmin: 0, cmax: 1 },
      unselected: { line: { color: faint, opacity: 0.06 } },
      labelfont: { size: 12, color: ink }, tickfont: { size: 11, color: quiet }, rangefont: { size: 1, color: "rgba(0,0,0,0)" }, labelangle: dimensions.length > 7 ? -14 : 0, labelside: "top",
      dimensions: dimensions.map((dimension) => ({
        label: plain(shortened(dimension.label, 22)), values: ordered.map(dimension.coordinate), ...dimension.axis, constraintrange: plotlyRanges(kept.get(dimension.key)),
      })),
    }],
    layout: baseLayout({ margin: { l: 62, r: 62, t: dimensions.length > 7 ? 74 : 44, b: 22 } }),
    height: 360,
    alt: `Parallel coordinates of ${joined(dimensions.map((dimension) => dimension.label))} for ${counted(compared.length, "finished trial")}; the form below filters the same way.`,
  };
}

function plotlyRanges(ranges) {
  return ranges === undefined ? null : ranges.length === 1 ? ranges[0] : ranges;
}

// Takes over what was brushed in the chart.
function readBrush(node) {
  node.data[0].dimensions.forEach((dimension, place) => {
    const ranges = dimension.constraintrange;
    const several = ranges?.length ? (Array.isArray(ranges[0]) ? ranges : [ranges]) : [];
    if (several.length) kept.set(dimensions[place].key, several);
    else kept.delete(dimensions[place].key);
  });
  showTable(true);
  showFilterForm();
}

function showParallel() {
  if (compared.length < 2 || dimensions.length < 2) return drop("parallel-part");
  byId("parallel-chart").style.minWidth = `${Math.max(560, 92 * dimensions.length)}px`;
  showFilterForm();
  chart("parallel-chart", buildParallel, (node) => node.on("plotly_restyle", () => readBrush(node)));
}

function showFilterForm() {
  fill("filter-rows", dimensions.map((dimension) => dimension.kind === "number" ? numberFilter(dimension) : categoryFilter(dimension)));
}

function numberFilter(dimension) {
  const range = kept.get(dimension.key)?.[0];
  const input = (word, place) => el("input", {
    type: "number", step: "any", "aria-label": `${word} ${dimension.label}`, placeholder: word,
    value: range && Number.isFinite(range[place]) ? Number(dimension.fromCoordinate(range[place]).toPrecision(4)) : "",
  });
  const inputs = [input("least", 0), input("most", 1)];
  const read = () => {
    const [low, high] = inputs.map((one) => one.value === "" ? null : dimension.toCoordinate(Number(one.value)));
    const ranges = low === null && high === null ? [] : [[low ?? dimension.low - 1e-9, high ?? dimension.high + 1e-9]];
    keep(dimension.key, ranges.map((pair) => pair.map((at) => Number.isFinite(at) ? at : dimension.low)));
    redraw("parallel-chart");
  };
  inputs.forEach((one) => one.addEventListener("change", read));
  return el("fieldset", {}, el("legend", {}, `${dimension.label}${dimension.metric.unit && ` (${dimension.metric.unit})`}`), inputs);
}

function categoryFilter(dimension) {
  const ranges = kept.get(dimension.key);
  const boxes = dimension.places.map((at) => el("input", { type: "checkbox", value: at, checked: !ranges || ranges.some(([from, to]) => at >= from && at <= to) }));
  const read = () => {
    const checked = boxes.filter((box) => box.checked);
    keep(dimension.key, checked.length === boxes.length ? [] : checked.length ? checked.map((box) => [Number(box.value) - 0.2, Number(box.value) + 0.2]) : [[-9, -8]]);
    redraw("parallel-chart");
  };
  boxes.forEach((box) => box.addEventListener("change", read));
  return el("fieldset", {}, el("legend", {}, dimension.label), boxes.map((box, place) => el("label", { class: "check" }, box, ` ${dimension.textOf(dimension.places[place])}`)));
}
