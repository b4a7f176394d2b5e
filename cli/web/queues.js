// queues.js
//		All queues in a table.

import { get, path, post, query } from './api.js';
import { spark } from './chart.js';
import { duration, number, rate, visible } from './format.js';
import { h } from './h.js';
import { badge, button, nothing, queueLink, waiting } from './parts.js';
import { numbers, table } from './table.js';

export default function page(app) {
	let queues = [];
	let wanted = '';
	const filter = (event) => {
		wanted = event.target.value.toLowerCase();
		app.redraw();
	};
	return {
		title: 'Queues',
		window: 60,
		async load() {
			({ queues } = await get('queues'));
		},
		actions: () => h('input.filter', { type: 'search', placeholder: 'Filter', 'aria-label': 'Filter queues by name',
			on: { input: filter } }),
		render: () => list(app, rows(app, queues).filter(({ queue }) => queue.toLowerCase().includes(wanted)), wanted),
	};
}

/* The newest numbers are those that all who look are shown. */
function rows(app, queues) {
	const now = new Map((app.stats?.queues || []).map((one) => [one.queue, one]));
	return queues.map((queue) => ({ finished_per_s: null, dead_per_s: null, spark: [], ...queue, ...now.get(queue.queue) }));
}

function list(app, queues, wanted) {
	return table({
		id: 'queues',
		caption: 'Queues and how full they are',
		rows: queues,
		key: (row) => row.queue,
		redraw: app.redraw,
		mark: (row) => (row.paused ? 'paused' : ''),
		empty: wanted ? nothing('No queue has such a name', '', 'queues')
			: nothing('There is no queue yet', h('code', {}, "select taskq.create_queue('mail')"), 'queues'),
		columns: [
			{ title: 'Queue', class: 'main', sort: (row) => row.queue, cell: (row) => [queueLink(row.queue), h('span.badges', {},
				badge(row.mode), row.ordered ? badge('ordered') : null, row.paused ? badge('paused', 'warn', 'pause') : null)] },
			numbers('Pending', (row) => row.pending, number),
			numbers('Due', (row) => row.due, (due) => `${number(due)}${due >= 10000 ? '+' : ''}`),
			numbers('Running', (row) => row.running, number),
			numbers('Oldest due', (row) => row.oldest_due_age, waiting),
			numbers('Finished', (row) => row.finished_per_s, rate),
			{ ...numbers('Dead', (row) => row.dead, number), cell: dead },
			{ title: 'Last 10 min', class: 'trend', cell: (row) => spark(row.spark, 'finished') },
			{ title: '', class: 'act', cell: (row) => pauseButton(app, row, 'quiet small') },
		],
	});
}

function dead(row) {
	const href = `#/tasks${query({ queue: row.queue, state: 'dead' })}`;
	return row.dead > 0 ? h('a.bad-text', { href }, number(row.dead)) : number(row.dead);
}

/** Pauses a queue or lets it go on; nothing for who may not. */
export function pauseButton(app, { queue, paused, mode }, style = '') {
	if (!app.may('control', queue) || mode === 'topic')
		return null;
	const verb = paused ? 'resume' : 'pause';
	return button(paused ? 'Resume' : 'Pause', () => app.act(() => post(path`queues/${queue}/${verb}`),
		`Queue ${visible(queue)} is ${paused ? 'not paused any more' : 'paused'}`),
	{ class: style, icon: paused ? 'play' : 'pause', label: `${paused ? 'Resume' : 'Pause'} ${visible(queue)}` });
}

/** How long tasks are kept, in words. */
export function kept(seconds) {
	return seconds === null || seconds === undefined ? 'forever' : seconds === 0 ? 'not kept' : duration(seconds);
}
