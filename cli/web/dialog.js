// dialog.js
//		Questions before something is done, and words about what was done.

import { h, icon } from './h.js';
import { visible } from './format.js';

/** Says in a corner, and to screen readers, what became of an action. */
export function say(text, tone = 'good') {
	const note = h(`div.toast.${tone}`, {}, icon(tone === 'good' ? 'check' : 'alert'), h('span', {}, visible(text)),
		h('button.quiet.small', { type: 'button', 'aria-label': 'Close', on: { click: () => note.remove() } }, icon('close')));
	document.getElementById('toasts')?.append(note);
	setTimeout(() => note.remove(), tone === 'good' ? 5000 : 15000);
}

/** An error in the server's words: what, why, what to do. */
export function fault(error) {
	return h('div.fault', { role: 'alert' }, icon('alert'), h('div', {},
		h('p', {}, h('strong', {}, visible(error.message)), error.code ? h('code', {}, error.code) : null),
		error.detail ? h('p', {}, visible(error.detail)) : null,
		error.hint ? h('p.hint', {}, visible(error.hint)) : null));
}

/**
 * Asks.  `inside` is drawn between text and buttons; its named fields are the answer.
 * @param {{title: string, text?: any, action: string, danger?: boolean, typed?: string, inside?: any,
 *          run?: (values: Record<string, string>) => Promise<any>}} question
 *   `typed`: a name that must be typed first; `run`: does it, and the dialog stays if that fails
 * @returns {Promise<Record<string, string> | null>} null: no
 */
export function ask(question) {
	return new Promise((resolve) => {
		const button = h('button', { type: 'submit', class: question.danger ? 'danger' : 'primary',
			disabled: Boolean(question.typed) }, question.action);
		const trouble = h('div', {});
		const form = h('form', { method: 'dialog', on: { submit } },
			h('h2', { id: 'dialog-title' }, question.title),
			question.text ? h('div.text', {}, question.text) : null,
			question.inside,
			question.typed ? h('label.field', {}, h('span', {}, 'Type ', h('code', {}, question.typed), ' to confirm'),
				h('input', { name: 'typed', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', on: {
					input: (event) => { button.disabled = event.target.value !== question.typed; } } })) : null,
			trouble,
			h('div.buttons', {}, h('button', { type: 'button', on: { click: () => end(null) } }, 'Close'), button));
		const dialog = h('dialog', { 'aria-labelledby': 'dialog-title', on: { cancel: () => end(null) } }, form);

		async function submit(event) {
			event.preventDefault();
			const values = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, String(value)]));
			try {
				button.disabled = true;
				await question.run?.(values);
				end(values);
			}
			catch (error) {
				trouble.replaceChildren(fault(error));
				button.disabled = false;
			}
		}

		function end(values) {
			dialog.close();
			dialog.remove();
			resolve(values);
		}

		document.body.append(dialog);
		dialog.showModal();
	});
}

/** Shows something to read or to copy. */
export function show(title, ...inside) {
	const dialog = h('dialog', { 'aria-labelledby': 'dialog-title', on: { close: () => dialog.remove() } },
		h('form', { method: 'dialog' }, h('h2', { id: 'dialog-title' }, title), inside,
			h('div.buttons', {}, h('button.primary', { type: 'submit' }, 'Close'))));
	document.body.append(dialog);
	dialog.showModal();
}

/** Copies a text; where the browser forbids it, the text is shown, selected. */
export async function copy(text, what) {
	try {
		await navigator.clipboard.writeText(text);
		say(`${what} copied`);
	}
	catch (error) {
		const area = h('textarea', { readonly: true, rows: '8', 'aria-label': what }, text);
		show(`Copy ${what}`, area);
		area.select();
	}
}
