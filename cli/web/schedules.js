// schedules.js
//		Schedules: when each was and will be, and what became of its times.

import { get, path, post } from './api.js';
import { lasts, time, visible } from './format.js';
import { h } from './h.js';
import { badge, button, card, facts, foreign, nothing, taskLink, when } from './parts.js';
import { table } from './table.js';

const example = "select taskq.schedule('nightly', '{\"queue\": \"reports\"}', cron => '0 3 * * *')";

export default function page(app, name) {
	return name ? single(app, name) : all(app);
}

function href(name) {
	return `#/schedules/${encodeURIComponent(name)}`;
}

function rule(row) {
	return h('code', {}, row.cron ? visible(row.cron) : `every ${lasts(row.every, '–')}`);
}

function outcome(text) {
	const looks = { submitted: ['good', 'check'], skipped: ['plain', 'info'], missed: ['warn', 'alert'], failed: ['bad', 'alert'] };
	const [tone, picture] = looks[text] || ['plain', ''];
	return text ? badge(text, tone, picture) : '–';
}

function all(app) {
	let schedules = [];
	return {
		title: 'Schedules',
		async load() {
			({ schedules } = await get('schedules'));
		},
		render: () => table({
			id: 'schedules',
			caption: 'Schedules',
			rows: schedules,
			key: (row) => row.schedule,
			redraw: app.redraw,
			empty: nothing('There is no schedule', h('code', {}, example), 'schedules'),
			columns: [
				{ title: 'Schedule', class: 'main', sort: (row) => row.schedule, cell: (row) => [
					h('a.name', { href: href(row.schedule) }, h('bdi', {}, visible(row.schedule))),
					row.paused ? badge('paused', 'warn', 'pause') : null] },
				{ title: 'When', cell: (row) => [rule(row), h('span.note', {}, ` ${row.timezone}`)] },
				{ title: 'Next', sort: (row) => row.next_run || '~', cell: (row) => when(row.next_run) },
				{ title: 'Last', sort: (row) => row.last_run || '', cell: (row) => when(row.last_run) },
				{ title: 'Outcome', sort: (row) => row.last_outcome || '', cell: (row) => outcome(row.last_outcome) },
				{ title: 'Last task', cell: (row) => (row.last_task ? taskLink(row.last_task) : '–') },
				{ title: '', class: 'act', cell: (row) => buttons(app, row, 'quiet small') },
			],
		}),
	};
}

/* The database decides whose schedules a role may change; who can submit nothing can change none. */
function buttons(app, row, style = '') {
	const name = row.schedule;
	const verb = row.paused ? 'resume' : 'pause';
	if (!app.may('submit') && !Object.values(app.who.queues || {}).some((privileges) => privileges.includes('submit')))
		return null;
	return h('span.row', {},
		button('Run now', () => app.act(() => post(path`schedules/${name}/run`), (answer) => `Task ${answer.id} was submitted`),
			{ class: style, icon: 'plus', label: `Run ${visible(name)} now` }),
		button(row.paused ? 'Resume' : 'Pause', () => app.act(() => post(path`schedules/${name}/${verb}`),
			`Schedule ${visible(name)} is ${row.paused ? 'not paused any more' : 'paused'}`),
			{ class: style, icon: row.paused ? 'play' : 'pause', label: `${row.paused ? 'Resume' : 'Pause'} ${visible(name)}` }));
}

function single(app, name) {
	/** @type {any} */ let schedule = null;
	/** @type {any} */ let past = { runs: [], next: [] };
	return {
		title: name,
		heading: [h('bdi', {}, visible(name))],
		async load() {
			const [{ schedules }, runs] = await Promise.all([get('schedules'), get(path`schedules/${name}/runs`)]);
			schedule = schedules.find((one) => one.schedule === name);
			past = runs;
		},
		actions: () => (schedule ? buttons(app, schedule) : null),
		render: () => (schedule ? h('div.grid.two-one', {},
			h('div', {}, card('Last times', table({
				id: 'runs',
				caption: 'The last times and what became of them',
				rows: past.runs,
				key: (row) => `${row.run_at} ${row.fired_at}`,
				redraw: app.redraw,
				empty: nothing('None yet', 'It has not fired yet.', 'schedules'),
				columns: [
					{ title: 'Time', class: 'nowrap', cell: (row) => time(row.run_at) },
					{ title: 'Fired', cell: (row) => when(row.fired_at) },
					{ title: 'Outcome', cell: (row) => outcome(row.outcome) },
					{ title: 'Task', cell: (row) => (row.task_id ? taskLink(row.task_id) : '–') },
					{ title: 'Error', class: 'wide', cell: (row) => (row.error ? h('span.error', {}, visible(row.error)) : '–') }],
			}))),
			h('div', {}, card('Next times',
				schedule.paused ? h('p', {}, badge('paused', 'warn', 'pause'), ' None while it is paused.') : null,
				h('ol.plainlist', {}, past.next.map((at) => h('li', {}, time(at), h('span.note', {}, ' ', when(at)))))),
			card('Facts', facts([['When', rule(schedule)], ['Time zone', schedule.timezone], ['Owner', visible(schedule.owner)],
				['Overlap', schedule.overlap], ['Missed', schedule.missed], ['Missed within', lasts(schedule.missed_within, '')],
				['Jitter', schedule.jitter ? lasts(schedule.jitter, '') : ''], ['Starts', schedule.starts ? time(schedule.starts) : ''],
				['Ends', schedule.ends ? time(schedule.ends) : '']]),
			schedule.task ? foreign('Its task', schedule.task, app.redraw, { id: 'task' }) : null)))
			: nothing('There is no such schedule', 'Or it is not shown to this role.', 'schedules')),
	};
}
