// Use over time as stacked columns. One stop for the Tab key; arrow keys go from day to day and read its values.

import { drawn, element, fill } from "./elements.js";
import { dayName, number } from "./words.js";

const HEIGHT = 272;
const [TOP, BOTTOM, LEFT] = [12, 26, 52];
const WIDEST_COLUMN = 56;
const LABEL_WIDTH = 52;
const COLOURS = 6;

export const isRest = (label) => label === "Others" || label === "Other";

// Draws into the `.plot` of a figure, and again whenever its width changes.
// chart: {title, dates: ["2026-11-01", …], series: [{label, values: [number per date]}], unit, today, write}
export function showColumns(figure, chart) {
  figure.chart = chart;
  if (!figure.watch) {
    figure.watch = new ResizeObserver(() => draw(figure));
    figure.watch.observe(figure);
    listen(figure);
  }
  draw(figure);
  fill(figure.querySelector(".legend"), ...chart.series.map((one, index) =>
    element("li", {}, element("span", { class: `swatch ${colourOf(one, index)}`, "aria-hidden": "true" }), one.label)));
  fill(figure.querySelector("table"), ...tableOf(chart));
  for (const part of [".hint", "details"]) figure.querySelector(part).hidden = !chart.series.length;
}

function colourOf(one, index) {
  return isRest(one.label) ? "rest" : `s${index % COLOURS}`;
}

function draw(figure) {
  const { title, dates, series, today, write } = figure.chart;
  const plot = figure.querySelector(".plot");
  if (!series.length) {
    fill(plot, element("p", { class: "soft empty" }, figure.chart.empty));
    return;
  }
  const width = Math.max(plot.clientWidth, 260);
  const totals = dates.map((_, day) => totalOf(series, day));
  const top = niceTop(Math.max(...totals));
  const y = (value) => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value / top);
  const slot = (width - LEFT) / dates.length;
  const column = Math.min(slot * 0.72, WIDEST_COLUMN);
  const every = Math.ceil(LABEL_WIDTH / slot);
  const chosen = Math.min(figure.chosenDay ?? dates.length - 1, dates.length - 1);

  const picture = drawn("svg", { width, height: HEIGHT, role: "group", "aria-label": title });
  for (const part of [0, 0.25, 0.5, 0.75, 1]) {
    picture.append(
      drawn("line", { class: "axis", x1: LEFT, x2: width, y1: y(top * part), y2: y(top * part) }),
      drawn("text", { class: "tick", x: LEFT - 8, y: y(top * part) + 4, "text-anchor": "end" }, number(top * part)),
    );
  }
  dates.forEach((date, day) => {
    const x = LEFT + slot * day;
    const group = drawn("g", {
      class: "day", role: "img", tabindex: day === chosen ? 0 : -1, "data-key": date, "data-day": day,
      "aria-label": `${dayName(date)}: ${write(totals[day])} in all; ${valuesOf(series, day, write)}`,
    }, drawn("rect", { class: "ground", x: x + 1, y: TOP - 6, width: slot - 2, height: HEIGHT - BOTTOM - TOP + 6, rx: 4 }));
    let level = 0;
    series.forEach((one, index) => {
      const value = Math.max(one.values[day], 0);
      if (!value) return;
      group.append(drawn("rect", {
        class: colourOf(one, index), x: x + (slot - column) / 2, width: column, y: y(level + value),
        height: Math.max(y(level) - y(level + value), 0.5), "data-label": one.label, "data-value": value,
      }));
      level += value;
    });
    picture.append(group);
    if ((dates.length - 1 - day) % every === 0) {
      const name = date === today ? "today" : dayName(date);
      picture.append(drawn("text", { class: "tick", x: x + slot / 2, y: HEIGHT - 6, "text-anchor": "middle", "aria-hidden": "true" }, name));
    }
  });
  figure.slot = slot;
  fill(plot, picture);
}

