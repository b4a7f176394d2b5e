// settings.js
//		What the reader has chosen, kept in this browser; and the page to choose it.

import { h } from './h.js';

const defaults = { theme: 'system', utc: false, refresh: 2, keys: true };

/** @type {{theme: string, utc: boolean, refresh: number, keys: boolean}} */
export const settings = load();

function load() {
	try {
		return { ...defaults, ...JSON.parse(localStorage.getItem('taskq') || '{}') };
	}
	catch (error) {
		return { ...defaults };
	}
}

/** @param {Partial<typeof settings>} changes */
export function change(changes) {
	Object.assign(settings, changes);
	try {
		localStorage.setItem('taskq', JSON.stringify(settings));
	}
	catch (error) {
		// A browser that keeps nothing forgets it at the end.
	}
	dress();
}

/** Shows the page in the chosen theme. */
export function dress() {
	if (settings.theme === 'system')
		document.documentElement.removeAttribute('data-theme');
	else
		document.documentElement.setAttribute('data-theme', settings.theme);
}

function choice(app, legend, about, name, options) {
	return h('fieldset.choice', {},
		h('legend', {}, legend),
		h('div.segments', {}, options.map(([value, text]) => h('label', {},
			h('input', { type: 'radio', name, value: String(value), checked: settings[name] === value,
				on: { change: () => { change({ [name]: value }); app.redraw(); } } }),
			h('span', {}, text)))),
		h('p.note', {}, about));
}

export default function page(app) {
	return {
		title: 'Settings',
		render: () => h('div.narrow', {}, h('section.card', {},
			choice(app, 'Theme', 'System follows your device.', 'theme',
				[['system', 'System'], ['light', 'Light'], ['dark', 'Dark']]),
			choice(app, 'Times', `Local is ${Intl.DateTimeFormat().resolvedOptions().timeZone}.`, 'utc',
				[[false, 'Local'], [true, 'UTC']]),
			choice(app, 'Refresh', 'The refresh also waits while the tab is hidden, or a text is selected.', 'refresh',
				[[1, '1 s'], [2, '2 s'], [5, '5 s'], [10, '10 s']]),
			choice(app, 'Keys', 'Single keys: / searches, g q shows the queues, ? lists all.', 'keys', [[true, 'On'], [false, 'Off']])),
		h('p.note', {}, 'These settings are kept in this browser.')),
	};
}
