// How the sweep went: hypervolume, what early stopping saved, curves by epoch.

function showVolume() {
  const known = view.hypervolume;
  if (!known) return drop("volume-part");
  options(byId("volume-axis"), [["trials", "trials"], ["device", known.device], ["hours", "hours of the sweep"]], "trials");
  byId("volume-axis").addEventListener("change", () => redraw("volume-chart"));
  const corner = joined(objectives.map((objective) => `${objective.label} ${quantity(objective, objective.reference)}`));
  const ideal = joined(objectives.map((objective) => `${objective.label} ${objective.ideal === null ? "?" : significant(objective.ideal, 3)}`));
  byId("volume-caption").textContent = known.box
    ? `How much of the box between the reference (${corner}) and the ideal (${ideal}) the front dominates. A line that has become flat means that more trials would bring little.`
    : `The volume between the front and the reference (${corner}). A line that has become flat means that more trials would bring little.`;
  chart("volume-chart", buildVolume);
}

function buildVolume(width) {
  const known = view.hypervolume;
  const kind = byId("volume-axis").value;
  const across = { trials: known.trials.map((_, place) => place + 1), device: known.device_hours, hours: known.hours }[kind];
  const up = known.volumes.map((volume) => known.box ? 100 * volume / known.box : volume);
  const unit = known.box ? "% of the reference box" : "hypervolume";
  const name = { trials: "trials ended", device: known.device, hours: "hours of the sweep" }[kind];
  return {
    data: [{
      type: "scatter", mode: "lines", x: [0, ...across], y: [0, ...up], line: { shape: "hv", color: colors().accent, width: 2 },
      text: ["", ...known.trials.map(plain)], hovertemplate: "%{y:.4g}, after %{text}<extra></extra>",
    }],
    layout: baseLayout({ xaxis: axis({ title: { text: name }, rangemode: "tozero" }), yaxis: axis({ title: { text: unit }, rangemode: "tozero" }) }),
    height: 270,
    alt: `Hypervolume over ${name}: ${up.at(-1).toPrecision(3)} ${unit} at the end.`,
  };
}

function showSaved() {
  const { epochs_trained: trained, epochs_planned: planned, seconds_spent: spent, seconds_saved: saved, causes } = view.saved;
  if (!planned || !causes.length) return fill("saved", el("p", { class: "quiet" }, "No trial was stopped early."));
  const epochs = `${grouped(trained, 0)} of ${grouped(planned, 0)} epochs were trained; ${percent(1 - trained / planned)} were left out`;
  const time = saved === null ? "" : `, by the projections of the stopped trials ${duration(saved)} of training beside the ${duration(spent)} spent`;
  fill("saved", el("p", {}, `${epochs}${time}.`),
    el("div", { class: "track large", role: "img", "aria-label": `${percent(trained / planned)} of the epochs trained` }, el("div", { class: "bar", style: `width:${percent(trained / planned, 1)}` })),
    table(["Stopped by", "Trials", "Epochs left out"], causes.map(([cause, trials, left]) => [cause, grouped(trials, 0), grouped(left, 0)]), { label: "Causes of stops" }));
}

const curveKinds = {
  scores: ["dev scores", (name) => !name.startsWith("train_loss")],
  losses: ["train losses", (name) => name.startsWith("train_loss")],
};

function showCurves() {
  const { metrics, values } = view.curves;
  const kinds = Object.entries(curveKinds).filter(([, [, has]]) => metrics.some(has));
  if (!kinds.length || !Object.values(values).some((epochs) => epochs.length > 1)) return drop("curves-part");
  options(byId("curves-kind"), kinds.map(([key, [text]]) => [key, text]), kinds[0][0]);
  byId("curves-kind").addEventListener("change", () => redraw("curves-chart"));
  drawnBy(["color"], () => redraw("curves-chart"));
  byId("curves-caption").textContent = "A line a trial; strong ones are on the front, faint ones are all others, stopped trials too.";
  chart("curves-chart", buildCurves);
}

function buildCurves(width) {
  const { metrics } = view.curves;
  const [, has] = curveKinds[byId("curves-kind").value];
  const panels = metrics.map((name, place) => ({ name, place })).filter(({ name }) => has(name));
  const columns = Math.max(1, Math.min(panels.length, Math.floor(width / 260))), rows = Math.ceil(panels.length / columns);
  const layout = baseLayout({ margin: { l: 46, r: 8, t: 28, b: 30 }, annotations: [] });
  const groups = groupsOf(view.trials);
  const data = groups.filter((group) => group.label).map(legendLine);
  const gap = columns > 1 ? 44 / (width - 54) : 0, panelWidth = (1 - gap * (columns - 1)) / columns;
  panels.forEach((panel, at) => {
    const suffix = at === 0 ? "" : at + 1;
    const [column, row] = [at % columns, Math.floor(at / columns)];
    const domain = [column * (panelWidth + gap), Math.min(1, column * (panelWidth + gap) + panelWidth)];
    const top = 1 - row / rows;
    layout[`xaxis${suffix}`] = axis({ anchor: `y${suffix}`, domain, title: { text: row === rows - 1 || at + columns >= panels.length ? "epoch" : "" }, dtick: epochStep() });
    layout[`yaxis${suffix}`] = axis({ anchor: `x${suffix}`, domain: [Math.max(0, top - 1 / rows + 62 / (220 * rows)), top] });
    layout.annotations.push({ text: plain(metricOf.get(panel.name)?.label ?? panel.name.replace("train_loss.", "train loss, ")), x: domain[0], y: top, xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom", showarrow: false, font: { size: 13, color: colors().ink } });
    groups.forEach((group) => data.push(...curveTraces(group, panel, suffix)));
  });
  return { data, layout, height: 220 * rows + 50, alt: `${joined(panels.map((panel) => metricOf.get(panel.name)?.label ?? panel.name))} after each epoch, a line a trial, the front's strong.` };
}

function epochStep() {
  const most = Math.max(...view.trials.map((trial) => trial.num_epochs));
  return Math.max(1, Math.ceil(most / 6));
}

function legendLine(group) {
  return { type: "scatter", mode: "lines", x: [null], y: [null], line: { color: colorOf(group), width: 2.4 }, name: plain(group.label), showlegend: true };
}

// All faint lines of a group are one trace with gaps: one element, however many trials.
function curveTraces(group, panel, suffix) {
  const axes = { xaxis: `x${suffix}`, yaxis: `y${suffix}`, showlegend: false, type: "scatter", mode: "lines" };
  const color = colorOf(group);
  const others = group.trials.filter((trial) => !trial.on_front);
  const faint = others.flatMap((trial) => [...pointsOf(trial, panel), [null, null]]);
  const many = others.length > 40;
  return [
    { ...axes, x: faint.map(([epoch]) => epoch), y: faint.map(([, value]) => value), hoverinfo: "skip", line: { color, width: 1 }, opacity: many ? 0.18 : 0.35 },
    ...group.trials.filter((trial) => trial.on_front).map((trial) => {
      const points = pointsOf(trial, panel);
      return { ...axes, mode: points.length > 1 ? "lines" : "markers", x: points.map(([epoch]) => epoch), y: points.map(([, value]) => value), name: plain(trial.id), hovertemplate: `${plain(trial.id)}, epoch %{x}: %{y:.4g}<extra></extra>`, line: { color, width: 1.8 } };
    }),
  ];
}

function pointsOf(trial, panel) {
  return (view.curves.values[trial.id] ?? []).map((row) => [row[0], row[panel.place + 1]]).filter(([, value]) => value !== null);
}

function showProgress() {
  showVolume();
  showSaved();
  showCurves();
}
