// health.js
//		All checks, the versions, and the switches of the whole database.

import { get, post } from './api.js';
import { ask } from './dialog.js';
import { visible } from './format.js';
import { h } from './h.js';
import { button, card, checks, facts } from './parts.js';

const order = ['critical', 'warning', 'information', 'ok'];

export default function page(app) {
	/** @type {any} */ let status = null;
	return {
		title: 'Health',
		async load() {
			status = await get('status');
			app.status = status;
		},
		actions: () => (status && app.may('admin') ? buttons(app, status.checks) : null),
		render: () => h('div.grid.two-one', {},
			h('div', {}, card('Checks', checks([...status.checks].sort((a, b) => order.indexOf(a.severity) - order.indexOf(b.severity))))),
			h('div', {}, card('Versions', facts([['Extension', status.extension], ['Gateway', app.who.version],
				['PostgreSQL', status.server], ['Database', status.database]])),
			card(`What ${app.who.role} may do`, facts(privileges(app.who))))),
	};
}

/** @returns {[string, any][]} */
function privileges({ privileges: all = {}, queues = {} }) {
	const everywhere = Object.keys(all).filter((name) => all[name]);
	return [['For every queue', everywhere.join(', ') || 'nothing'],
		...Object.keys(queues).map((name) => /** @type {[string, any]} */ ([visible(name), queues[name].join(', ')]))];
}

function buttons(app, list) {
	const wrong = (name) => list.some((check) => check.check === name && check.severity !== 'ok');
	return [
		wrong('executor') ? button('Start the executor', () => app.act(() => post('executor/start'), 'The executor was started'),
			{ class: 'primary', icon: 'play' }) : null,
		wrong('armed') ? button('Arm…', () => arm(app), { class: 'primary', icon: 'play' })
			: button('Disarm…', () => disarm(app), { class: 'danger-quiet', icon: 'pause' }),
	];
}

async function arm(app) {
	await ask({ title: 'Arm this database?', action: 'Arm',
		text: h('p', {}, 'It may send requests from now on. In a copy of another database they would be sent twice.'),
		run: () => post('arm') });
	app.refresh();
}

async function disarm(app) {
	await ask({ title: 'Disarm this database?', action: 'Disarm', danger: true,
		text: h('p', {}, 'No request is sent until it is armed again. Requests under way go on.'), run: () => post('disarm') });
	app.refresh();
}
