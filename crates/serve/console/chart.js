// Lines over the last five minutes, bars of a distribution.

import { h, svg } from './dom.js';
import { count, low, mood, number, share } from './words.js';

const HEIGHT = 120;
// What is shown at least, and what is kept.
const LEAST = 60;
const KEPT = 300;
const MOST = 6;

// A chart of `series`: { name, points: [[seconds, value or null]] }. `draw` is called with each new point.
export function lines(title, unit, note) {
  const legend = h('ul', { class: 'legend' });
  const place = h('div', { class: 'plot' });
  let shown = [];
  let hover = null;
  let span = LEAST;
  const draw = (series) => {
    shown = series.slice(0, MOST);
    const width = Math.max(place.clientWidth, 120);
    const end = Math.max(0, ...shown.flatMap((one) => one.points.at(-1)?.[0] ?? 0));
    const begin = Math.min(end, ...shown.map((one) => one.points[0]?.[0] ?? end));
    span = Math.min(KEPT, Math.max(LEAST, end - begin));
    const values = shown.flatMap((one) => one.points.map(([, v]) => v).filter((v) => v !== null));
    const top = nice(Math.max(0, ...values));
    const x = (t) => width - (end - t) / span * width;
    const y = (v) => HEIGHT - 4 - v / top * (HEIGHT - 20);
    const grid = [0, 0.5, 1].map((part) => [
      svg('line', { class: 'grid', x1: 0, x2: width, y1: y(top * part), y2: y(top * part) }),
      part === 0 ? null : svg('text', { class: 'tick', x: 2, y: y(top * part) - 3 }, unit(top * part)),
    ]);
    const paths = shown.map((one, place) => svg('path', { class: `line c${place + 1}`, d: path(one.points, x, y) }));
    const cross = hover === null ? null : svg('line', { class: 'cross', x1: hover, x2: hover, y1: 0, y2: HEIGHT });
    const spoken = shown.map((one) => `${one.name} ${unit(one.points.at(-1)?.[1] ?? null)}`).join(', ');
    place.replaceChildren(svg('svg', { role: 'img', 'aria-label': `${title}: ${spoken || 'nothing yet'}`, width, height: HEIGHT,
      viewBox: `0 0 ${width} ${HEIGHT}` }, grid, paths, cross));
    const at = hover === null ? end : end - (width - hover) / width * span;
    legend.replaceChildren(...shown.map((one, place) => h('li', null, h('i', { class: `key c${place + 1}` }),
      one.name, ' ', h('b', null, unit(nearest(one.points, at))))),
      series.length > MOST ? h('li', { class: 'quiet' }, `and ${series.length - MOST} more`) : '');
  };
  place.addEventListener('pointermove', (event) => { hover = event.offsetX; draw(shown); });
  place.addEventListener('pointerleave', () => { hover = null; draw(shown); });
  const element = h('figure', { class: 'chart' }, h('figcaption', null, title, note ? h('small', null, note) : null), place, legend);
  return { element, draw };
}

function path(points, x, y) {
  let pen = 'M';
  let out = '';
  for (const [t, v] of points) {
    if (v === null) { pen = 'M'; continue; }
    out += `${pen}${x(t).toFixed(1)} ${y(v).toFixed(1)}`;
    pen = 'L';
  }
  return out;
}

function nearest(points, at) {
  let found = null;
  for (const [t, v] of points) if (t <= at + 0.5) found = v;
  return found;
}

// The next round number above.
function nice(x) {
  if (x <= 0) return 1;
  const size = 10 ** Math.floor(Math.log10(x));
  return [1, 2, 5, 10].map((step) => step * size).find((step) => step >= x);
}

// A few bars, for the row of a table.
export function spark(bars) {
  const most = Math.max(...bars);
  return svg('svg', { class: 'spark', width: bars.length * 4, height: 18, 'aria-hidden': 'true' },
    bars.map((n, place) => {
      const tall = n === 0 ? 0 : Math.max(1, n / most * 18);
      return svg('rect', { x: place * 4, y: 18 - tall, width: 3, height: tall });
    }));
}

// All that is known of how a feature's values were spread lately.
export function distribution(feature) {
  const { statuses = {}, numbers, top, sampled = 0 } = feature;
  if (sampled === 0) return h('p', { class: 'quiet' }, 'No lookup has asked for it in the last two minutes.');
  const parts = Object.entries(statuses).map(([status, n]) =>
    h('span', { class: `badge ${mood(status)}` }, `${low(status)} ${share(n, sampled)}`));
  const out = [h('p', null, `${count(sampled)} answers sampled in the last two minutes. `, parts)];
  if (numbers) {
    const most = Math.max(...numbers.bars);
    const width = 480;
    const step = width / numbers.bars.length;
    out.push(svg('svg', { class: 'bars', role: 'img', width, height: 90, viewBox: `0 0 ${width} 90`,
      'aria-label': `from ${number(numbers.min)} to ${number(numbers.max)}, median ${number(numbers.p50)}` },
      numbers.bars.map((n, place) => {
        const tall = n === 0 ? 0 : Math.max(1, n / most * 72);
        return svg('rect', { x: place * step, y: 74 - tall, width: step - 1, height: tall });
      }),
      svg('text', { class: 'tick', x: 0, y: 87 }, number(numbers.min)),
      svg('text', { class: 'tick', x: width, y: 87, 'text-anchor': 'end' }, number(numbers.max))));
    const names = [['least', 'min'], ['5 %', 'p05'], ['25 %', 'p25'], ['median', 'p50'], ['75 %', 'p75'], ['95 %', 'p95'],
      ['greatest', 'max'], ['mean', 'mean']];
    out.push(h('dl', { class: 'facts' }, names.map(([name, key]) => h('div', null, h('dt', null, name), h('dd', null, number(numbers[key]))))));
  }
  if (top?.values.length > 0 && (!numbers || top.different <= 12)) {
    const most = top.values[0].count;
    out.push(h('ul', { class: 'top' }, top.values.map((one) => h('li', null,
      h('span', { class: 'name' }, one.value), h('meter', { min: 0, max: most, value: one.count }), h('b', null, count(one.count))))));
    if (top.different > top.values.length) out.push(h('p', { class: 'quiet' }, `${top.different} different values in the sample.`));
  }
  return h('div', { class: 'distribution' }, out);
}
