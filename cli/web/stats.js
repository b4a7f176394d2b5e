// stats.js
//		How the queues are and were: the gateway's document, asked for again at each refresh.

import { get, query } from './api.js';

/**
 * @typedef {Object} QueueNow
 * @property {string} queue
 * @property {number} pending
 * @property {number} due
 * @property {number} running
 * @property {number} finished since the server's start, as are dead and cancelled
 * @property {number} dead
 * @property {number} oldest_due_age seconds; 0: none is due
 * @property {number} finished_per_s
 * @property {number} dead_per_s
 * @property {number[]} spark
 *
 * @typedef {Object} Document
 * @property {string} seq
 * @property {number} at seconds since 1970
 * @property {number} since when the gateway began to look
 * @property {QueueNow[]} queues
 * @property {Record<string, any>} series
 */

/** What a page wants to know of the past.
 * @type {[string, number][]} */
export const windows = [['1 h', 3600], ['6 h', 21600], ['24 h', 86400]];

let asked = '';
/** @type {Document | null} */
let latest = null;

/** The newest document; the one before, if nothing has changed. @returns {Promise<Document | null>} */
export async function look(window = 60, queue = '') {
	const wanted = query({ window, queue });
	const after = wanted === asked ? latest?.seq : undefined;
	const fresh = await get(`stats${query({ window, queue, after })}`);
	if (fresh) {
		latest = fresh;
		asked = wanted;
	}
	return latest;
}

/** A queue that is paused makes nobody wait by accident.
 * @param {QueueNow[]} queues @param {Set<string>} paused */
export function totals(queues, paused) {
	const sum = (/** @type {keyof QueueNow} */ name) => queues.reduce((n, queue) => n + Number(queue[name] || 0), 0);
	return {
		pending: sum('pending'), due: sum('due'), running: sum('running'), dead: sum('dead'),
		finished_per_s: sum('finished_per_s'), dead_per_s: sum('dead_per_s'),
		oldest_due_age: Math.max(0, ...queues.map((one) => (paused.has(one.queue) ? 0 : one.oldest_due_age))),
	};
}

/**
 * Values for a chart of at most `most` points that ends at `end`.  What was before the gateway's
 * start is not known.
 * @param {Document} stats @param {string} name @param {number} window seconds
 * @param {(values: number[]) => number} merge several values to a point
 */
export function points(stats, name, window, most = 180, merge = mean) {
	const { step } = stats.series;
	const length = Math.round(window / step);
	const known = stats.series[name].slice(-length);
	const values = [...Array(length - known.length).fill(null), ...known];
	const every = Math.ceil(length / most);
	const merged = [];
	for (let i = length; i > 0; i -= every)
		merged.unshift(mergeKnown(values.slice(Math.max(0, i - every), i), merge));
	return merged;
}

/** So much of the past is worth showing: all, or what is known of it, but not next to nothing. */
export function span(stats, window) {
	return Math.min(window, Math.max(300, stats.at - stats.since));
}

/** How the points above lie in time. */
export function scale(stats, window, most = 180) {
	const { step, start } = stats.series;
	const every = Math.ceil(Math.round(window / step) / most);
	return { step: step * every, end: start + (stats.series.pending.length - 1) * step };
}

function mergeKnown(values, merge) {
	const known = values.filter((value) => value !== null);
	return known.length === 0 ? null : merge(known);
}

function mean(values) {
	return values.reduce((a, b) => a + b, 0) / values.length;
}

export function greatest(values) {
	return Math.max(...values);
}

/** That the past is shorter than the chart, if it is. */
export function begun(stats, window, at) {
	return stats.at - stats.since < window * 0.97
		? `The gateway began to look at ${at(stats.since)}; there is no history from before.` : '';
}
