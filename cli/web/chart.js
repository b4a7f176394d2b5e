// chart.js
//		Charts in SVG: lines, areas or bars over time, and sparklines.
//
// A chart has a title and a description in words, and a table for who cannot see it.  Its colours
// come from app.css.  It draws itself at the width that it has.

import { h, icon } from './h.js';
import { clock } from './format.js';
import { settings } from './settings.js';

/**
 * @typedef {Object} Series
 * @property {string} name
 * @property {string} tone class of its colour: "pending", "dead", …
 * @property {(number|null)[]} values oldest first; null: not known
 *
 * @typedef {Object} Options
 * @property {string} id
 * @property {string} title
 * @property {Series[]} series
 * @property {number} end seconds since 1970 of the last value
 * @property {number} step seconds from one value to the next
 * @property {(value: number | null) => string} unit
 * @property {number} [scale] what values are multiplied with to be shown
 * @property {boolean} [seconds] values are lengths of time
 * @property {boolean} [bars]
 * @property {string} [note]
 */

const margin = { top: 8, right: 10, bottom: 22 };
const letter = 6.4;
const height = 168;

/* Of which charts the table is shown. */
const tables = new Set();

/* Draws again what has another width; what has none is not on the page any more. */
const observer = new ResizeObserver((entries) => {
	for (const { target } of entries)
		if (target.isConnected)
			/** @type {any} */ (target).patchDraw();
		else
			observer.unobserve(target);
});

/** @param {Options} options @param {() => void} redraw of the page, when the table is asked for */
export function chart(options, redraw) {
	const shown = tables.has(options.id);
	const toggle = () => {
		if (!tables.delete(options.id))
			tables.add(options.id);
		redraw();
	};
	return h('figure.chart.card', { key: `chart-${options.id}` },
		h('figcaption', {},
			h('h2', {}, options.title),
			h('button.quiet.small', { type: 'button', 'aria-pressed': String(shown), on: { click: toggle },
				'aria-label': `${options.title} as a table` }, icon('table'), 'Table')),
		legend(options),
		shown ? numbers(options) : plot(options),
		options.note ? h('p.note', {}, options.note) : null);
}

function plot(options) {
	const element = h('div.plot', {
		key: 'plot',
		data: options,
		draw() { draw(this); },
		on: { pointermove: point, pointerleave: leave },
	});
	element.patchData = options;
	observer.observe(element);
	return element;
}

function legend(options) {
	return h('ul.legend', {}, options.series.map((series) => h('li', {},
		h(`span.swatch.tone-${series.tone}`, {}),
		h('span', {}, series.name),
		h('strong', {}, options.unit(last(series.values))))));
}

function last(values) {
	for (let i = values.length - 1; i >= 0; i--)
		if (values[i] !== null && values[i] !== undefined)
			return values[i];
	return null;
}

/* Of minutes and hours. */
const roundSeconds = [15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400];

/** Steps that a person reads: 1, 2 or 5 times a power of ten, or parts of hours. */
function ticks(max, wanted, { scale = 1, seconds = false }) {
	if (!(max > 0))
		return [0, 1 / scale];
	const rough = (max * scale) / wanted;
	const power = 10 ** Math.floor(Math.log10(rough));
	const decimal = [1, 2, 5, 10].map((n) => n * power);
	const step = (seconds && rough > 10 ? roundSeconds : decimal).find((n) => n >= rough) || rough;
	return Array.from({ length: Math.ceil((max * scale) / step - 1e-9) + 1 }, (_, i) => Number((i * step).toPrecision(6)) / scale);
}

function greatest(options) {
	let most = 0;
	for (const { values } of options.series)
		for (const value of values)
			most = Math.max(most, value || 0);
	return most;
}

/* Times of the day that are round, whatever zone they are shown in. */
function times(options, n, wanted) {
	const span = options.step * (n - 1);
	const step = [60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600].find((s) => span / s <= wanted) || 43200;
	const shift = settings.utc ? 0 : new Date(options.end * 1000).getTimezoneOffset() * 60;
	const first = options.end - span;
	const marks = [];
	for (let t = Math.ceil((first - shift) / step) * step + shift; t <= options.end; t += step)
		marks.push({ t, share: span > 0 ? (t - first) / span : 1 });
	return marks;
}

