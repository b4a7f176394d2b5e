// keys.js
//		The keyboard: search, pages, pause, help.

import { h } from './h.js';
import { show } from './dialog.js';
import { settings } from './settings.js';

const pages = { o: ['#/', 'Overview'], q: ['#/queues', 'Queues'], t: ['#/tasks', 'Tasks'], e: ['#/endpoints', 'Endpoints'],
	s: ['#/schedules', 'Schedules'], w: ['#/workers', 'Workers'], h: ['#/health', 'Health'] };

let afterG = 0;

export function listenToKeys(app) {
	document.addEventListener('keydown', (event) => {
		const target = /** @type {HTMLElement} */ (event.target);
		if (!settings.keys || !app.who || event.ctrlKey || event.metaKey || event.altKey ||
			document.querySelector('dialog[open]') || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
			return;
		if (press(app, event.key))
			event.preventDefault();
	});
}

function press(app, key) {
	const second = Date.now() - afterG < 1500 ? pages[key] : undefined;
	afterG = 0;
	if (second)
		app.go(second[0]);
	else if (key === 'g')
		afterG = Date.now();
	else if (key === '/')
		document.getElementById('search')?.focus();
	else if (key === 'p')
		app.pause();
	else if (key === 'r')
		app.refresh();
	else if (key === '?')
		help();
	else
		return false;
	return true;
}

function help() {
	const rows = [['/', 'Search'], ...Object.entries(pages).map(([key, [, title]]) => [`g ${key}`, title]),
		['p', 'Pause or resume the refresh'], ['r', 'Refresh now'], ['?', 'This list']];
	show('Keys', h('dl.keys', {}, rows.map(([keys, text]) => h('div', {},
		h('dt', {}, keys.split(' ').map((key) => h('kbd', {}, key))), h('dd', {}, text)))),
	h('p.note', {}, 'They can be turned off in Settings.'));
}
