// app.js
//		The frame of the dashboard: which page is shown, who is logged in, the refresh.

import { ApiError, events, get } from './api.js';
import { fault, say } from './dialog.js';
import { h, icon, patch } from './h.js';
import { listenToKeys } from './keys.js';
import { look } from './stats.js';
import { dress, settings } from './settings.js';
import endpoints from './endpoints.js';
import health from './health.js';
import login from './login.js';
import overview from './overview.js';
import queue from './queue.js';
import queues from './queues.js';
import schedules from './schedules.js';
import settingsPage from './settings.js';
import task from './task.js';
import tasks from './tasks.js';
import workers from './workers.js';
import { search } from './search.js';
import { side } from './side.js';
import { wrong } from './parts.js';

/**
 * @typedef {Object} Page
 * @property {string} title
 * @property {any} [heading] instead of the title
 * @property {number} [window] seconds of the past that its charts show
 * @property {string} [queue] which its charts are about
 * @property {() => any} [actions] buttons beside the heading
 * @property {() => Promise<void>} [load] gets what it shows; again at each refresh
 * @property {() => any} render
 */

const lists = new Map(Object.entries({ '': overview, queues, tasks, endpoints, schedules, workers, health, settings: settingsPage }));
const details = new Map(Object.entries({ queues: queue, tasks: task, schedules }));

const checkEvery = 10000;
let checked = 0;
/** @type {Page | null} */
let page = null;
let loaded = false;
/* The address that the page is for. */
let where = '';
let trouble = null;
let open = false;
let timer = 0;

export const app = {
	/** @type {any} */ who: null,
	/** @type {any} */ stats: null,
	/** @type {any} */ status: null,
	paused: false,

	/** Whether the role may do something with a queue, or with all. */
	may(privilege, name = '') {
		const { privileges = {}, queues: single = {} } = this.who || {};
		return Boolean(privileges.admin || privileges[privilege] || single[name]?.includes(privilege));
	},

	mayCancel(name) {
		return this.may('control', name) || this.may('submit', name);
	},

	/** Goes to another page. @param {string} hash */
	go(hash) {
		if (location.hash === hash)
			turn();
		else
			location.hash = hash;
	},

	/** Does something, says what became of it, and shows the new state. */
	async act(does, text) {
		try {
			const answer = await does();
			say(typeof text === 'function' ? text(answer) : text);
		}
		catch (error) {
			say([error.message, error.detail, error.hint].filter(Boolean).join(' '), 'bad');
		}
		await this.refresh();
	},

	redraw: () => draw(),

	/** Shows the login. */
	leave() {
		this.who = null;
		draw();
	},

	async refresh() {
		clearTimeout(timer);
		await renew();
		plan();
	},

	pause() {
		this.paused = !this.paused;
		if (this.paused)
			draw();
		else
			this.refresh();
	},
};

/* ---- the refresh ----------------------------------------------------------------------------- */

/** Why nothing is refreshed just now: what is read or chosen must not move. */
function held() {
	const selection = getSelection();
	if (document.hidden)
		return 'hidden';
	if (selection && selection.type === 'Range' && !selection.isCollapsed)
		return 'a text is selected';
	if (document.querySelector('dialog[open], details.menu[open]'))
		return 'a menu is open';
	return '';
}

function plan() {
	clearTimeout(timer);
	timer = setTimeout(async () => {
		if (app.who && !app.paused && !held())
			await renew();
		else if (app.who)
			patch(/** @type {HTMLElement} */ (document.querySelector('.live')), live());
		plan();
	}, settings.refresh * 1000);
}

async function renew() {
	const shown = page;
	if (!app.who || !shown)
		return;
	let fault = null;
	let stats = null;
	try {
		[stats] = await Promise.all([look(shown.window, shown.queue), shown.load?.(), check()]);
	}
	catch (error) {
		fault = error instanceof ApiError ? error : new ApiError(0, { reason: String(error) });
		if (!(error instanceof ApiError))
			console.error(error);
	}
	// What was asked for a page that is gone is of no use to the one that is there.
	if (shown !== page)
		return;
	app.stats = stats || app.stats;
	trouble = fault;
	loaded = true;
	draw();
}

