// Where features come from and go to: sources, views, services, from left to right.

import { h, svg } from './dom.js';

const ROW = 34;
const BOX = 26;
const MOST = 60;

// What is connected with one definition; everything without one.
export function lineage(project, about) {
  const through = (view) => !about || about.kind === 'view' && view.name === about.name
    || about.kind === 'source' && view.source === about.name
    || about.kind === 'entity' && view.entity === about.name
    || about.kind === 'service' && project.services.some((service) => service.name === about.name
      && service.features.some((feature) => feature.view === view.name));
  const views = project.views.filter(through);
  const named = new Set(views.map((view) => view.name));
  const sources = project.sources.filter((source) => views.some((view) => view.source === source.name)
    || !about || about.kind === 'source' && about.name === source.name);
  const uses = (service, view) => service.features.some((feature) => feature.view === view);
  const services = project.services.filter((service) => about?.kind === 'service' ? service.name === about.name
    : service.features.some((feature) => named.has(feature.view)));
  const columns = [
    sources.map((one) => ({ kind: 'source', name: one.name })),
    views.map((one) => ({ kind: 'view', name: one.name })),
    services.map((one) => ({ kind: 'service', name: one.name })),
  ];
  if (columns.some((column) => column.length > MOST)) {
    return h('p', { class: 'quiet' }, `${views.length} views are too many for one picture: open one of them.`);
  }
  const tall = Math.max(...columns.map((column) => column.length), 1) * ROW + 30;
  const width = 900;
  const box = 240;
  const at = new Map();
  columns.forEach((column, place) => column.forEach((node, index) => {
    const top = 30 + (index + 0.5) * ((tall - 30) / column.length);
    at.set(`${node.kind} ${node.name}`, { x: place * (width - box) / 2, y: top, node });
  }));
  const edge = (from, to) => {
    const [a, b] = [at.get(from), at.get(to)];
    if (!a || !b) return null;
    const [x1, x2] = [a.x + box, b.x];
    const mid = (x1 + x2) / 2;
    return svg('path', { class: 'edge', d: `M${x1} ${a.y}C${mid} ${a.y} ${mid} ${b.y} ${x2} ${b.y}` });
  };
  const edges = views.flatMap((view) => [
    edge(`source ${view.source}`, `view ${view.name}`),
    ...services.filter((service) => uses(service, view.name)).map((service) => edge(`view ${view.name}`, `service ${service.name}`)),
  ]);
  const heads = ['sources', 'feature views', 'feature services'].map((text, place) =>
    svg('text', { class: 'head', x: place * (width - box) / 2, y: 14 }, text));
  const boxes = [...at.values()].map(({ x, y, node }) => svg('a', {
    href: `#/${node.kind}/${encodeURIComponent(node.name)}`,
    class: `node ${node.kind} ${about?.kind === node.kind && about.name === node.name ? 'own' : ''}`,
  }, svg('title', null, node.name), svg('rect', { x, y: y - BOX / 2, width: box, height: BOX, rx: 5 }),
    svg('text', { x: x + 10, y: y + 4 }, node.name.length > 30 ? `${node.name.slice(0, 29)}…` : node.name)));
  return h('div', { class: 'wide' }, svg('svg', { class: 'lineage', role: 'group', 'aria-label': 'Lineage', width, height: tall,
    viewBox: `0 0 ${width} ${tall}` }, heads, edges, boxes));
}
