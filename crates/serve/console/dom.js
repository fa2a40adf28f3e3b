// Elements out of tags, properties and children. Text is only ever text: nothing here, and nothing
// elsewhere, parses a string as HTML, and the page's policy refuses it.

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'value') element.value = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => child instanceof Node ? child : String(child)));
  return element;
}

export const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);

export const svg = (tag, properties, ...children) =>
  fill(document.createElementNS('http://www.w3.org/2000/svg', tag), properties, children);

// A table of rows of cells; a cell is text, an element, or { cell, class }.
export function table(heads, rows, properties) {
  const cell = (tag, of) => of !== null && typeof of === 'object' && !(of instanceof Node) && !Array.isArray(of)
    ? h(tag, { class: of.class, title: of.title }, of.cell) : h(tag, null, of);
  return h('div', { class: 'wide' },
    h('table', properties,
      h('thead', null, h('tr', null, heads.map((head) => cell('th', head)))),
      h('tbody', null, rows.map((row) => row instanceof Node ? row : h('tr', null, row.map((one) => cell('td', one)))))));
}

// Puts children in the place of what is there, unless they say the same: then what has the focus keeps it.
export function show(place, ...children) {
  const fresh = h('div', null, ...children);
  if (place.innerHTML !== fresh.innerHTML) place.replaceChildren(...fresh.childNodes);
}

export const badge = (text, kind) => h('span', { class: `badge ${kind ?? ''}` }, text);
