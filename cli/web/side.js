// side.js
//		The side of the frame: the pages, who is logged in, the theme.

import { logout } from './api.js';
import { h, icon } from './h.js';
import { wrong } from './parts.js';
import { change, settings } from './settings.js';

const menu = [['', 'Overview', 'overview'], ['queues', 'Queues', 'queues'], ['tasks', 'Tasks', 'tasks'],
	['endpoints', 'Endpoints', 'endpoints'], ['schedules', 'Schedules', 'schedules'], ['workers', 'Workers', 'workers'],
	['health', 'Health', 'health'], ['settings', 'Settings', 'settings']];

/** @param {any} app @param {string} here name of the page @param {boolean} open on a narrow screen @param {() => void} toggle */
export function side(app, here, open, toggle) {
	return h('header.side', { class: open ? 'open' : null },
		h('div.top', {},
			h('a.brand', { href: '#/' }, h('img', { src: 'icon.svg', alt: '', width: '26', height: '26' }), 'taskq'),
			h('button.quiet.menu-button', { type: 'button', 'aria-expanded': String(open), 'aria-controls': 'nav', 'aria-label': 'Menu',
				on: { click: toggle } }, icon(open ? 'close' : 'menu'))),
		h('nav', { id: 'nav', 'aria-label': 'Pages' }, h('ul', {}, menu.map(([name, title, picture]) => h('li', {},
			h('a', { href: `#/${name}`, 'aria-current': name === here ? 'page' : null }, icon(picture), title,
				name === 'health' ? count(app.status) : null))))),
		who(app));
}

function count(status) {
	const bad = wrong(status);
	const worst = bad.some((one) => one.severity === 'critical') ? 'bad' : 'warn';
	return bad.length > 0 ? h(`span.badge.${worst}`, {}, bad.length, h('span.hidden', {}, ' need a look')) : null;
}

function who(app) {
	const dark = settings.theme === 'dark' || (settings.theme === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
	const { name, role, anonymous, database } = app.who;
	const turn = () => {
		change({ theme: dark ? 'light' : 'dark' });
		app.redraw();
	};
	const leave = async () => {
		await logout();
		app.leave();
	};
	return h('div.who', {},
		h('p', {}, h('strong', {}, name || role),
			h('span.note', {}, [name && name !== role ? role : '', database].filter(Boolean).join(', '))),
		picture(dark ? 'Light theme' : 'Dark theme', dark ? 'sun' : 'moon', turn),
		anonymous ? null : picture('Log out', 'leave', leave));
}

function picture(title, name, act) {
	return h('button.quiet', { type: 'button', 'aria-label': title, title, on: { click: act } }, icon(name));
}
