// Making and replacing elements. Every text from data becomes a text node, never HTML.

const SVG = "http://www.w3.org/2000/svg";

export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// Replaces what `parent` holds, unless it is the same already. What had the focus has it again (by `data-key`).
export function fill(parent, ...children) {
  const same = parent.childNodes.length === children.length
    && children.every((child, index) => child.isEqualNode(parent.childNodes[index]));
  if (same) return false;
  const focused = parent.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  parent.replaceChildren(...children);
  if (focused !== undefined) parent.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  return true;
}

// Changes a text only when it differs, so that screen readers announce changes alone.
export function tell(target, text) {
  if (target.textContent !== text) target.textContent = text;
}
