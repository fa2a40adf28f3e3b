// Numbers, spans and instants for people.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

export const count = (n) => n === null || n === undefined ? '–' : whole.format(n);

export function rate(x) {
  if (x === null || x === undefined) return '–';
  if (x === 0) return '0';
  return x < 10 ? x.toFixed(1) : x < 10_000 ? whole.format(x) : short.format(x);
}

export const share = (part, all) => all ? percent(part / all) : '–';

function percent(x) {
  if (x === 0) return '0 %';
  return x < 0.001 ? '< 0.1 %' : `${(x * 100).toFixed(x < 0.1 ? 1 : 0)} %`;
}

// A number of some feature: short, but no digit that matters is lost.
export function number(x) {
  if (!Number.isFinite(x)) return String(x);
  if (Number.isInteger(x) && Math.abs(x) < 1e12) return whole.format(x);
  const size = Math.abs(x);
  return size >= 1e9 || size < 1e-3 ? x.toExponential(2) : String(Number(x.toPrecision(4)));
}

export function seconds(s) {
  if (s === null || s === undefined || Number.isNaN(s)) return '–';
  if (s === 0) return '0 s';
  const size = Math.abs(s);
  if (size < 1e-3) return `${Math.round(s * 1e6)} µs`;
  if (size < 1) return `${(s * 1e3).toFixed(size < 0.01 ? 1 : 0)} ms`;
  if (size < 120) return `${s.toFixed(size < 10 ? 1 : 0)} s`;
  if (size < 7_200) return `${Math.round(s / 60)} min`;
  if (size < 172_800) return `${Math.round(s / 3_600)} h`;
  return `${Math.round(s / 86_400)} d`;
}

export const bytes = (n) => n < 1024 ? `${n} B` : n < 1 << 20 ? `${(n / 1024).toFixed(1)} KiB`
  : n < 1 << 30 ? `${(n / (1 << 20)).toFixed(1)} MiB` : `${(n / (1 << 30)).toFixed(1)} GiB`;

export const instant = (text) => text ? text.replace('T', ' ').replace(/(\.\d{3})\d+/, '$1').replace(/Z$/, ' UTC') : '–';

// A value of an answer, whatever it is.
export function value(v) {
  if (v === null || v === undefined) return '–';
  if (typeof v === 'bigint') return v.toString();
  if (typeof v === 'number') return String(v);
  if (typeof v === 'string') return v;
  if (Array.isArray(v)) {
    return v.length === 0 ? '[]' : v.every((one) => one !== null && typeof one === 'object' && 'key' in one)
      ? `{ ${v.map((one) => `${value(one.key)}: ${value(one.value)}`).join(', ')} }`
      : `[ ${v.map(value).join(', ')} ]`;
  }
  return JSON.stringify(v, (_, one) => typeof one === 'bigint' ? one.toString() : one);
}

export const KINDS = {
  source: 'source', entity: 'entity', view: 'feature view', feature: 'feature', service: 'feature service',
};

// Statuses and completeness, as good, middling or bad.
export const mood = (word) => ({
  PRESENT: 'good', COMPLETE: 'good', OK: 'good', NULL: 'mid', NOT_FOUND: 'mid', WARMING: 'mid', APPROXIMATE: 'mid',
}[word] ?? 'bad');

export const low = (word) => word.toLowerCase().replaceAll('_', ' ');
