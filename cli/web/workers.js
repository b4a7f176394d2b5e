// workers.js
//		Who works on what, and what is being sent.

import { get } from './api.js';
import { start } from './format.js';
import { h } from './h.js';
import { badge, card, queueLink, taskLink, when } from './parts.js';
import { workersOf } from './queue.js';
import { table } from './table.js';

const phases = { waiting: 'warn', sending: 'plain', answered: 'good' };

export default function page(app) {
	let workers = [];
	let requests = [];
	return {
		title: 'Workers',
		async load() {
			[{ workers }, { requests }] = await Promise.all([get('workers'), get('requests')]);
		},
		render: () => [
			workersOf(app, workers, { title: 'Queue', sort: (row) => row.queue, cell: (row) => queueLink(row.queue) }),
			requests.length === 0 ? null : card('Requests under way', table({
				id: 'requests',
				caption: 'HTTP requests under way',
				rows: requests,
				key: (row) => row.task_id,
				redraw: app.redraw,
				columns: [
					{ title: 'Task', cell: (row) => taskLink(row.task_id) },
					{ title: 'Queue', sort: (row) => row.queue, cell: (row) => queueLink(row.queue) },
					{ title: 'Host', sort: (row) => row.host || '', cell: (row) => h('bdi', {}, start(row.host || '–', 60)) },
					{ title: 'Phase', sort: (row) => row.phase || '',
						cell: (row) => badge(row.phase || 'not known', phases[row.phase] || 'plain') },
					{ title: 'Since', sort: (row) => row.since, cell: (row) => when(row.since) },
				],
			})),
		],
	};
}
