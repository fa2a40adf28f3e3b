// Keys for those who leave the mouse alone, and the switch between light and dark.

import { h } from './dom.js';

const GO = { o: '#/', c: '#/catalogue', e: '#/entity', d: '#/letters', p: '#/plan' };

const HELP = [
  ['/', 'search'],
  ['↓ ↑ or j k', 'the next, the one before'],
  ['Enter', 'open it'],
  ['g o', 'overview'], ['g c', 'catalogue'], ['g e', 'entity'], ['g d', 'dead letters'], ['g p', 'plan'],
  ['t', 'light or dark'],
  ['Esc', 'leave a field or a window'],
  ['?', 'these keys'],
];

let going = false;

export function start() {
  theme(localStorage.getItem('tiderace-theme'));
  document.getElementById('theme').addEventListener('click', turn);
  document.getElementById('help').addEventListener('click', help);
  addEventListener('keydown', press);
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  const typing = event.target.closest?.('input, textarea, select');
  const { key } = event;
  if (key === 'Escape') { typing?.blur(); return; }
  if (typing) {
    if (typing.id !== 'search') return;
    if (key === 'ArrowDown') step(event, 1);
    if (key === 'Enter') document.querySelector('main .item')?.click();
    return;
  }
  const went = going;
  going = key === 'g';
  if (went && GO[key]) { location.hash = GO[key]; return; }
  if (key === '/') { event.preventDefault(); document.getElementById('search').focus(); }
  else if (key === '?') help();
  else if (key === 't') turn();
  else if (key === 'j' || key === 'ArrowDown') step(event, 1);
  else if (key === 'k' || key === 'ArrowUp') step(event, -1);
}

// Moves the focus along what the page lists, where it lists something.
function step(event, by) {
  const items = [...document.querySelectorAll('main .item')];
  const at = items.indexOf(document.activeElement);
  if (items.length === 0 || event.key.startsWith('Arrow') && at < 0 && event.target.id !== 'search') return;
  event.preventDefault();
  if (at === 0 && by < 0) document.getElementById('search').focus();
  else items[Math.min(items.length - 1, Math.max(0, at + by))].focus();
}

function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
}

function turn() {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  const now = document.documentElement.dataset.theme ?? dark;
  const next = now === 'dark' ? 'light' : 'dark';
  localStorage.setItem('tiderace-theme', next);
  theme(next);
}

function help() {
  const dialog = document.getElementById('keys');
  dialog.replaceChildren(h('h2', { id: 'keys-title' }, 'Keys'),
    h('dl', { class: 'help' }, HELP.map(([key, what]) => h('div', null, h('dt', null, key.split(' ').map((one) =>
      one === 'or' ? ' or ' : h('kbd', null, one))), h('dd', null, what)))),
    h('button', { type: 'button', class: 'primary', onclick: () => dialog.close() }, 'Close'));
  dialog.showModal();
}