// On the plot, which stays while its picture changes; also because browsers let Tab stop at a picture with listeners.
function listen(figure) {
  const plot = figure.querySelector(".plot");
  const dayOf = (event) => event.target.closest(".day");
  plot.addEventListener("pointerover", (event) => dayOf(event) && readOut(figure, dayOf(event)));
  plot.addEventListener("pointerleave", () => hush(figure));
  plot.addEventListener("focusin", (event) => choose(figure, dayOf(event)));
  plot.addEventListener("focusout", () => hush(figure));
  plot.addEventListener("click", (event) => dayOf(event)?.focus());
  plot.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hush(figure);
    const day = Number(dayOf(event).dataset.day);
    const last = figure.chart.dates.length - 1;
    const goal = { ArrowLeft: day - 1, ArrowRight: day + 1, Home: 0, End: last }[event.key];
    if (goal === undefined) return;
    event.preventDefault();
    plot.querySelector(`[data-day="${Math.min(Math.max(goal, 0), last)}"]`).focus();
  });
}

function choose(figure, group) {
  for (const other of figure.querySelectorAll(".day")) other.setAttribute("tabindex", other === group ? 0 : -1);
  figure.chosenDay = Number(group.dataset.day);
  readOut(figure, group);
}

function readOut(figure, group) {
  const { dates, series, write } = figure.chart;
  hush(figure);
  group.classList.add("chosen");
  const day = Number(group.dataset.day);
  const line = (kind, who, value, swatch) => element("div", { class: kind },
    ...(swatch ? [element("span", { class: `swatch ${swatch}` })] : []),
    element("span", { class: "who" }, who), element("span", { class: "number" }, write(value)));
  const box = element("div", { class: "readout", "aria-hidden": "true" },
    line("whole", dayName(dates[day]), totalOf(series, day)),
    ...series.map((one, index) => line("", one.label, one.values[day], colourOf(one, index))));
  const plot = figure.querySelector(".plot");
  plot.append(box);
  const from = LEFT + figure.slot * day;
  const isLate = from + figure.slot / 2 > plot.clientWidth / 2;
  const beside = isLate ? from - box.offsetWidth - 8 : from + figure.slot + 8;
  box.style.left = `${Math.min(Math.max(beside, 0), plot.clientWidth - box.offsetWidth)}px`;
}

function hush(figure) {
  figure.querySelector(".readout")?.remove();
  figure.querySelector(".day.chosen")?.classList.remove("chosen");
}

function totalOf(series, day) {
  return series.reduce((sum, one) => sum + Math.max(one.values[day], 0), 0);
}

function valuesOf(series, day, write) {
  return series.map((one) => `${one.label} ${write(one.values[day])}`).join(", ");
}

function tableOf({ dates, series, unit, write }) {
  const head = element("tr", {}, element("th", { scope: "col" }, `Day (${unit})`),
    ...series.map((one) => element("th", { scope: "col", class: "number" }, one.label)));
  return [element("thead", {}, head), element("tbody", {}, ...dates.map((date, day) => element("tr", {},
    element("th", { scope: "row" }, date), ...series.map((one) => element("td", { class: "number" }, write(one.values[day]))))))];
}

function niceTop(value) {
  if (!(value > 0)) return 1;
  const step = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].map((times) => times * step).find((top) => top >= value);
}

// One row per line: a name, a value, a bar of parts in per cent of its length, and the numbers in words.
// lines: [{label, value, parts: [[kind, from, to in per cent]], more}]
export function showMeters(list, lines, { kind, empty }) {
  const bars = (parts) => drawn("svg", { "aria-hidden": "true" }, ...parts.map(([colour, from, to]) =>
    drawn("rect", { class: colour, x: `${from}%`, width: `${Math.max(to - from, 0)}%`, height: "100%" })));
  fill(list, ...lines.map(({ label, value, parts, more }) => element("li", { class: kind },
    element("div", { class: "top" }, element("span", { class: "who", title: label }, label), element("span", { class: "value" }, value)),
    bars(parts), element("p", { class: "more" }, more))));
  if (!lines.length) fill(list, element("li", { class: "soft" }, empty));
}
