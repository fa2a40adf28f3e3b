// Calls to the door that this page came from. A token, where one is wanted, is asked for and kept for this
// tab alone.

import { h } from './dom.js';

const NAME = 'tiderace-token';
let asking = null;

export async function ask(path, body) {
  for (;;) {
    const token = sessionStorage.getItem(NAME);
    const headers = { Accept: 'application/json' };
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    const answer = await fetch(path, {
      method: body === undefined ? 'GET' : 'POST', body, headers,
      credentials: 'omit', redirect: 'error', referrerPolicy: 'no-referrer', cache: 'no-store',
    });
    if (answer.status === 401) {
      if (sessionStorage.getItem(NAME) === token) await newToken(token !== null);
      continue;
    }
    const text = await answer.text();
    let json;
    try { json = parse(text); } catch { json = null; }
    if (answer.ok) return json;
    const error = new Error(json?.error?.message ?? (text || answer.statusText));
    error.code = json?.error?.code ?? answer.status;
    throw error;
  }
}

// Whole numbers that a double cannot hold stay what they are.
export function parse(text) {
  return JSON.parse(text, (_, value, context) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? '')
      ? BigInt(context.source) : value);
}

// JSON of text that a person typed for a column of a type: whole numbers are not read, but passed on.
export function typed(text, type) {
  if (type === 'int64') {
    if (!/^-?\d+$/.test(text.trim())) throw new Error(`"${text}" is not a whole number`);
    return BigInt(text.trim()).toString();
  }
  if (type === 'float64') {
    if (text.trim() === '' || !Number.isFinite(Number(text))) throw new Error(`"${text}" is not a number`);
    return JSON.stringify(Number(text));
  }
  if (type === 'bool') {
    if (!/^(true|false)$/.test(text.trim())) throw new Error(`"${text}" is neither true nor false`);
    return text.trim();
  }
  return JSON.stringify(text);
}

// Asks a person for a token, once for all calls that wait.
function newToken(refused) {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById('token');
    const input = h('input', { type: 'password', id: 'token-text', autocomplete: 'off', required: true });
    const done = (event) => {
      event.preventDefault();
      sessionStorage.setItem(NAME, input.value.trim());
      dialog.close();
    };
    dialog.replaceChildren(h('form', { onsubmit: done },
      h('h2', { id: 'token-title' }, 'This server wants a token'),
      refused ? h('p', { class: 'bad', role: 'alert' }, 'The token was not taken.') : null,
      h('p', null, 'It is kept for this tab only, until the tab is closed.'),
      h('label', { for: 'token-text' }, 'Token'), input,
      h('button', { type: 'submit', class: 'primary' }, 'Use it')));
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onclose = () => { asking = null; resolve(); };
    dialog.showModal();
    input.focus();
  });
  return asking;
}
