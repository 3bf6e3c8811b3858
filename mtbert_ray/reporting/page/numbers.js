// Writes numbers with the digits and the units that the report's other files have (reporting/wording.py).

const MINUS = "−";

// Making a formatter takes longer than a thousand uses of it.
const formatters = new Map();
function formatted(value, rule, digits) {
  const key = rule + digits;
  if (!formatters.has(key)) {
    const options = rule === "fixed" ? { minimumFractionDigits: digits, maximumFractionDigits: digits } : { maximumSignificantDigits: digits };
    formatters.set(key, new Intl.NumberFormat("en-US", options));
  }
  return formatters.get(key).format(value);
}

function grouped(value, digits) {
  return formatted(value, "fixed", digits);
}

function significant(value, digits) {
  const text = Number(value.toPrecision(digits));
  return Math.abs(text) < 1e-4 && text !== 0 ? text.toExponential() : formatted(text, "significant", digits);
}

function fixed(value, digits) {
  const text = grouped(value, digits);
  return value === 0 || Number(value.toFixed(digits)) !== 0 ? text : significant(value, 2);
}

function digitsFor(metric, value) {
  const size = Math.abs(value);
  switch (metric.unit) {
    case "GiB": return fixed(value, 2);
    case "%": return size >= 10 ? fixed(value, 1) : significant(value, 3);
    case "s": case "kJ": return fixed(value, size >= 100 ? 0 : 1);
    default: return size < 1000 ? fixed(value, 3) : grouped(value, 0);
  }
}

function numberOf(metric, value) {
  if (value === null || value === undefined) return "";
  if (Number.isInteger(value) && metric.unit === "" && Math.abs(value) > 1) return grouped(value, 0);
  return digitsFor(metric, value).replace("-", MINUS);
}

function duration(seconds) {
  if (Math.round(seconds * 10) / 10 < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds), minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes} min ${whole % 60} s` : `${grouped(Math.floor(minutes / 60), 0)} h ${minutes % 60} min`;
}

// A duration in one unit, with two or three digits: where there is little room.
function brief(seconds) {
  if (seconds < 120) return `${significant(seconds, 2)} s`;
  return seconds < 7200 ? `${significant(seconds / 60, 2)} min` : `${significant(seconds / 3600, 3)} h`;
}

function briefQuantity(metric, value) {
  return metric.unit === "s" && value >= 60 ? brief(value) : quantity(metric, value);
}

// A value with its unit; a time in its two largest units.
function quantity(metric, value) {
  if (value === null || value === undefined) return "not measured";
  if (metric.unit === "s" && value >= 60) return duration(value);
  return `${numberOf(metric, value)}${metric.unit && " " + metric.unit}`;
}

// A difference with its sign, as "+0.012" or "−1.90 GiB".
function signed(metric, difference) {
  const sign = difference > 0 ? "+" : difference < 0 ? MINUS : "±";
  return sign + briefQuantity(metric, Math.abs(difference));
}

function interval(metric, pair) {
  if (!pair || pair[1] === pair[0]) return "";
  return metric.unit === "s" && pair[1] >= 60
    ? `${duration(Math.max(pair[0], 0))} – ${duration(pair[1])}`
    : `${numberOf(metric, pair[0])} – ${numberOf(metric, pair[1])}`;
}

// Half of an interval, as "±0.022"; the ends are in the trial's own view.
function halfWidth(metric, pair) {
  return pair && pair[1] > pair[0] ? `±${briefQuantity({ ...metric, unit: metric.unit === "s" ? "s" : "" }, (pair[1] - pair[0]) / 2)}` : "";
}

function configValue(value, digits = 3) {
  if (value === null) return "–";
  return typeof value === "number" ? significant(value, digits).replaceAll(",", "") : value;
}

function percent(share, digits = 0) {
  return `${(100 * share).toFixed(digits)}%`;
}

function counted(count, noun) {
  return `${grouped(count, 0)} ${noun}${count === 1 ? "" : "s"}`;
}

function joined(parts, word = "and") {
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} ${word} ${parts.at(-1)}`;
}
