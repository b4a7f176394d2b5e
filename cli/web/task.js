// task.js
//		One task: what has happened to it, what it holds, what can be done.

import { bytesOf, del, get, path, post, query } from './api.js';
import { ask, copy, fault } from './dialog.js';
import { bytes, duration, hex, member, number, time, visible } from './format.js';
import { h, icon } from './h.js';
import { Raw } from './json.js';
import { badge, button, card, facts, field, foreign, queueLink, state, when } from './parts.js';

export default function page(app, id) {
	/** @type {any} */ let task = null;
	let attempts = [];
	/** @type {any} */ let response = null;
	let known = '';

	/* The answer may be large, so it is asked for only when there may be another one. */
	async function loadAnswer() {
		const now = `${task.state} ${task.attempt}`;
		if (now === known)
			return;
		response = await bytesOf(path`tasks/${id}/response`);
		known = now;
	}

	return {
		title: `Task ${id}`,
		async load() {
			[task, { attempts }] = await Promise.all([get(path`tasks/${id}`), get(path`tasks/${id}/attempts`)]);
			if (task.state === 'finished' ? task.method : attempts.some(({ status }) => status !== null))
				await loadAnswer().catch((error) => { response = { error }; });
		},
		actions: () => (task ? buttons(app, task) : null),
		render: () => h('div.grid.two-one', {},
			h('div', {},
				card('What has happened', timeline(task, attempts)),
				holds(app, task),
				response ? card('Answer', answer(app, id, response)) : null),
			h('div', {}, card('Facts', aboutTask(task)))),
	};
}

function aboutTask(task) {
	const endless = task.max_attempts >= 2147483647;
	return facts([['State', state(task.state)], ['Queue', queueLink(task.queue)], ['Kind', text(task.kind)], ['Key', text(task.key)],
		['Group', text(task.group_key)], ['Priority', task.priority === 0 ? '' : String(task.priority)],
		['Attempts', `${task.attempt} of ${endless ? 'any number' : number(task.max_attempts)}`],
		['Request', task.url ? h('bdi.break', {}, `${task.method} ${visible(task.url)}`) : text(task.method)],
		['Submitted', time(task.submitted_at)], ['Due', time(task.run_at)], ['Ended', task.ended_at ? time(task.ended_at) : ''],
		['Trace', text(task.trace)]]);
}

function text(value) {
	return value ? h('bdi.break', {}, visible(value)) : '';
}

/* ---- what has happened ------------------------------------------------------------------------- */

function event(tone, picture, title, at, ...inside) {
	return h('li', { class: `tone-${tone}` }, h('span.mark', {}, icon(picture)),
		h('div', {}, h('p.title', {}, title, at ? h('span.note', {}, time(at, true), ' · ', when(at)) : null), inside));
}

const ends = { finished: 'Finished', dead: 'Dead: no attempt is left', cancelled: 'Cancelled',
	expired: 'Expired: it was not started in time' };

/* Without a time to come it waits for other tasks. */
function due(task) {
	if (!task.run_at)
		return 'when the tasks have ended for which it waits';
	return Date.parse(task.run_at) > Date.now() ? ['due ', when(task.run_at), ` (${time(task.run_at)})`] : 'due now';
}

function timeline(task, attempts) {
	const last = attempts[attempts.length - 1];
	const later = attempts.length === 0 && Date.parse(task.run_at) > Date.parse(task.submitted_at) + 1000;
	const items = [event('pending', 'plus', 'Submitted', task.submitted_at,
		later ? h('p.note', {}, `to be started at ${time(task.run_at)}`) : null)];
	for (const attempt of attempts)
		items.push(failed(attempt));
	if (task.state === 'running')
		items.push(event('running', 'state-running', `Attempt ${task.attempt} is running`, task.started_at, underWay(task)));
	else if (task.state === 'pending')
		items.push(event('pending', 'state-pending', task.attempt > 0 || last ? 'Waits for the next attempt' : 'Waits', '',
			h('p.note', {}, due(task))));
	else
		items.push(event(task.state, `state-${task.state}`, ends[task.state], task.ended_at,
			task.error && task.error !== last?.error ? h('p.error', {}, visible(task.error)) : null,
			task.state === 'finished' && task.worker
				? h('p.note', {}, `attempt ${task.attempt}, by `, h('bdi', {}, visible(task.worker)), took(task)) : null));
	return h('ol.timeline', {}, items);
}

