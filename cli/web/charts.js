// charts.js
//		The charts of the overview and of a queue, made from the gateway's numbers.

import { chart } from './chart.js';
import { clock, rate, short } from './format.js';
import { segments } from './parts.js';
import { begun, points, scale, span, windows } from './stats.js';

/** Backlog, throughput, failures. */
export function charts(app, id, window) {
	const { stats } = app;
	if (!stats?.series)
		return [];
	const seconds = span(stats, window);
	const make = (name, options) => {
		const most = options.bars ? 60 : 180;
		return chart({
			id: `${id}-${name}`,
			...scale(stats, seconds, most),
			...options,
			series: options.series.map(([title, tone, values]) => ({ name: title, tone, values: points(stats, values, seconds, most) })),
		}, app.redraw);
	};
	const whole = (n) => short(n === null ? null : Math.round(n));
	return [
		make('backlog', { title: 'Backlog', unit: whole, note: begun(stats, window, (at) => clock(at)),
			series: [['Pending', 'pending', 'pending'], ['Due', 'due', 'due'], ['Running', 'running', 'running']] }),
		make('throughput', { title: 'Throughput', unit: rate, series: [['Finished', 'finished', 'finished_per_s']] }),
		make('failures', { title: 'Failures', unit: perMinute, scale: 60, bars: true,
			 series: [['Dead or expired', 'dead', 'dead_per_s']] }),
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
