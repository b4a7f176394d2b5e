// tasks.js
//		The list of tasks: a search that stands in the address, and what to do with what it finds.

import { get, query } from './api.js';
import { one, runBulk, scope, statesOf } from './bulk.js';
import { ask, say } from './dialog.js';
import { bytes, count, number, start } from './format.js';
import { h, icon } from './h.js';
import { Raw } from './json.js';
import { button, field, nothing, queueLink, state, taskLink, when } from './parts.js';
import { settings } from './settings.js';
import { table } from './table.js';

const states = ['pending', 'running', 'finished', 'dead', 'cancelled', 'expired'];
const names = ['queue', 'state', 'kind', 'key', 'key_prefix', 'group_key', 'payload', 'error', 'class', 'worker', 'since', 'until'];
const seldom = names.filter((name) => !['queue', 'state', 'key_prefix', 'error'].includes(name));
const limit = 50;

/* A search that looked at more than this is not made again by itself. */
const cheap = 5000;

/* How many tasks a request looks at, and how many until a person is asked whether to go on. */
const step = 20000;
const enough = 100000;

export default function page(app, _name, parameters) {
	/** @type {Record<string, string>} */
	const filters = Object.fromEntries(names.map((name) => [name, parameters.get(name) || '']).filter(([, value]) => value !== ''));
	const after = parameters.get('after') || '';
	const ids = new Set();
	/** @type {any} */ let found = null;
	let further = false;

	async function search(from, room) {
		return get(`tasks${query({ ...filters, limit: room, after: from, scan: step, preview: 200 })}`);
	}

	/** Whether there may be more tasks for this page. */
	function isOpen() {
		return found.next && !found.complete && found.tasks.length < limit;
	}

	/** In steps, so that no request takes long. */
	async function lookOn(until) {
		while (isOpen() && found.scanned < until) {
			const more = await search(found.next, limit - found.tasks.length);
			found = { ...more, tasks: [...found.tasks, ...more.tasks], scanned: found.scanned + more.scanned };
			app.redraw();
		}
	}

	async function lookFurther() {
		try {
			further = true;
			await lookOn(found.scanned + enough);
		}
		catch (error) {
			say(error.message, 'bad');
		}
	}

	function results() {
		return [
			ids.size > 0 ? selectionBar(app, ids, found.tasks) : null,
			list(app, found.tasks, ids),
			h('div.more', {},
				h('p.note', {}, scope(found)),
				isOpen() ? button('Look further', lookFurther, { icon: 'tasks' }) : null,
				after ? button('First page', () => app.go(`#/tasks${query(filters)}`)) : null,
				found.next && found.tasks.length >= limit
					? button('Next page', () => app.go(`#/tasks${query({ ...filters, after: found.next })}`), { icon: 'right' }) : null),
		];
	}

	return {
		title: 'Tasks',
		async load() {
			if (found && (further || found.scanned > cheap))
				return;
			found = await search(after, limit);
			await lookOn(enough);
		},
		actions: () => (found ? bulkButtons(app, filters) : null),
		// Without an answer there is still the form, to mend the search.
		render: () => [form(app, filters), found ? results() : null],
	};
}

/* ---- the search --------------------------------------------------------------------------------- */

function form(app, filters) {
	const wanted = (filters.state || '').split(',');
	const used = seldom.filter((name) => filters[name]).length;
	const go = (event) => {
		event.preventDefault();
		app.go(`#/tasks${query(read(event.currentTarget))}`);
	};
	const at = (title, name) => field(title, name, toField(filters[name]), { type: 'datetime-local', step: '1' });
	return h('form.card.filters', { key: 'filters', on: { submit: go, change(event) {
		if (event.target.name === 'state')
			go(event);
	} } },
	h('div.fields', {},
		h('div', {}, field('Queue', 'queue', filters.queue, { list: 'queue-names' }),
			h('datalist', { id: 'queue-names' }, (app.stats?.queues || []).map((one) => h('option', { value: one.queue })))),
		field('Key begins with', 'key_prefix', filters.key_prefix),
		field('Error matches', 'error', filters.error, { placeholder: 'timeout|refused' }),
		h('div.buttons', {}, h('button.primary', { type: 'submit' }, icon('tasks'), 'Search'),
			Object.keys(filters).length > 0 ? button('Clear', () => app.go('#/tasks'), { class: 'quiet' }) : null)),
	h('fieldset.states', {}, h('legend.hidden', {}, 'State'), states.map((name) => h('label.chip', { class: `tone-${name}` },
		h('input', { type: 'checkbox', name: 'state', value: name, checked: wanted.includes(name) }),
		h('span', {}, icon(`state-${name}`), name)))),
	h('details.rest', { open: used > 0 }, h('summary', {}, 'More filters'), h('div.fields', {},
		field('Kind', 'kind', filters.kind), field('Key', 'key', filters.key), field('Group', 'group_key', filters.group_key),
		field('Payload contains (JSON)', 'payload', filters.payload, { placeholder: '{"order": 7}' }),
		field('Class of a failure', 'class', filters.class, { placeholder: 'timeout' }), field('Worker', 'worker', filters.worker),
		at('Submitted since', 'since'), at('Submitted before', 'until'))));
}