async function check() {
	if (Date.now() - checked < checkEvery)
		return;
	checked = Date.now();
	app.status = await get('status');
}

/* ---- which page ------------------------------------------------------------------------------- */

function place() {
	const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
	const [name, ...args] = path.split('/').map((part) => {
		try {
			return decodeURIComponent(part);
		}
		catch (error) {
			return part;
		}
	});
	return { name, args, query: new URLSearchParams(query) };
}

/** @returns {Page} */
function find() {
	const { name, args, query } = place();
	const make = (args.length > 0 && args[0] !== '' ? details : lists).get(name);
	return make ? make(app, args[0] || '', query) : {
		title: 'Not found', render: () => h('p', {}, 'There is no such page. ', h('a', { href: '#/' }, 'Overview')),
	};
}

async function turn() {
	open = false;
	where = location.hash;
	page = find();
	loaded = !page.load;
	trouble = null;
	if (!app.who)
		return;
	draw();
	scrollTo(0, 0);
	document.querySelector('h1')?.focus({ preventScroll: true });
	await app.refresh();
}

/* ---- drawing ----------------------------------------------------------------------------------- */

function draw() {
	const root = /** @type {HTMLElement} */ (document.getElementById('app'));
	const fresh = app.who ? frame() : login(start);
	if (root.firstChild)
		patch(root.firstChild, fresh);
	else
		root.append(fresh);
	// So that a tab in the background tells, too.
	const bad = app.who ? wrong(app.status).length : 0;
	document.title = `${bad > 0 ? `(${bad}) ` : ''}${app.who && page ? `${page.title} · ` : ''}taskq`;
}

function frame() {
	return h('div.frame', { key: 'frame' },
		side(app, place().name, open, () => { open = !open; draw(); }),
		h('div.body', {},
			h('div.bar', {}, search(app), live()),
			h('main', { id: 'main', tabindex: '-1', key: where.split('?')[0], 'aria-busy': String(!loaded), 'data-place': where },
				h('div.head', {}, h('h1', { tabindex: '-1' }, page?.heading || page?.title),
					h('div.buttons', {}, loaded ? page?.actions?.() : null)),
				trouble ? fault(trouble) : null,
				loaded ? content() : h('p.loading', {}, 'Loading…'))));
}

function content() {
	try {
		return h('div.content', {}, page?.render());
	}
	catch (error) {
		// What could not be loaded cannot be drawn: the trouble above says why.
		if (!trouble)
			throw error;
		return null;
	}
}

/** Whether the numbers move, and the button that stops them. */
function live() {
	const reason = app.paused ? 'Paused' : trouble ? 'Trying again' : held() ? 'Held' : 'Live';
	const tone = { Paused: 'off', Held: 'off', Live: 'on' }[reason] || 'bad';
	return h('button.live', { type: 'button', class: tone,
		title: held() && !app.paused ? `Held: ${held()}` : 'Pause or resume the refresh (p)',
		'aria-label': `${reason}: ${app.paused ? 'resume' : 'pause'} the refresh`,
		on: { click: () => app.pause() } }, h('span.dot', {}), reason, icon(app.paused ? 'play' : 'pause'));
}

/* ---- the start ---------------------------------------------------------------------------------- */

async function start() {
	try {
		app.who = await get('whoami');
	}
	catch (error) {
		app.who = null;
		if (error.status !== 401) {
			say(error.message, 'bad');
			setTimeout(start, 3000);
		}
	}
	checked = 0;
	if (app.who)
		await turn();
	else
		draw();
}

events.onLogin = () => {
	if (app.who) {
		say('The session has ended. Log in again to go on.', 'bad');
		app.leave();
	}
};

dress();
listenToKeys(app);
addEventListener('hashchange', turn);
document.addEventListener('visibilitychange', () => {
	if (!document.hidden && !app.paused)
		app.refresh();
});
start();
