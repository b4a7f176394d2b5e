// queue.js
//		One queue: its settings, its past, its workers, its failures.

import { get, path, post, query } from './api.js';
import { runBulk } from './bulk.js';
import { charts, windowChoice } from './charts.js';
import { ask, say } from './dialog.js';
import { count, duration, lasts, member, number, rate, short, start, visible } from './format.js';
import { h } from './h.js';
import { Raw } from './json.js';
import { badge, button, card, facts, field, foreign, nothing, oldest, taskLink, tile, when } from './parts.js';
import { kept, pauseButton } from './queues.js';
import { numbers, table } from './table.js';
import { history, quantile } from './times.js';

const slowly = 10000;

export default function page(app, name) {
	let queue = null;
	let workers = [];
	/** @type {any} */ let dead = { tasks: [], complete: true };
	/** @type {any} */ let extras = {};
	const looks = history();
	let at = 0;

	/* What changes seldom, or may cost a search, is asked for seldom. */
	async function loadSlow() {
		if (Date.now() - at < slowly)
			return;
		at = Date.now();
		const [failed, times, grants] = await Promise.all([
			get(`tasks${query({ queue: name, state: 'dead', limit: 5, preview: 200 })}`),
			get(path`queues/${name}/times`),
			get('grants').catch(() => null)]);
		dead = failed;
		looks.add(times);
		extras = { ...extras, grants: grants?.grants.filter((grant) => grant.queue === name) };
	}

	/* Of many queues that takes longer, and nobody waits for it. */
	async function loadConfig() {
		extras = { ...extras, config: '' };
		const config = await get('config').catch(() => null);
		extras = { ...extras, config: entry(config, name) };
		app.redraw();
	}

	const self = {
		title: name,
		heading: [h('bdi', {}, visible(name))],
		window: 3600,
		queue: name,
		async load() {
			[queue, { workers }] = await Promise.all([get(path`queues/${name}`), get('workers'), loadSlow()]);
			workers = workers.filter((worker) => worker.queue === name);
			if (extras.config === undefined && app.may('admin'))
				loadConfig();
			self.heading = [h('bdi', {}, visible(name)), badge(queue.mode), queue.paused ? badge('paused', 'warn', 'pause') : null];
		},
		actions: () => (queue ? [windowChoice(self, app), buttons(app, queue, () => { at = 0; })] : null),
		render() {
			const now = { ...queue, ...app.stats?.queues.find((one) => one.queue === name) };
			const [backlog, throughput, failures, wait] = charts(app, 'queue', self.window);
			return [
				queue.pause_reason ? h('p.verdict.warn', {}, visible(queue.pause_reason)) : null,
				h('div.tiles', {},
					tile('Pending', number(now.pending), `${now.due >= 10000 ? 'at least ' : ''}${number(now.due)} due now`),
					tile('Running', number(now.running), count(workers.length, 'worker')),
					tile('Finished', rate(now.finished_per_s ?? null), `${short(now.finished)} since server start`),
					tile('Dead', number(now.dead), queue.retry ? `retry policy ${queue.retry}` : '', null, now.dead_per_s > 0 ? 'bad' : ''),
					oldest(now.oldest_due_age),
					waits(looks.ends())),
				h('div.grid.two', {}, backlog, throughput),
				h('div.grid.two', {}, wait, failures),
				h('div.grid.two', {}, h('div', {}, newest(name, dead), card('Workers', workersOf(app, workers))),
					h('div', {}, configuration(app, queue, extras))),
			];
		},
	};
	return self;
}

/** How long tasks wait from when they are due until they are claimed. */
function waits({ oldest: before, newest: now }) {
	const [half, most] = [0.5, 0.95].map((share) => (now ? quantile(before?.times.wait ?? null, now.times.wait, share) : null));
	const words = (seconds) => (seconds === Infinity ? 'longer' : `≤ ${duration(seconds)}`);
	return tile('Wait p50', half === null ? '–' : words(half), most === null ? 'no task has ended' : `p95 ${words(most)}, ${
		before ? `last ${duration(Math.round((now.at - before.at) / 1000))}` : 'since server start'}`);
}

/** The queue's part of the configuration file. @param {Raw | null} config */
function entry(config, name) {
	for (const section of ['queues', 'endpoints']) {
		const found = config?.[section]?.[name];
		if (found)
			return yaml({ [section]: { [name]: found } });
	}
	return '';
}

/* As a person would write it in the file. */
function yaml(value, indent = '') {
	return Object.entries(value).map(([name, inside]) => {
		if (Array.isArray(inside))
			return `${indent}${scalar(name)}: [${inside.map(scalar).join(', ')}]`;
		const deeper = inside !== null && typeof inside === 'object';
		return `${indent}${scalar(name)}:${deeper ? `\n${yaml(inside, `${indent}  `)}` : ` ${scalar(inside)}`}`;
	}).join('\n');
}

function scalar(value) {
	const plain = /^[a-z][\w -]*$/i.test(value) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(value);
	return typeof value === 'string' && plain ? value : JSON.stringify(value);
}

function newest(name, { tasks, complete, scanned }) {
	return card('Newest dead tasks', tasks.length === 0
		? nothing('None', complete ? 'No dead task is kept.' : `None is among the ${number(scanned)} newest tasks that have ended.`)
		: [h('ul.failures', {}, tasks.map((task) => h('li', { key: task.id }, taskLink(task.id),
			h('span.error', {}, start(task.error || '', 90)), when(task.ended_at)))),
		h('p', {}, h('a', { href: `#/tasks${query({ queue: name, state: 'dead' })}` }, 'All of them'))]);
}