function took({ started_at: start, ended_at: end }) {
	return start && end ? `, took ${duration((Date.parse(end) - Date.parse(start)) / 1000)}` : '';
}

function underWay(task) {
	return [
		h('p.note', {}, task.worker ? ['by ', h('bdi', {}, visible(task.worker)), '; '] : null, 'the lease ends ', when(task.lease_until)),
		task.cancel_requested ? h('p', {}, badge('cancel requested', 'warn', 'alert')) : null,
		task.fraction !== null ? h('p', {}, h('progress', { max: '1', value: String(task.fraction), 'aria-label': 'Progress' }),
			` ${Math.round(task.fraction * 100)} %`) : null,
		task.message ? h('p', {}, h('bdi', {}, visible(task.message))) : null];
}

function failed(attempt) {
	return event('dead', 'alert', [`Attempt ${attempt.attempt} failed `, attempt.class ? badge(visible(attempt.class), 'bad') : null,
		attempt.status ? badge(String(attempt.status)) : null], attempt.ended_at,
		attempt.error ? h('p.error', {}, visible(attempt.error)) : null,
		h('p.note', {}, attempt.worker ? ['by ', h('bdi', {}, visible(attempt.worker))] : 'by nobody that gave a name', took(attempt)),
		attempt.elapsed !== null ? timings(attempt) : null,
		attempt.detail ? h('pre.small', { tabindex: '0', role: 'region', 'aria-label': 'Detail' },
			visible(attempt.detail instanceof Raw ? attempt.detail.text : attempt.detail)) : null);
}

