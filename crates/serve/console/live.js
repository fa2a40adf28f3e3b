// What the server counts, asked every second while somebody looks, and what it comes to over time.
// The past that charts show is this page's own: five minutes of it.

import { ask } from './ask.js';

const EVERY = 1_000;
const LENGTH = 300;

export const history = [];
const listeners = new Set();
let last = null;
export let trouble = null;

// Calls `listener` with each new point until the returned function is called.
export function watch(listener) {
  listeners.add(listener);
  if (history.length > 0) listener(history.at(-1));
  return () => listeners.delete(listener);
}

export async function start() {
  for (;;) {
    if (!document.hidden) await look();
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
}

async function look() {
  try {
    const now = await ask('/v1/console/now');
    // Another tab's, or a cached one: there is nothing new in it.
    const at = performance.now() / 1_000;
    const point = { at, wall: now.at ? Date.parse(now.at) : Date.now(), now, ...derive(last, now, at) };
    last = { at, now };
    trouble = null;
    history.push(point);
    if (history.length > LENGTH) history.shift();
    for (const listener of [...listeners]) listener(point);
  } catch (error) {
    trouble = error.message || 'no answer';
    last = null;
    for (const listener of [...listeners]) listener(history.at(-1) ?? null);
  }
}

// What changed between two looks, by the second.
function derive(before, now, at) {
  const span = before ? at - before.at : null;
  const per = (late, early) => span && early !== undefined && late >= early ? (late - early) / span : null;
  const of = (object, path) => path.reduce((held, key) => held?.[key], object);
  const rates = (path, number) => Object.fromEntries(Object.entries(of(now, path) ?? {}).map(([name, held]) => {
    const was = of(before?.now, [...path, name]);
    return [name, per(number(held), was === undefined ? undefined : number(was))];
  }));
  const calls = (held) => Object.values(held.calls).reduce((sum, n) => sum + n, 0);
  return {
    read: rates(['live', 'sources'], (source) => source.outcomes.read ?? 0),
    applied: rates(['live', 'views'], (view) => view.applied),
    asked: rates(['serving', 'lookups'], calls),
    failed: rates(['serving', 'lookups'], (held) => calls(held) - (held.calls.OK ?? 0)),
    latency: latency(of(before?.now, ['serving']), now.serving),
  };
}

// The median and the 99th percentile of the lookups since the last look, in seconds.
function latency(before, now) {
  if (!now || !before) return { p50: null, p99: null };
  const classes = new Array(now.class_micros.length + 1).fill(0);
  for (const [name, held] of Object.entries(now.lookups)) {
    held.classes.forEach((n, place) => { classes[place] += n - (before.lookups[name]?.classes[place] ?? 0); });
  }
  return { p50: quantile(classes, now.class_micros, 0.5), p99: quantile(classes, now.class_micros, 0.99) };
}

function quantile(classes, bounds, part) {
  const all = classes.reduce((sum, n) => sum + n, 0);
  if (all <= 0) return null;
  let before = 0;
  for (let place = 0; place < classes.length; place += 1) {
    if (before + classes[place] >= all * part) {
      const low = place === 0 ? 0 : bounds[place - 1];
      const high = bounds[place] ?? low;
      return (low + (high - low) * ((all * part - before) / classes[place])) / 1e6;
    }
    before += classes[place];
  }
  return null;
}
