// overview.js
//		The first page: is all well, and if not, where.

import { get } from './api.js';
import { charts, windowChoice } from './charts.js';
import { spark } from './chart.js';
import { count, duration, number, rate, visible } from './format.js';
import { h, icon } from './h.js';
import { badge, card, checks, nothing, oldest, queueLink, tile, wrong } from './parts.js';
import { points, span, totals } from './stats.js';

export default function page(app) {
	let queues = [];
	let endpoints = [];
	const self = {
		title: 'Overview',
		window: 3600,
		async load() {
			[{ queues }, { endpoints }] = await Promise.all([get('queues'), get('endpoints')]);
		},
		actions: () => windowChoice(self, app),
		render() {
			const [backlog, throughput, failures] = charts(app, 'all', self.window);
			const bad = wrong(app.status);
			const looks = needsLook(queues, endpoints, app.stats?.queues || []);
			return [
				verdict(app, bad, looks),
				tiles(app, self.window, new Set(queues.filter((queue) => queue.paused).map((queue) => queue.queue))),
				h('div.grid.two-one', {}, backlog, attention(looks)),
				h('div.grid.two', {}, throughput, failures),
				bad.length > 0 ? card('Checks', checks(bad), h('p', {}, h('a', { href: '#/health' }, 'All checks'))) : null,
			];
		},
	};
	return self;
}

function verdict(app, bad, looks) {
	if (!app.status || !app.stats)
		return null;
	const critical = bad.some((check) => check.severity === 'critical');
	if (bad.length === 0 && looks.length === 0)
		return h('p.verdict.good', { key: 'verdict' }, icon('check'), h('span', {}, h('strong', {}, 'All is well. '),
			`${count(app.stats.queues.length, 'queue')}, every check is ok.`));
	return h('p.verdict', { key: 'verdict', class: critical ? 'bad' : 'warn' }, icon('alert'), h('span', {},
		h('strong', {}, critical ? 'Something is wrong. ' : 'Something needs a look. '),
		bad.length > 0 ? `${count(bad.length, 'check')}: ${bad.map((check) => check.check).join(', ')}` : count(looks.length, 'queue')));
}

function tiles(app, window, paused) {
	const { stats } = app;
	if (!stats)
		return null;
	const now = totals(stats.queues, paused);
	const line = (name, tone) => (stats.series ? spark(points(stats, name, span(stats, window), 60), tone) : null);
	const failed = (stats.series?.dead_per_s || []).reduce((sum, one) => sum + one * stats.series.step, 0);
	return h('div.tiles', {},
		tile('Pending', number(now.pending), `${number(now.due)} due now`, line('pending', 'pending')),
		tile('Running', number(now.running), 'in the hands of workers', line('running', 'running')),
		tile('Finished', rate(now.finished_per_s), 'over all queues', line('finished_per_s', 'finished')),
		tile('Failed', number(Math.round(failed)), 'dead or expired', line('dead_per_s', 'dead'), failed >= 1 ? 'bad' : ''),
		oldest(now.oldest_due_age));
}

/** Queues with something to look at, the worst first. */
function needsLook(queues, endpoints, stats) {
	const now = new Map(stats.map((one) => [one.queue, one]));
	const circuits = new Map(endpoints.map((one) => [one.endpoint, one]));
	const found = [];
	for (const queue of queues) {
		const one = now.get(queue.queue) || queue;
		const endpoint = circuits.get(queue.queue);
		const reasons = [];
		if (endpoint?.secrets_missing)
			reasons.push(['bad', 'secrets missing']);
		if (endpoint && endpoint.circuit !== 'closed')
			reasons.push(['bad', `circuit ${endpoint.circuit}`]);
		if (one.oldest_due_age > 60 && !queue.paused)
			reasons.push([one.oldest_due_age > 900 ? 'bad' : 'warn', `due for ${duration(one.oldest_due_age)}`]);
		if (one.dead_per_s > 0)
			reasons.push(['bad', `failing, ${rate(one.dead_per_s)}`]);
		if (queue.paused)
			reasons.push(['plain', 'paused']);
		if (reasons.length > 0)
			found.push({ queue: queue.queue, reasons, rank: reasons.some(([tone]) => tone === 'bad') ? 0 : 1, why: queue.pause_reason });
	}
	return found.sort((a, b) => a.rank - b.rank);
}

function attention(looks) {
	return card('Needs a look', looks.length === 0 ? nothing('No queue', 'None is late, failing or paused.')
		: h('ul.looks', {}, looks.slice(0, 8).map(({ queue, reasons, why }) => h('li', { key: queue },
			queueLink(queue), h('span.badges', {}, reasons.map(([tone, text]) => badge(text, tone, tone === 'plain' ? 'pause' : 'alert'))),
			why ? h('p.note', {}, visible(why)) : null)),
		looks.length > 8 ? h('li', {}, h('a', { href: '#/queues' }, `${looks.length - 8} more`)) : null));
}
