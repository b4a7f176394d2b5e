// charts.js
//		The charts of the overview and of a queue, made from the gateway's numbers.

import { chart } from './chart.js';
import { clock, duration, rate, short } from './format.js';
import { segments } from './parts.js';
import { begun, greatest, points, scale, span, windows } from './stats.js';

/** Backlog, throughput, failures; of one queue also how long its tasks wait. */
export function charts(app, id, window) {
	const { stats } = app;
	if (!stats?.series)
		return [];
	const seconds = span(stats, window);
	/** @param {string} name @param {any} options */
	const make = (name, { most = 180, ...options }) => chart({
		id: `${id}-${name}`,
		...scale(stats, seconds, most),
		...options,
		series: options.series.map(([title, tone, values, merge]) => (
			{ name: title, tone, values: points(stats, values, seconds, most, merge) })),
	}, app.redraw);
	const whole = (n) => short(n === null ? null : Math.round(n));
	return [
		make('backlog', { title: 'Backlog', unit: whole, note: begun(stats, window, (at) => clock(at)),
			series: [['Pending', 'pending', 'pending'], ['Due', 'due', 'due'], ['Running', 'running', 'running']] }),
		make('throughput', { title: 'Throughput', unit: rate, series: [['Finished', 'finished', 'finished_per_s']] }),
		make('failures', { title: 'Failures', unit: perMinute, scale: 60, bars: true, most: 60,
			 series: [['Dead or expired', 'dead', 'dead_per_s']] }),
		stats.series.wait_p50 ? make('waits', { title: 'Wait', unit: duration, seconds: true, most: 60,
			note: 'From due to start, of attempts that have ended; estimated from a histogram.',
			series: [['p50', 'running', 'wait_p50'], ['p95', 'due', 'wait_p95', greatest]] }) : null,
	];
}

function perMinute(n) {
	return n === null ? '–' : `${short(n * 60)}/min`;
}

export function windowChoice(page, app) {
	return segments('Time span', windows, page.window, (window) => {
		page.window = window;
		app.refresh();
	});
}
