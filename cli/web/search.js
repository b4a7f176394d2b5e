// search.js
//		The search of the frame: an id leads to the task, all else to the list of tasks.

import { h, icon } from './h.js';
import { query } from './api.js';

/* What may stand before a colon, and the filter that it is. */
const names = new Map(Object.entries({ queue: 'queue', state: 'state', kind: 'kind', key: 'key', error: 'error', worker: 'worker',
	class: 'class', group: 'group_key' }));

/** Where a search leads to. @param {string} text */
function destination(text) {
	const wanted = text.trim();
	/** @type {Record<string, string>} */
	const filters = {};
	if (/^\d{1,19}$/.test(wanted))
		return `#/tasks/${wanted}`;
	if (wanted.startsWith('{') || wanted.startsWith('['))
		return `#/tasks${query({ payload: wanted })}`;
	const rest = wanted.replace(/(\w+):("[^"]*"|\S+)/g, (all, name, value) => {
		if (!names.has(name))
			return all;
		filters[names.get(name)] = value.replace(/^"(.*)"$/, '$1');
		return '';
	}).trim();
	return `#/tasks${query({ ...filters, key_prefix: rest })}`;
}

export function search(app) {
	return h('form.search', { role: 'search', on: { submit(event) {
		const input = event.target.elements.namedItem('search');
		event.preventDefault();
		app.go(destination(input.value));
		input.value = '';
	} } },
	icon('tasks'),
	h('input', { id: 'search', name: 'search', type: 'search', autocomplete: 'off', spellcheck: 'false',
		'aria-label': 'Search tasks: an id, the beginning of a key, queue:mail state:dead, or JSON',
		placeholder: 'Id, key, state:dead, {"order": 7} …' }),
	h('kbd', { 'aria-hidden': 'true' }, '/'));
}
