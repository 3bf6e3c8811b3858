// Stops and failures with their reasons, the paper's numbers, objectives, environment, commands.

function showEnded() {
  const ended = view.ended_early;
  if (!ended.length) return drop("ended");
  const failed = ended.filter((one) => one.status === "failed"), stopped = ended.filter((one) => one.status === "stopped");
  fill("ended-rows",
    failed.length && endedPart(`${counted(failed.length, "trial")} failed`, failed),
    stopped.length && endedPart(`${counted(stopped.length, "trial")} stopped early`, stopped, "Their scores and costs are those of fewer epochs than the finished trials', so they are not on the front."));
}

function endedPart(summary, trials, note = "") {
  return el("details", { open: trials.length <= 12 }, el("summary", {}, summary),
    note && el("p", { class: "quiet" }, note),
    table(["Trial", "Epochs", "Cause", "Reason"], trials.map((one) => [trialOf.has(one.id) ? trialButton(one.id) : one.id, String(one.epochs), one.cause, el("span", { class: "reason-text" }, one.reason)]), { label: summary }));
}

function showPaper() {
  const known = view.comparison;
  if (!known) return drop("paper");
  fill("paper-rows",
    el("p", { class: "quiet" }, `Table ${known.table}, a row an experiment: our number, with several trials their mean and range; the paper's; the difference. `, el("a", { href: "paper_comparison.csv" }, "paper_comparison.csv"), " has them unrounded."),
    table(["Experiment", ...known.headings], known.rows.map((row) => [
      [el("span", {}, row.experiment), el("div", { class: "quiet" }, row.config), el("div", { class: "quiet" }, row.state)],
      ...row.cells.map((cell) => [cell.ours && el("b", {}, cell.ours), cell.range && el("div", {}, cell.range), el("div", { class: "quiet" }, `paper ${cell.paper}`), cell.difference && el("div", {}, cell.difference)])]), { label: "Comparison with the paper" }),
    el("ul", { class: "quiet" }, known.notes.map((note) => el("li", {}, note))));
}

function showAbout() {
  const bound = (objective) => objective.constraint === null ? "none" : `${objective.direction === "minimize" ? "at most" : "at least"} ${quantity(objective, objective.constraint)}`;
  const hasNoise = objectives.some((objective) => objective.noise);
  if (objectives.length) fill("objectives", el("h3", {}, "Objectives"), table(
    ["Objective", "Meaning", "Direction", "Reference", "Constraint", ...(hasNoise ? ["Tolerance", "Noise from"] : [])],
    objectives.map((objective) => [objective.label, objective.meaning, objective.direction, quantity(objective, objective.reference), bound(objective), ...(hasNoise ? [quantity(objective, objective.tolerance), objective.noise] : [])]), { label: "Objectives" }));
  fill("environment", pairsTable([...view.facts.filter(([name]) => LATER.includes(name)), ...view.environment], "Environment"));
  fill("commands", view.commands.map(({ label, command }) => [el("p", { class: "quiet" }, label), commandLine(command, label)]));
  byId("space").textContent = view.space;
}

// Links to the sections that are there.
function showNavigation() {
  const titles = { answer: "Worth having", paper: "Paper", front: "Front", trials: "Trials", why: "Why", progress: "Progress", ended: "Stopped and failed", about: "Sweep" };
  fill("sections", Object.entries(titles).filter(([id]) => byId(id)).map(([id, title]) => el("a", { href: `#${id}` }, title)));
}

function showReruns() {
  const found = view.rerun_summary;
  if (!byId("reruns")) return;  // Without a trial to compare there is no front.
  if (!found) return drop("reruns");
  fill("reruns", el("h3", {}, "Run again"),
    el("p", {}, `Means over seeds with their standard deviation, costs as they were alone. ${found.text}`),
    table(["Trial", "Seeds", ...objectives.map((objective) => objective.label)], found.trials.map((one) => [
      trialButton(one.trial_id), String(one.num_runs),
      ...one.estimates.map((estimate, place) => [el("b", {}, estimate), el("div", { class: "quiet" }, `first ${one.own[place]}`)])]), { label: "Trials that were run again" }));
}