/* The parts of an exchange, as a bar and in words. */
function timings(attempt) {
	const { elapsed } = attempt;
	const parts = [['dns', 'DNS', attempt.dns], ['connect', 'connect', attempt.connect], ['tls', 'TLS', attempt.tls],
		['first', 'first byte', attempt.first_byte]].filter(([, , seconds]) => seconds !== null);
	const spent = parts.reduce((sum, [, , seconds]) => sum + seconds, 0);
	if (parts.length > 0 && elapsed > spent)
		parts.push(['rest', 'rest', elapsed - spent]);
	let x = 0;
	const bar = parts.map(([part, , seconds]) => {
		const width = elapsed > 0 ? (100 * seconds) / elapsed : 0;
		const rect = h('rect', { class: `part-${part}`, x, y: 0, width: Math.max(width, 0.5), height: 6 });
		x += width;
		return rect;
	});
	return h('div.timings', {},
		parts.length > 0 ? h('svg', { viewBox: '0 0 100 6', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, bar) : null,
		h('p.note', {}, [`${duration(elapsed)} in all`, ...parts.map(([, name, seconds]) => `${name} ${duration(seconds)}`)].join(' · ')));
}

/* ---- what it holds ------------------------------------------------------------------------------- */

function holds(app, task) {
	const pieces = [['payload', 'Payload'], ['result', 'Result'], ['request_headers', 'Headers of the request'], ['origin', 'Origin']]
		.filter(([name]) => task[name] instanceof Raw)
		.map(([name, title]) => foreign(title, task[name], app.redraw, { id: `${task.id} ${name}` }));
	if (task.request_body)
		pieces.push(foreign('Body of the request (base64)', task.request_body, app.redraw, { id: `${task.id} body` }));
	if (pieces.length === 0)
		pieces.push(h('p.note', {}, task.state === 'finished' ? 'There is no result, and no payload is kept: the queue has no keep_payload.'
			: 'It has no payload.'));
	return card('What it holds', pieces);
}

/* Anybody's bytes: shown as text if they are that, else as numbers; never more than that. */
function answer(app, id, response) {
	if (response.error)
		return fault(response.error);
	const { status, type, data, truncated, elapsed } = response;
	const body = decoded(data);
	return [h('p', {}, badge(String(status), status < 400 ? 'good' : 'bad'),
		h('span.note', {}, ` ${visible(type)}, ${bytes(data.length)}${truncated ? ', the beginning of it' : ''}`
			+ (elapsed === null ? '' : ` in ${duration(elapsed)}`))),
		data.length === 0 ? h('p.note', {}, 'It has no body.')
			: body !== null ? foreign('Body', body, app.redraw, { id: `${id} answer`, json: /json/.test(type) })
				: [foreign('Body', hex(data), app.redraw, { id: `${id} answer` }),
					h('p.note', {}, data.length > 4096 ? 'The first 4 kB.' : '')]];
}

function decoded(data) {
	try {
		return data.includes(0) ? null : new TextDecoder('utf-8', { fatal: true }).decode(data);
	}
	catch (error) {
		return null;
	}
}

/* ---- what can be done ------------------------------------------------------------------------------ */

function buttons(app, task) {
	const { id, queue } = task;
	const live = task.state === 'pending' || task.state === 'running';
	return [
		!live && task.state !== 'finished' && app.may('control', queue)
			? button('Retry', () => app.act(() => post(path`tasks/${id}/retry`), `Task ${id} is pending again`),
				{ class: 'primary', icon: 'retry' }) : null,
		task.state === 'pending' && Date.parse(task.run_at) > Date.now() && app.mayCancel(queue)
			? button('Run now', () => app.act(() => post(path`tasks/${id}/reschedule`), `Task ${id} is due now`),
				{ class: 'primary', icon: 'play' }) : null,
		live && app.mayCancel(queue) ? button('Cancel…', () => cancel(app, task), { class: 'danger-quiet', icon: 'close' }) : null,
		h('details.menu', { on: { focusout: closeMenu, keydown: closeMenu } }, h('summary.button', {}, icon('copy'), 'Copy'),
			h('div.sheet', {}, button('as curl', () => copy(asCurl(task), 'Command')),
				button('as SQL', () => copy(asSql(task), 'Statement')), button('the link', () => copy(location.href, 'Link')))),
	];
}

function closeMenu(event) {
	const menu = event.currentTarget;
	if (event.type === 'keydown' ? event.key === 'Escape' : !menu.contains(event.relatedTarget))
		menu.open = false;
}

async function cancel(app, { id, state: now }) {
	await ask({ title: `Cancel task ${id}?`, danger: true, action: 'Cancel the task',
		text: h('p', {}, now === 'running' ? 'Its worker is told, and may still finish it.' : 'It ends at once.'),
		inside: field('Reason', 'reason', `by ${app.who.name || app.who.role}, dashboard`),
		run: ({ reason }) => del(path`tasks/${id}` + query({ reason })) });
	app.refresh();
}

function shell(word) {
	return `'${String(word).replace(/'/g, `'\\''`)}'`;
}

function literal(word) {
	return `'${String(word).replace(/'/g, "''")}'`;
}

/** The same task once more, through the gateway. */
function asCurl(task) {
	const gateway = new URL('../v1/', location.href.split('#')[0]);
	const members = Object.entries({ url: task.url, method: task.method, kind: task.kind, group_key: task.group_key })
		.filter(([, value]) => value).map(member);
	if (task.payload)
		members.unshift(`"payload":${task.payload.text}`);
	return ['curl -H "Authorization: Bearer $TOKEN" -H \'Content-Type: application/json\'', `-d ${shell(`{${members.join(',')}}`)}`,
		shell(gateway.href + path`queues/${task.queue}/tasks`)].join(' \\\n  ');
}

/** The same task once more, in SQL. */
function asSql(task) {
	const more = [task.payload ? `payload => ${literal(task.payload.text)}` : '', task.kind ? `kind => ${literal(task.kind)}` : '',
		task.group_key ? `group_key => ${literal(task.group_key)}` : ''].filter(Boolean);
	const first = task.url && /^https?:/.test(task.url)
		? `select taskq.submit_http(${literal(task.url)}, method => ${literal(task.method || 'POST')}, queue => ${literal(task.queue)}`
		: `select taskq.submit(${literal(task.queue)}`;
	return `${[first, ...more].join(', ')});`;
}
