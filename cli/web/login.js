// login.js
//		The page that asks for the token.

import { h } from './h.js';
import { login } from './api.js';
import { fault } from './dialog.js';

/** @param {() => void} done */
export default function page(done) {
	return h('main.login', { id: 'main', key: 'login' },
		h('form.card', { on: { async submit(event) {
			const form = event.target;
			const input = form.elements.namedItem('token');
			event.preventDefault();
			try {
				await login(input.value.trim());
				done();
			}
			catch (error) {
				form.querySelector('.trouble').replaceChildren(fault(error));
				input.select();
			}
		} } },
		h('img', { src: 'icon.svg', alt: '', width: '44', height: '44' }),
		h('h1', {}, 'taskq'),
		h('p', {}, 'Log in with a token that may use the dashboard.'),
		h('input.hidden', { name: 'username', value: 'taskq', autocomplete: 'username', tabindex: '-1', 'aria-hidden': 'true' }),
		h('label.field', {}, h('span', {}, 'Token'), h('input', { name: 'token', type: 'password', required: true,
			autocomplete: 'current-password', placeholder: 'tq_…', autofocus: true })),
		h('div.trouble', {}),
		h('button.primary', { type: 'submit' }, 'Log in'),
		h('p.note', {}, h('code', {}, 'taskq token new NAME ROLE --ui'), ' makes one.')));
}
