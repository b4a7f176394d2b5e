// format.js
//		Numbers, times and foreign text as people read them.

import { next, Raw } from './json.js';
import { settings } from './settings.js';

/* One notation for everybody: 1 234 567, and a dot before the fraction. */
const thin = ' ';

/** @param {number | null | undefined} n */
export function number(n) {
	if (n === null || n === undefined)
		return '–';
	const [whole, fraction] = String(n).split('.');
	const grouped = whole.replace(/\B(?=(\d{3})+$)/g, thin);
	return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

/** A number that must be short: 1.2 k, 34 k, 5.6 M. */
export function short(n) {
	if (n === null || n === undefined)
		return '–';
	for (const [unit, size] of /** @type {[string, number][]} */ ([['G', 1e9], ['M', 1e6], ['k', 1e3]]))
		if (n >= size * (size === 1e3 ? 10 : 1))
			return `${trim(n / size)}${thin}${unit}`;
	return number(trim(n));
}

/** Three digits that say something. */
function trim(n) {
	if (n === 0 || Number.isInteger(n))
		return n;
	return Number(n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2));
}

/** How often a second, or more seldom. */
export function rate(perSecond) {
	if (perSecond === null || perSecond === undefined)
		return '–';
	if (perSecond === 0 || perSecond >= 0.1)
		return `${short(perSecond)}/s`;
	return perSecond * 60 >= 0.1 ? `${trim(perSecond * 60)}/min` : `${trim(perSecond * 3600)}/h`;
}

const units = /** @type {[string, number][]} */ ([['d', 86400], ['h', 3600], ['min', 60], ['s', 1]]);

/** A length of time in seconds: 1 h 30 min, 2.5 s, 12 ms. */
export function duration(seconds) {
	if (seconds === null || seconds === undefined)
		return '–';
	if (seconds < 0)
		return `−${duration(-seconds)}`;
	if (seconds < 1)
		return `${trim(seconds * 1000)}${thin}ms`;
	if (seconds < 10)
		return `${trim(seconds)}${thin}s`;
	const at = units.findIndex(([, size]) => seconds >= size);
	const [unit, size] = units[at];
	const big = Math.floor(seconds / size);
	const small = at + 1 < units.length ? Math.floor((seconds % size) / units[at + 1][1]) : 0;
	return `${big}${thin}${unit}` + (small > 0 && big < 10 ? ` ${small}${thin}${units[at + 1][0]}` : '');
}

/** A length of time that may not be given. */
export function lasts(seconds, otherwise) {
	return seconds === null || seconds === undefined ? otherwise : duration(seconds);
}

/** @param {string} time RFC 3339 @param {number} [now] milliseconds */
export function ago(time, now = Date.now()) {
	if (!time)
		return '–';
	if (time.endsWith('infinity'))
		return 'never';
	const seconds = (now - Date.parse(time)) / 1000;
	if (Math.abs(seconds) < 1.5)
		return 'now';
	return seconds > 0 ? `${duration(Math.floor(seconds))} ago` : `in ${duration(Math.floor(-seconds))}`;
}

/** A time with its date, in UTC or local time as the reader has chosen. */
export function time(text, fraction = false) {
	if (!text)
		return '–';
	const t = new Date(text);
	if (Number.isNaN(t.getTime()))
		return text;
	const iso = settings.utc ? t : new Date(t.getTime() - t.getTimezoneOffset() * 60000);
	const [day, clock] = iso.toISOString().split('T');
	return `${day} ${clock.slice(0, fraction ? 12 : 8)}${settings.utc ? ' UTC' : ''}`;
}

/** @param {number} epoch seconds */
export function clock(epoch, seconds = false) {
	return time(new Date(epoch * 1000).toISOString()).slice(11, seconds ? 19 : 16);
}

export function bytes(n) {
	if (n === null || n === undefined)
		return '–';
	if (n < 1000)
		return `${n}${thin}B`;
	return n < 1e6 ? `${trim(n / 1e3)}${thin}kB` : `${trim(n / 1e6)}${thin}MB`;
}

/** 1 task, 2 tasks */
export function count(n, one, many = `${one}s`) {
	return `${number(n)} ${n === 1 ? one : many}`;
}

/** A member of a JSON object. @param {[string, any]} pair */
export function member([name, value]) {
	return `${JSON.stringify(name)}:${JSON.stringify(value)}`;
}

/** How many bytes a text has as UTF-8. */
export function size(text) {
	return new TextEncoder().encode(text).length;
}

/* Controls, and what turns the direction of the text after it around or is not seen at all. */
// eslint-disable-next-line no-control-regex
const invisible = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** Foreign text with what cannot be seen in it written out, as JSON writes it. */
export function visible(text) {
	return String(text).replace(invisible, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** The first so many characters of foreign text, on one line. */
export function start(text, length = 120) {
	const line = visible(String(text).slice(0, length + 1).replace(/\s+/g, ' '));
	return line.length > length ? `${line.slice(0, length)}…` : line;
}

/** JSON laid out on lines; each number, string and name as it came. @param {Raw | string} json */
export function pretty(json) {
	const text = json instanceof Raw ? json.text : json;
	const at = { i: 0 };
	const out = [];
	let indent = '\n';
	let before = '';
	try {
		for (let left = text.trimEnd().length; at.i < left;) {
			const token = next(text, at);
			if (token === '}' || token === ']') {
				indent = indent.slice(0, -2);
				out.push(before === '{' || before === '[' ? token : indent + token);
			}
			else if (token === ',' || token === ':')
				out.push(token === ':' ? ': ' : ',');
			else {
				out.push((before === '' || before === ':' ? '' : indent) + token);
				if (token === '{' || token === '[')
					indent += '  ';
			}
			before = token;
		}
	}
	catch (error) {
		return text;
	}
	return out.join('');
}

/** Bytes in lines of sixteen, as hexadecimal numbers and characters. @param {Uint8Array} data */
export function hex(data, limit = 4096) {
	const lines = [];
	for (let i = 0; i < Math.min(data.length, limit); i += 16) {
		const row = [...data.subarray(i, i + 16)];
		const codes = row.map((b) => b.toString(16).padStart(2, '0')).join(' ').padEnd(47);
		const letters = row.map((b) => (b >= 32 && b < 127 ? String.fromCharCode(b) : '.')).join('');
		lines.push(`${i.toString(16).padStart(6, '0')}  ${codes}  ${letters}`);
	}
	return lines.join('\n');
}