export function workersOf(app, workers, withQueue) {
	return table({
		id: 'workers',
		caption: 'Workers with running tasks',
		rows: workers,
		key: (row) => `${row.queue} ${row.worker}`,
		redraw: app.redraw,
		empty: nothing('Nobody works just now', 'A worker is shown while it has tasks.', 'workers'),
		columns: [
			{ title: 'Worker', class: 'main', sort: (row) => row.worker,
				cell: (row) => h('bdi', {}, row.worker ? visible(row.worker) : '(no name)') },
			...(withQueue ? [withQueue] : []),
			numbers('Running', (row) => row.running, number),
			{ title: 'Oldest', sort: (row) => row.oldest_start, cell: (row) => when(row.oldest_start) },
			{ title: 'Next lease end', sort: (row) => row.next_lease_end, cell: (row) => when(row.next_lease_end) },
		],
	});
}

function configuration(app, queue, { grants, config }) {
	return card('Settings',
		facts([['Url', visible(queue.url || '')], ['Lease', lasts(queue.lease_for, '')], ['Retry policy', queue.retry],
			['Finished tasks', kept(queue.keep_finished)], ['Dead tasks', kept(queue.keep_dead)], ['Keys', kept(queue.keep_key)],
			['Payloads of finished tasks', queue.keep_payload ? 'kept' : 'not kept'], ['Origin', queue.keep_origin ? 'kept' : ''],
			['Executor', queue.executor], ['Made', queue.created_at ? when(queue.created_at) : '']]),
		['on_finish', 'on_dead'].map((name) => (queue[name] ? foreign(name, queue[name], app.redraw, { id: name }) : null)),
		queue.limits?.length > 0 ? [h('h3', {}, 'Limits'), facts(queue.limits.map((limit) => [limitOf(limit), limitWords(limit)]))] : null,
		grants?.length > 0 ? [h('h3', {}, 'Grants'), facts(grants.map((grant) => [grant.role, grant.privileges.join(', ')]))] : null,
		config ? [foreign('In the file for taskq apply', config, app.redraw, { id: 'config' }),
			h('p.note', {}, 'Change it there: the dashboard changes no settings.')] : null);
}

/** The whole queue, every group, or one. */
function limitOf({ scope, group_key: group }) {
	return group === null ? scope : [`${scope} `, h('bdi', {}, visible(group))];
}

function limitWords({ max_running: running, rate: starts, per, burst, weight }) {
	return [running === null ? '' : `${number(running)} at a time`, starts === null ? '' : `${number(starts)} in ${duration(per)}`,
		burst === null ? '' : `${number(burst)} at once`, weight > 1 ? `weight ${weight}` : ''].filter(Boolean).join(', ') || 'none';
}

/* ---- what can be done ------------------------------------------------------------------------- */

function buttons(app, queue, changed) {
	const name = queue.queue;
	const control = app.may('control', name);
	const submits = app.may('submit', name) && !['topic', 'call'].includes(queue.mode);
	const retryDead = async () => {
		await runBulk(app, 'retry', { queue: name, state: 'dead' });
		changed();
		app.refresh();
	};
	return [
		submits ? button('Submit a task', () => submit(app, queue), { icon: 'plus' }) : null,
		control ? button('Retry dead…', retryDead, { icon: 'retry' }) : null,
		pauseButton(app, queue),
		control && queue.mode !== 'topic' ? button('Purge…', () => purge(app, name), { class: 'danger-quiet', icon: 'close' }) : null,
	];
}

async function purge(app, name) {
	/** @type {any} */ let answer = null;
	const done = await ask({ title: `Purge ${visible(name)}?`, danger: true, typed: name, action: 'Cancel all pending tasks',
		text: h('p', {}, 'All pending tasks of this queue are cancelled, also those that are due later. Running ones go on.'),
		run: async () => { answer = await post(path`queues/${name}/purge`); } });
	if (done)
		say(`${count(answer?.done ?? 0, 'task')} cancelled`);
	app.refresh();
}

async function submit(app, { queue, mode, url }) {
	/** @type {any} */ let answer = null;
	const done = await ask({ title: `Submit a task to ${visible(queue)}`, action: 'Submit',
		inside: [h('label.field', {}, h('span', {}, 'Payload (JSON)'), h('textarea', { name: 'payload', rows: '6', spellcheck: 'false' })),
			mode === 'push' && !url ? field('Url', 'url', '', { type: 'url', required: true }) : null,
			h('div.fields', {}, field('Key', 'key', ''), field('Kind', 'kind', ''),
				field('Delay', 'delay', '', { placeholder: '10 min' }))],
		run: async (values) => { answer = await post(path`queues/${queue}/tasks`, bodyOf(values)); } });
	if (done)
		app.go(`#/tasks/${answer.id}`);
}

/** The payload goes as the text that was typed: the gateway refuses what is no JSON. @param {Record<string, string>} values */
function bodyOf({ payload = '', ...rest }) {
	const members = Object.entries(rest).filter(([, value]) => value !== '').map(member);
	if (payload.trim() !== '')
		members.unshift(`"payload":${payload}`);
	return `{${members.join(',')}}`;
}
