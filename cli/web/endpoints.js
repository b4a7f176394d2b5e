// endpoints.js
//		The destinations of push tasks: their circuits, limits and secrets.

import { get, path, post } from './api.js';
import { ask, copy, show } from './dialog.js';
import { ago, number, visible } from './format.js';
import { h } from './h.js';
import { badge, button, nothing, queueLink, when } from './parts.js';
import { pauseButton } from './queues.js';
import { numbers, table } from './table.js';

const example = "select taskq.create_endpoint('crm', 'https://crm.example.com/hook')";

export default function page(app) {
	let endpoints = [];
	return {
		title: 'Endpoints',
		async load() {
			const [answer, { queues }] = await Promise.all([get('endpoints'), get('queues')]);
			const paused = new Map(queues.map((queue) => [queue.queue, queue.paused]));
			endpoints = answer.endpoints.map((one) => ({ ...one, queue: one.endpoint, mode: 'push', paused: paused.get(one.endpoint) }));
		},
		render: () => table({
			id: 'endpoints',
			caption: 'Endpoints',
			rows: endpoints,
			key: (row) => row.endpoint,
			redraw: app.redraw,
			empty: nothing('There is no endpoint', h('code', {}, example), 'endpoints'),
			columns: [
				{ title: 'Endpoint', class: 'main', sort: (row) => row.endpoint, cell: (row) => [queueLink(row.endpoint),
					row.paused ? badge('paused', 'warn', 'pause') : null, h('span.note.break', {}, h('bdi', {}, visible(row.url)))] },
				{ title: 'Circuit', sort: (row) => row.circuit || '', cell: (row) => circuit(row) },
				numbers('Failures', (row) => row.failures, number),
				{ title: 'Next start', sort: (row) => row.next_start || '', cell: (row) => when(row.next_start) },
				{ title: 'Running', class: 'num', falling: true, sort: (row) => row.running || 0,
					cell: (row) => `${number(row.running)}${row.max_running ? ` of ${number(row.max_running)}` : ''}` },
				numbers('Pending', (row) => row.pending, number),
				{ title: 'Rate', class: 'num', cell: (row) => (row.rate === null ? 'any' : `${number(row.rate)}/s`) },
				{ title: 'Signed', cell: (row) => signed(row) },
				{ title: '', class: 'act', cell: (row) => buttons(app, row) },
			],
		}),
	};
}

function circuit({ circuit: name }) {
	const looks = { closed: ['good', 'check'], open: ['bad', 'alert'], 'half-open': ['warn', 'alert'] };
	const [tone, picture] = looks[name] || ['plain', 'info'];
	return badge(name || 'not known', tone, picture);
}

function signed(row) {
	if (row.secrets_missing)
		return badge('secrets missing', 'bad', 'alert');
	return [row.signed ? 'yes' : 'no', row.old_secret_until && Date.parse(row.old_secret_until) > Date.now()
		? h('span.note', {}, ` old secret until ${ago(row.old_secret_until)}`) : null];
}

function buttons(app, row) {
	const name = row.endpoint;
	return h('span.row', {},
		app.may('submit', name) ? button('Test', async () => {
			/** @type {any} */ let answer = null;
			await app.act(async () => { answer = await post(path`endpoints/${name}/test`); }, 'A test request was submitted');
			if (answer)
				app.go(`#/tasks/${answer.id}`);
		}, { class: 'quiet small', label: `Send a test request to ${visible(name)}` }) : null,
		pauseButton(app, row, 'quiet small'),
		app.may('admin') ? button('New secret…', () => rotate(app, name),
			{ class: 'quiet small', icon: 'key', label: `New secret for ${visible(name)}` }) : null);
}

async function rotate(app, name) {
	/** @type {any} */ let answer = null;
	await ask({ title: `New secret for ${visible(name)}?`, action: 'Make a new secret',
		text: h('p', {}, 'Requests are signed with it at once. For the time below they also bear a signature with the present',
			' secret, so that the receiver can change over.'),
		inside: h('label.field', {}, h('span', {}, 'Keep the present one for'), h('select', { name: 'keep_old' },
			['1 day', '1 hour', '7 days', '0'].map((value) => h('option', { value }, value === '0' ? 'no time' : value)))),
		run: async (values) => { answer = await post(path`endpoints/${name}/rotate-secret`, values); } });
	if (answer)
		show('The new secret', h('p', {}, 'It is shown this once. Give it to the receiver.'), h('pre', { tabindex: '0' }, answer.secret),
			button('Copy', () => copy(answer.secret, 'the secret'), { icon: 'copy' }));
	app.refresh();
}

