// parts.js
//		Pieces that several pages are made of.

import { h, icon } from './h.js';
import { copy } from './dialog.js';
import { ago, bytes, duration, number, pretty, size, time, visible } from './format.js';
import { next, Raw } from './json.js';

/** A state has a word and a shape beside its colour. */
export function state(name) {
	return h(`span.badge.tone-${name}`, {}, icon(`state-${name}`), name);
}

/** @param {string} tone "good", "warn", "bad", "plain" */
export function badge(text, tone = 'plain', picture = '') {
	return h(`span.badge.${tone}`, {}, picture ? icon(picture) : null, text);
}

export function severity(name) {
	const looks = { ok: ['good', 'check'], information: ['plain', 'info'], warning: ['warn', 'alert'], critical: ['bad', 'alert'] };
	const [tone, picture] = looks[name] || looks.information;
	return badge(name, tone, picture);
}

function queueHref(name) {
	return `#/queues/${encodeURIComponent(name)}`;
}

export function queueLink(name) {
	return h('a.name', { href: queueHref(name) }, h('bdi', {}, visible(name)));
}

export function taskLink(id) {
	return h('a.id', { href: `#/tasks/${id}` }, id);
}

/** A time that a person compares with now; the exact one is in its title. */
export function when(text) {
	return text ? h('time', { datetime: text, title: time(text, true) }, ago(text)) : '–';
}

/** @param {[any, any][]} rows name and value; without a value, a row is left out */
export function facts(rows) {
	return h('dl.facts', {}, rows.filter(([, value]) => value !== null && value !== undefined && value !== '')
		.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));
}

export function card(title, ...inside) {
	return h('section.card', { key: `card-${title}` }, h('h2', {}, title), inside);
}

export function nothing(title, text, picture = 'check') {
	return h('div.nothing', {}, icon(picture), h('p', {}, h('strong', {}, title)), text ? h('p', {}, text) : null);
}

/** A number with a name and what belongs to it. */
export function tile(name, value, note, extra, tone = '') {
	return h('div.tile.card', { key: `tile-${name}`, class: tone }, h('p.label', {}, name), h('p.value', {}, value),
		h('p.note', {}, note), extra);
}

/** How long the first due task has waited. */
export function oldest(seconds) {
	return tile('Oldest due', seconds ? duration(seconds) : '–', seconds > 60 ? 'longer than a minute' : 'tasks start in time',
		null, seconds > 60 ? 'warn' : '');
}

/** @param {() => void} act @param {{class?: string, icon?: string, label?: string}} [how] */
export function button(text, act, how = {}) {
	return h('button', { type: 'button', class: how.class || null, 'aria-label': how.label || null, on: { click: act } },
		how.icon ? icon(how.icon) : null, text);
}

/** @param {[string, any][]} options @param {(value: any) => void} chosen */
export function segments(label, options, value, chosen) {
	return h('div.segments', { role: 'group', 'aria-label': label }, options.map(([text, one]) => h('button', {
		type: 'button', 'aria-pressed': String(one === value), on: { click: () => chosen(one) } }, text)));
}

/** A field of a form. @param {Record<string, any>} [props] of its input */
export function field(label, name, value, props = {}) {
	return h('label.field', { key: `field-${name}` }, h('span', {}, label),
		h('input', { name, value: value ?? '', autocomplete: 'off', spellcheck: 'false', ...props }));
}

const limit = 20000;
const whole = new Set();

/**
 * Foreign text: only ever text, the beginning of it if it is long, and a button to copy all.
 * @param {string} label @param {string | Raw} content @param {() => void} redraw
 * @param {{id: string, json?: boolean}} how
 */
export function foreign(label, content, redraw, how) {
	const original = content instanceof Raw ? content.text : content;
	const full = content instanceof Raw || how.json ? pretty(original) : original;
	const cut = full.length > limit && !whole.has(how.id);
	const shown = cut ? full.slice(0, limit) : full;
	return h('div.foreign', { key: `foreign-${how.id}` },
		h('div.row', {}, h('h3', {}, label), h('span.note', {}, bytes(size(original))),
			button('Copy', () => copy(original, label), { class: 'quiet small', icon: 'copy', label: `Copy ${label.toLowerCase()}` })),
		h('pre', { tabindex: '0', role: 'region', 'aria-label': label },
			h('code', { dir: 'ltr' }, content instanceof Raw || how.json ? painted(shown) : visible(shown))),
		cut ? h('p', {}, h('span.note', {}, `The first ${number(limit)} characters. `),
			button('Show all', () => { whole.add(how.id); redraw(); }, { class: 'quiet small' })) : null);
}

/* JSON with its parts in colours; a text that was cut off ends plain. */
function painted(text) {
	const at = { i: 0 };
	const pieces = [];
	if (text.length > limit)
		return visible(text);
	try {
		while (at.i < text.length) {
			const from = at.i;
			const token = next(text, at);
			const blank = text.slice(from, at.i - token.length);
			const rest = text.slice(at.i, at.i + 1) === ':' && token[0] === '"';
			const tone = rest ? 'name' : token[0] === '"' ? 'string' : '{}[],:'.includes(token) ? '' : 'number';
			pieces.push(blank, tone ? h(`span.json-${tone}`, {}, visible(token)) : token);
		}
	}
	catch (error) {
		pieces.push(visible(text.slice(pieces.reduce((n, piece) => n + (piece.textContent ?? piece).length, 0))));
	}
	return pieces;
}

/** The checks that need a look. */
export function wrong(status) {
	return (status?.checks || []).filter(({ severity: how }) => how === 'warning' || how === 'critical');
}

/** The checks of status() that are given, each with what to do. */
export function checks(list) {
	return h('ul.checks', {}, list.map((check) => h('li', { key: check.check },
		severity(check.severity),
		h('div', {}, h('p', {}, h('strong', {}, check.check), ' ', visible(check.detail || '')),
			check.hint ? h('p.hint', {}, visible(check.hint)) : null))));
}

/** How long the first due task has waited, with a warning from a minute on. */
export function waiting(seconds) {
	return seconds ? h('span', { class: seconds > 900 ? 'bad-text' : seconds > 60 ? 'warn-text' : '' }, duration(seconds)) : '–';
}
