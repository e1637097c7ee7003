// Elements from plain values; text is always text, never markup.

const SVG = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, handle] of Object.entries(value)) element.addEventListener(event, handle);
    else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const h = (tag, attributes, ...children) => filled(document.createElement(tag), attributes, children);

export const svg = (tag, attributes, ...children) => filled(document.createElementNS(SVG, tag), attributes, children);

export const byId = (id) => document.getElementById(id);

// Says something to a screen reader.
export function announce(text) {
  byId("live").textContent = text;
}

// A modal dialog with a title; it is gone once it is closed, and the focus is back where it was.
export function dialog(title, attributes, ...children) {
  const heading = h("h2", { id: "dialog-title" }, title);
  const box = h("dialog", { "aria-labelledby": "dialog-title", ...attributes }, heading, ...children);
  box.addEventListener("close", () => box.remove());
  box.addEventListener("click", (event) => event.target === box && box.close());
  document.body.append(box);
  box.showModal();
  return box;
}

// What went wrong, and what to do about it.
export function problem(error) {
  const step = error.nextStep;
  const command = step && /^run: (.*)$/s.exec(step);
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("p", {}, error.reason ?? String(error)),
    step && h("p", {}, command ? ["Run: ", h("code", {}, command[1])] : step),
  );
}

export const notice = (text) => h("p", { class: "notice" }, text);

export async function copied(button, text) {
  await navigator.clipboard.writeText(text);
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
}
