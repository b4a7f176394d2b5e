// bulk.js
//		Retry or cancel all tasks that match a search: first how many, then batch after batch.
//
// The gateway does it where its filters suffice; else the tasks are searched and done one by one.

import { del, get, path, post, query } from './api.js';
import { fault } from './dialog.js';
import { count, member, number, start, time } from './format.js';
import { h, patch } from './h.js';
import { button, field } from './parts.js';

const suits = { retry: ['dead', 'cancelled', 'expired'], cancel: ['pending', 'running'] };
const known = { retry: ['queue', 'state', 'kind', 'error'],
	cancel: ['queue', 'state', 'kind', 'key', 'key_prefix', 'payload', 'error', 'class', 'worker', 'since', 'until'] };
const batch = 1000;

/** The states of a search that an action suits. @param {'retry' | 'cancel'} action */
export function statesOf(action, filters) {
	const wanted = filters.state ? filters.state.split(',') : suits[action];
	return suits[action].filter((state) => wanted.includes(state));
}

/* Whether the gateway can do it at once. */
function isNative(action, filters) {
	return Boolean(filters.queue) && Object.keys(filters).every((name) => known[action].includes(name));
}

/* The body of POST /v1/bulk; a payload goes as the text that was typed. */
function body(action, filters, more) {
	const { state, payload, ...rest } = filters;
	const pieces = Object.entries({ ...rest, states: statesOf(action, filters) })
		.map(member);
	if (payload)
		pieces.push(`"payload":${payload}`);
	const members = Object.entries({ action, limit: batch, ...more }).map(member);
	return `{${members.join(',')},"filter":{${pieces.join(',')}}}`;
}

function searched(action, filters, after, limit) {
	return get(`tasks${query({ ...filters, state: statesOf(action, filters).join(','), limit, preview: 1, after })}`);
}

/** One task; what became of it. @returns {Promise<'done' | 'skipped' | 'failed'>} */
export async function one(action, id, reason) {
	try {
		await (action === 'retry' ? post(path`tasks/${id}/retry`) : del(path`tasks/${id}` + query({ reason })));
		return 'done';
	}
	catch (error) {
		if (error.status === 404 || error.status === 409)
			return 'skipped';
		if (error.status === 0 || error.status === 401 || error.status === 403 || error.status >= 500)
			throw error;
		return 'failed';
	}
}

/** Counts what would be done, at most a batch. */
async function dryRun(action, filters) {
	if (isNative(action, filters)) {
		const { would_do: n, more, scanned } = await post('bulk', body(action, filters, { dry_run: true }));
		return { n, more, scanned };
	}
	const found = await searched(action, filters, '', batch);
	return { n: found.tasks.length, more: !found.complete, scanned: found.scanned };
}

/** Does it; tells of each batch. @param {{stopped: boolean, done: number, skipped: number, failed: number}} run */
async function all(action, filters, values, run, tell) {
	let natively = isNative(action, filters);
	let more = true;
	let after = '';
	while (more && !run.stopped) {
		if (natively) {
			const extra = action === 'retry' ? { spread: values.spread } : { reason: values.reason };
			// What dies again meanwhile is left alone: it ended after the beginning.
			const limited = action === 'retry' ? { ...filters, until: run.begun } : filters;
			const answer = await post('bulk', body(action, limited, extra));
			run.done += answer.done;
			run.skipped += answer.skipped;
			more = answer.more;
			// The gateway looks at so many tasks and found none: what lies behind them is searched page by page.
			natively = answer.done > 0;
		}
		else {
			const found = await searched(action, filters, after, 200);
			for (const { id } of found.tasks)
				if (!run.stopped)
					run[await one(action, id, values.reason)]++;
			after = found.next;
			more = !found.complete && Boolean(after);
		}
		tell();
	}
}

function words(filters) {
	return Object.entries(filters).map(([name, value]) => h('span.badge.plain', {}, `${name}: ${start(value, 60)}`));
}

/** Asks, counts, does; resolves when the dialog is closed. */
export function runBulk(app, action, filters) {
	const verb = action === 'retry' ? 'Retry' : 'Cancel';
	const run = { phase: 'counting', stopped: false, done: 0, skipped: 0, failed: 0, trouble: null, found: null,
		begun: new Date((app.stats?.at ?? Date.now() / 1000) * 1000).toISOString() };
	return new Promise((resolve) => {
		const dialog = h('dialog', { 'aria-labelledby': 'bulk-title', on: { close } }, inside());
		const draw = () => patch(dialog.firstChild, inside());

		function close() {
			run.stopped = true;
			dialog.remove();
			resolve(run);
		}

		async function step(phase, does) {
			run.phase = phase;
			draw();
			try {
				await does();
			}
			catch (error) {
				run.trouble = error;
			}
			run.phase = run.phase === 'counting' ? 'asking' : 'over';
			draw();
		}

		function submit(event) {
			event.preventDefault();
			const values = Object.fromEntries(new FormData(event.target));
			step('running', () => all(action, filters, values, run, draw));
		}

		function inside() {
			return h('form', { method: 'dialog', on: { submit } },
				h('h2', { id: 'bulk-title' }, `${verb} all that match`),
				h('p.badges', {}, words(filters)),
				h('div', { 'aria-live': 'polite' }, told(run, verb)),
				run.trouble ? fault(run.trouble) : null,
				run.phase === 'asking' ? options(app, action) : null,
				h('div.buttons', {},
					run.phase === 'running' ? button('Stop', () => { run.stopped = true; draw(); }) : button('Close', () => dialog.close()),
					run.phase === 'asking' && (run.found?.n > 0 || run.found?.more)
						? h('button', { type: 'submit', class: action === 'cancel' ? 'danger' : 'primary' },
							run.found.more ? `${verb} all` : `${verb} ${count(run.found.n, 'task')}`) : null));
		}

		document.body.append(dialog);
		dialog.showModal();
		step('counting', async () => { run.found = await dryRun(action, filters); });
	});
}

function told(run, verb) {
	const { found } = run;
	if (run.phase === 'counting')
		return h('p', {}, 'Counting…');
	if (run.phase === 'asking')
		return !found ? null : h('p', {},
			h('strong', {}, found.n === 0 ? 'No task matches' : `${found.more ? 'At least ' : ''}${count(found.n, 'task')}`),
			found.n > 0 ? ` would be ${verb === 'Retry' ? 'tried again' : 'cancelled'}` : '',
			found.scanned ? `; ${count(found.scanned, 'task')} looked at` : '', found.more ? ', and there may be more.' : '.');
	return [h('p', {}, run.phase === 'running' ? (run.stopped ? 'Stopping…' : 'Working…') : run.stopped ? 'Stopped.' : 'Ready.'),
		h('dl.counts', {}, ['done', 'skipped', 'failed'].map((name) => h('div', {}, h('dt', {}, name), h('dd', {}, number(run[name])))))];
}

function options(app, action) {
	if (action === 'cancel')
		return field('Reason', 'reason', `by ${app.who.name || app.who.role}, dashboard`);
	return h('label.field', {}, h('span', {}, 'Let them start'), h('select', { name: 'spread' },
		[['0', 'at once'], ['1 min', 'spread over 1 min'], ['10 min', 'spread over 10 min'], ['1 h', 'spread over 1 h']]
			.map(([value, text]) => h('option', { value }, text))));
}

/** What was searched down to, in words. */
export function scope({ scanned, since, complete }) {
	if (complete)
		return `${count(scanned, 'task')} looked at: that is all.`;
	return `${count(scanned, 'task')} looked at${since ? `, down to those submitted at ${time(since)}` : ' so far'}.`;
}
