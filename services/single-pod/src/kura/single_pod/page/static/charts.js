// Charts as SVG, each with a legend and the same numbers as a table for those who do not see it.

const SVG = "http://www.w3.org/2000/svg";

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function drawn(name, attributes = {}, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

export function shortNumber(value) {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return new Intl.NumberFormat("en", { maximumFractionDigits: digits }).format(value);
}

function niceTop(value) {
  if (!(value > 0)) return 1;
  const step = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((n) => n * step).find((top) => top >= value);
}

export function kindOf(index, label) {
  return label === "Others" || label === "Other" ? "rest" : `s${index % 6}`;
}

function legend(entries) {
  return element("ul", { class: "legend" }, ...entries.map(([kind, label]) =>
    element("li", {}, element("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), label)));
}

function asTable(heads, rows) {
  const numbers = (cell, index) => element("td", index ? { class: "number" } : {}, cell);
  return element("details", {}, element("summary", {}, "The same as a table"),
    element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Numbers of the chart" },
      element("table", {},
        element("thead", {}, element("tr", {}, ...heads.map((head, index) =>
          element("th", { scope: "col", ...(index ? { class: "number" } : {}) }, head)))),
        element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map(numbers)))))));
}

// dates: ["2026-11-01", …]; series: [{label, values: [number per date]}]; unit in words.
export function stackedBars(figure, { title, dates, series, unit }) {
  figure.replaceChildren();
  const totals = dates.map((_, day) => series.reduce((sum, one) => sum + Math.max(one.values[day], 0), 0));
  if (!totals.some((total) => total > 0)) {
    figure.append(element("p", { class: "empty" }, "No data in these days."));
    return;
  }
  const [width, height, left, bottom, above] = [900, 280, 58, 26, 10];
  const top = niceTop(Math.max(...totals));
  const y = (value) => above + (height - above - bottom) * (1 - value / top);
  const slot = (width - left) / dates.length;
  const picture = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  for (const part of [0, 0.5, 1]) {
    picture.append(drawn("line", { class: "axis", x1: left, x2: width, y1: y(top * part), y2: y(top * part) }));
    picture.append(drawn("text", { class: "tick", x: left - 8, y: y(top * part) + 4, "text-anchor": "end" }, shortNumber(top * part)));
  }
  const every = Math.ceil(dates.length / 10);
  dates.forEach((date, day) => {
    if (day % every === 0) {
      picture.append(drawn("text", { class: "tick", x: left + slot * (day + 0.5), y: height - 6, "text-anchor": "middle" }, date.slice(5)));
    }
    let level = 0;
    series.forEach((one, index) => {
      const value = Math.max(one.values[day], 0);
      if (!value) return;
      const bar = drawn("rect", {
        class: kindOf(index, one.label), x: left + slot * day + slot * 0.12, width: slot * 0.76,
        y: y(level + value), height: Math.max(y(level) - y(level + value), 0.5),
      });
      bar.append(drawn("title", {}, `${date} ${one.label}: ${shortNumber(value)} ${unit}`));
      picture.append(bar);
      level += value;
    });
  });
  figure.append(
    picture,
    legend(series.map((one, index) => [kindOf(index, one.label), one.label])),
    asTable([`Date (${unit})`, ...series.map((one) => one.label)],
      dates.map((date, day) => [date, ...series.map((one) => shortNumber(one.values[day]))])),
  );
}

// rows: [{label, used, requested, offered}]
export function capacityBars(figure, { title, rows, unit }) {
  figure.replaceChildren();
  if (!rows.length) {
    figure.append(element("p", { class: "empty" }, "No data yet."));
    return;
  }
  const [width, row, left] = [900, 46, 230];
  const height = rows.length * row + 6;
  const most = Math.max(...rows.map((one) => Math.max(one.offered, one.used, one.requested))) || 1;
  const x = (value) => (width - left - 70) * (value / most);
  const picture = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  rows.forEach((one, index) => {
    const at = index * row + 6;
    const name = one.label.length > 30 ? `${one.label.slice(0, 29)}…` : one.label;
    picture.append(drawn("text", { class: "tick", x: left - 10, y: at + 21, "text-anchor": "end" }, name));
    picture.append(drawn("rect", { class: "offered", x: left, y: at, width: x(one.offered), height: 32, rx: 4 }));
    picture.append(drawn("rect", { class: "s4", x: left, y: at + 6, width: x(one.requested), height: 8, rx: 2 }));
    picture.append(drawn("rect", { class: "s0", x: left, y: at + 18, width: x(one.used), height: 8, rx: 2 }));
    const share = one.offered > 0 ? Math.round((one.used / one.offered) * 100) : 0;
    picture.append(drawn("text", { class: "tick", x: left + x(one.offered) + 8, y: at + 21 }, `${share} %`));
  });
  figure.append(
    picture,
    legend([["s0", "used"], ["s4", "requested"], ["offered", "offered"]]),
    asTable([`Node (${unit})`, "used", "requested", "offered"],
      rows.map((one) => [one.label, ...[one.used, one.requested, one.offered].map(shortNumber)])),
  );
}