function read(form) {
	const data = new FormData(form);
	const values = Object.fromEntries(names.filter((name) => name !== 'state').map((name) => [name, String(data.get(name) || '').trim()]));
	return { ...values, state: data.getAll('state').join(','), since: fromField(values.since), until: fromField(values.until) };
}

function toField(text) {
	const t = text ? new Date(text) : null;
	if (!t || Number.isNaN(t.getTime()))
		return '';
	return new Date(t.getTime() - (settings.utc ? 0 : t.getTimezoneOffset() * 60000)).toISOString().slice(0, 19);
}

function fromField(text) {
	return text ? new Date(settings.utc ? `${text}Z` : text).toISOString() : '';
}

/* ---- the list -------------------------------------------------------------------------------------- */

function list(app, tasks, ids) {
	const selectable = app.may('control') || app.may('submit') || Object.keys(app.who.queues || {}).length > 0;
	return table({
		id: 'tasks',
		caption: 'Tasks, newest first',
		rows: tasks,
		key: (row) => row.id,
		selection: selectable ? { ids, changed: app.redraw } : undefined,
		empty: nothing('No task found', 'Nothing that was looked at matches.', 'tasks'),
		columns: [
			{ title: 'Task', class: 'main', cell: ({ id, kind }) => [taskLink(id), kind ? h('bdi.note', {}, start(kind, 40)) : null] },
			{ title: 'State', cell: (row) => state(row.state) },
			{ title: 'Queue', cell: (row) => queueLink(row.queue) },
			{ title: 'Key', class: 'cut', cell: (row) => (row.key ? h('bdi', {}, start(row.key, 40)) : '–') },
			{ title: 'Attempt', class: 'num', cell: ({ attempt, max_attempts: n }) => `${attempt} / ${n >= 2147483647 ? '∞' : number(n)}` },
			{ title: 'Submitted', cell: (row) => when(row.submitted_at) },
			{ title: 'Error or payload', class: 'wide', cell: (row) => glance(row) },
		],
	});
}

function glance(row) {
	if (row.error)
		return h('span', { class: row.state === 'cancelled' ? 'note' : 'error' }, start(row.error, 200));
	const text = row.payload_start ?? (row.payload instanceof Raw ? row.payload.text : '');
	if (!text)
		return '–';
	return h('code', {}, start(text, 160), row.payload_bytes > 200 ? h('span.note', {}, ` ${bytes(row.payload_bytes)}`) : null);
}

/* ---- many at once ------------------------------------------------------------------------------------ */

const verbs = [['retry', 'Retry', 'retry'], ['cancel', 'Cancel', 'close']];

function allowed(app, action, queue) {
	return action === 'retry' ? app.may('control', queue) : app.mayCancel(queue);
}

function bulkButtons(app, filters) {
	return verbs.filter(([action]) => allowed(app, action, filters.queue) && statesOf(action, filters).length > 0)
		.map(([action, text, picture]) => button(`${text} all that match…`, async () => {
			await runBulk(app, action, filters);
			app.refresh();
		}, { icon: picture, class: action === 'cancel' ? 'danger-quiet' : '' }));
}

function selectionBar(app, ids, tasks) {
	const chosen = tasks.filter((task) => ids.has(task.id));
	return h('div.selection.card', { key: 'selection' }, h('strong', {}, `${number(chosen.length)} selected`),
		verbs.map(([action, text, picture]) => {
			const fit = chosen.filter((task) => statesOf(action, {}).includes(task.state) && allowed(app, action, task.queue));
			return fit.length === 0 ? null : button(`${text} ${number(fit.length)}`, () => doSelected(app, action, fit, ids),
				{ icon: picture, class: action === 'cancel' ? 'danger-quiet' : '' });
		}),
		button('Clear the selection', () => { ids.clear(); app.redraw(); }, { class: 'quiet' }));
}

async function doSelected(app, action, tasks, ids) {
	const reason = `by ${app.who.name || app.who.role}, dashboard`;
	const counts = { done: 0, skipped: 0, failed: 0 };
	const run = async (values) => {
		for (const task of tasks)
			counts[await one(action, task.id, values?.reason)]++;
	};
	const what = `Cancel ${count(tasks.length, 'task')}`;
	const some = tasks.slice(0, 12).map((task) => task.id).join(', ');
	if (action === 'cancel' && !await ask({ title: `${what}?`, danger: true, action: what,
		text: h('p.note', {}, some, tasks.length > 12 ? ' …' : ''),
		inside: field('Reason', 'reason', reason), run }))
		return;
	try {
		if (action === 'retry')
			await run();
		say(`${counts.done} done, ${counts.skipped} skipped, ${counts.failed} failed`, counts.failed > 0 ? 'bad' : 'good');
	}
	catch (error) {
		say(`${error.message}; ${counts.done} were done before`, 'bad');
	}
	ids.clear();
	app.refresh();
}
