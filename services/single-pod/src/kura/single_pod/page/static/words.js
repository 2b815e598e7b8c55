// Numbers, times and names as people read them.

const NUMBERS = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SMALL = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const DAY = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", timeZone: "UTC" });
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const STEPS = [["second", 60], ["minute", 60], ["hour", 24], ["day", Infinity]];

export function number(value) {
  return Math.abs(value) >= 100 ? NUMBERS.format(value) : SMALL.format(value);
}

export function money(value, currency) {
  const text = new Intl.NumberFormat("en", { style: "currency", currency: currency || "USD" });
  return text.format(Math.abs(value) < 0.005 ? 0 : value);
}

export function percent(part, whole) {
  return whole > 0 ? `${Math.round((100 * part) / whole)} %` : "–";
}

// "Core-Hours" → "core-hours"; a currency or "GiB-Hours" keeps its capitals.
export function unitName(units) {
  return /^[A-Z]{3}$/.test(units) ? units : units.replace(/^Core/, "core").replace(/Hours|Months|Mo$/, (found) => found.toLowerCase());
}

export function dayName(date) {
  return DAY.format(new Date(`${date}T00:00:00Z`));
}

// Times come with a zone, or are UTC.
export function moment(text) {
  if (!text) return null;
  const found = new Date(/[zZ]|[+-]\d\d:?\d\d$/.test(text) ? text : `${text.replace(" ", "T")}Z`);
  return Number.isNaN(found.getTime()) ? null : found;
}

export function ago(text) {
  const then = moment(text);
  if (!then) return "never";
  let amount = (then - Date.now()) / 1000;
  if (amount > -10) return "just now";
  for (const [unit, size] of STEPS) {
    if (Math.abs(amount) < size) return RELATIVE.format(Math.round(amount), unit);
    amount /= size;
  }
  return text;
}

export function exactly(text) {
  const then = moment(text);
  return then ? `${then.toISOString().slice(0, 16).replace("T", " ")} UTC` : "";
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  return seconds < 90 ? `${SMALL.format(seconds)} s` : `${NUMBERS.format(seconds / 60)} min`;
}

export function counted(amount, one, many = `${one}s`) {
  return `${NUMBERS.format(amount)} ${amount === 1 ? one : many}`;
}