function draw(element) {
	/** @type {Options} */
	const options = element.patchData;
	const width = element.clientWidth;
	const n = Math.max(...options.series.map((series) => series.values.length), 2);
	if (width === 0)
		return;
	const levels = ticks(greatest(options), 3, options);
	const left = 14 + letter * Math.max(...levels.map((level) => options.unit(level).length));
	const inner = { w: width - left - margin.right, h: height - margin.top - margin.bottom };
	const top = levels[levels.length - 1];
	const x = (i) => left + inner.w * (i / (n - 1));
	const y = (value) => margin.top + inner.h * (1 - value / top);
	const base = y(0);
	element.patchScale = { n, x, y };
	element.replaceChildren(
		h('svg', { viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', 'aria-labelledby': `${options.id}-t ${options.id}-d` },
			h('title', { id: `${options.id}-t` }, options.title),
			h('desc', { id: `${options.id}-d` }, describe(options)),
			h('g', { class: 'grid', 'aria-hidden': 'true' }, levels.map((level) => [
				h('line', { x1: left, x2: width - margin.right, y1: round(y(level)), y2: round(y(level)) }),
				h('text', { x: left - 8, y: y(level) + 4, 'text-anchor': 'end' }, options.unit(level)),
			])),
			h('g', { class: 'times', 'aria-hidden': 'true' }, times(options, n, width > 480 ? 8 : 4)
				.map(({ t, share }) => ({ t, at: left + inner.w * share }))
				.filter(({ at }) => at > left + 8 && at < width - margin.right - 12)
				.map(({ t, at }) => h('text', { x: at, y: height - 4, 'text-anchor': 'middle' }, clock(t)))),
			options.series.map((series) => (options.bars
				? bars(series, x, y, base, inner.w / (n - 1))
				: curve(series, x, y, base))),
			h('g', { class: 'hover', 'aria-hidden': 'true' })),
		h('div.tip', { hidden: true, 'aria-hidden': 'true' }));
	if (element.patchHover !== undefined)
		hover(element);
}

function round(y) {
	return Math.round(y) + 0.5;
}

function curve(series, x, y, base) {
	let line = '';
	let area = '';
	let begun = -1;
	series.values.forEach((value, i) => {
		if (value === null || value === undefined) {
			begun = -1;
			return;
		}
		const at = `${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
		// One that stands alone is a dot.
		line += begun < 0 ? `M${at}h0` : `L${at}`;
		area += begun < 0 ? `M${x(i).toFixed(1)} ${base}L${at}` : `L${at}`;
		begun = begun < 0 ? i : begun;
		const following = series.values[i + 1];
		if (following === null || following === undefined)
			area += `L${x(i).toFixed(1)} ${base}Z`;
	});
	return h('g', { class: `series tone-${series.tone}` }, h('path', { class: 'area', d: area }), h('path', { class: 'line', d: line }));
}

function bars(series, x, y, base, room) {
	const w = Math.max(1, Math.min(room * 0.7, 14));
	let d = '';
	series.values.forEach((value, i) => {
		if (value)
			d += `M${(x(i) - w / 2).toFixed(1)} ${base}V${Math.min(y(value), base - 1).toFixed(1)}h${w.toFixed(1)}V${base}Z`;
	});
	return h('g', { class: `series tone-${series.tone}` }, h('path', { class: 'bar', d }));
}

function point(event) {
	const element = event.currentTarget;
	if (!element.patchScale)
		return;
	const { n, x } = element.patchScale;
	const at = event.clientX - element.getBoundingClientRect().left;
	const share = (at - x(0)) / (x(n - 1) - x(0));
	element.patchHover = Math.max(0, Math.min(n - 1, Math.round(share * (n - 1))));
	hover(element);
}

function leave(event) {
	event.currentTarget.patchHover = undefined;
	event.currentTarget.querySelector('.hover').replaceChildren();
	event.currentTarget.querySelector('.tip').hidden = true;
}

/* A line at the place that is pointed at, and what the values are there. */
function hover(element) {
	/** @type {Options} */
	const options = element.patchData;
	const { n, x, y } = element.patchScale;
	const i = Math.min(element.patchHover, n - 1);
	const tip = element.querySelector('.tip');
	element.querySelector('.hover').replaceChildren(
		h('line', { x1: x(i), x2: x(i), y1: margin.top, y2: height - margin.bottom }),
		...options.series.filter((series) => typeof series.values[i] === 'number')
			.map((series) => h('circle', { class: `tone-${series.tone}`, cx: x(i), cy: y(series.values[i]), r: 3.5 })));
	tip.replaceChildren(
		h('p', {}, clock(options.end - (n - 1 - i) * options.step, true)),
		...options.series.map((series) => h('p', {}, h(`span.swatch.tone-${series.tone}`, {}), `${series.name} `,
			h('strong', {}, options.unit(series.values[i] ?? null)))));
	tip.hidden = false;
	const right = x(i) + tip.offsetWidth + 20 > element.clientWidth;
	tip.style.transform = `translate(${x(i) + (right ? -tip.offsetWidth - 12 : 12)}px, ${margin.top}px)`;
}

/** What the chart shows, in words. @param {Options} options */
function describe(options) {
	const n = Math.max(...options.series.map((series) => series.values.length));
	const parts = options.series.map((series) => {
		const known = /** @type {number[]} */ (series.values.filter((value) => typeof value === 'number'));
		return known.length === 0 ? `${series.name}: nothing is known`
			: `${series.name}: now ${options.unit(last(known))}, between ${options.unit(Math.min(...known))} and `
				+ options.unit(Math.max(...known));
	});
	return `From ${clock(options.end - (n - 1) * options.step)} to ${clock(options.end)}. ${parts.join('; ')}.`;
}

/* At most 60 rows, the newest first. */
function numbers(options) {
	const n = Math.max(...options.series.map((series) => series.values.length));
	const every = Math.ceil(n / 60);
	const rows = [];
	for (let i = n - 1; i >= 0; i -= every)
		rows.push(i);
	return h('div.scroll', { key: 'table', tabindex: '0', role: 'region', 'aria-label': options.title },
		h('table.plain', {},
			h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Time'),
				options.series.map((series) => h('th.num', { scope: 'col' }, series.name)))),
			h('tbody', {}, rows.map((i) => h('tr', {},
				h('th', { scope: 'row' }, clock(options.end - (n - 1 - i) * options.step, true)),
				options.series.map((series) => h('td.num', {}, options.unit(series.values[i] ?? null))))))));
}

/** A line without axes; the number that it leads to stands beside it. */
export function spark(values, tone) {
	const known = (values || []).filter((value) => typeof value === 'number');
	const most = Math.max(...known, 0);
	if (known.length < 2)
		return h('span.spark', {});
	const n = values.length;
	const x = (i) => (100 * i) / (n - 1);
	const y = (value) => (most === 0 ? 23 : 23 - 21 * (value / most));
	return h('svg', { class: 'spark', viewBox: '0 0 100 24', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
		curve({ name: '', tone, values }, x, y, 24));
}
