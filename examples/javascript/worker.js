#!/usr/bin/env node
// worker.js
//		A worker with node-postgres: it writes a receipt for each paid order, exactly once.
//
// usage: worker.js QUEUE
//
// Connection: PGHOST, PGDATABASE and so on.  SIGTERM ends it, and gives its task back.
'use strict';
const { Client } = require('pg');

const QUEUE = process.argv[2];
const ACQUIRE = `select id, token, payload, extract(epoch from lease_until - clock_timestamp())::float8 * 1000 as lease
	from taskq.acquire($1, worker => $2)`;
let stopping = false;
let wake = () => {};

class Stopped extends Error {}
class Lost extends Error {}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Waits for a notification, a signal, or some seconds: a notification is only a hint.
const idle = () => new Promise((resolve) => {
	const timer = setTimeout(resolve, 5000);
	wake = () => { clearTimeout(timer); resolve(); };
});

// The work, in steps.  Returns the receipt.
async function work(payload, heart) {
	if (!payload?.order) throw new Error('the payload has no order');
	for (const end = Date.now() + 1000 * (payload.seconds ?? 0); Date.now() < end;) {
		if (stopping || heart.stop) throw new Stopped();
		await sleep(50);
	}
	return `order ${payload.order} is paid`;
}

// Keeps the lease; heart.stop is set if the task was cancelled, or if the lease is or may be lost.
function keep(beats, { id, token, lease }) {
	const heart = { stop: false };
	heart.timer = setInterval(async () => {
		try {
			const { rows } = await beats.query('select cancel_requested from taskq.heartbeat($1, $2)', [id, token]);
			heart.stop ||= !rows.length || rows[0].cancel_requested;
		} catch { heart.stop = true; }
	}, lease / 3);
	return heart;
}

async function perform(db, beats, task) {
	const { id, token, payload } = task;
	const heart = keep(beats, task);
	try {
		const text = await work(payload, heart);
		await db.query('begin');
		const { rows } = await db.query('select taskq.finish($1, $2, $3) as ours', [id, token, JSON.stringify({ text })]);
		if (!rows[0].ours) throw new Lost();
		await db.query('insert into receipt values ($1, $2)', [payload.order, text]);
		await db.query('commit');
	} catch (error) {
		await db.query('rollback'); // a warning, if no transaction was begun
		if (error instanceof Stopped) await db.query('select taskq.release($1, $2)', [id, token]);
		else if (!(error instanceof Lost)) await db.query('select taskq.fail($1, $2, $3)', [id, token, error.message]);
	} finally {
		clearInterval(heart.timer);
	}
}

async function session() {
	const db = new Client(), beats = new Client(), clients = [db, beats];
	clients.forEach((client) => client.on('error', () => wake()));
	db.on('notification', () => wake());
	try {
		await Promise.all(clients.map((client) => client.connect()));
		await db.query(`listen ${db.escapeIdentifier('taskq_' + QUEUE)}`);
		while (!stopping) {
			const woken = idle(); // begins before the look, so no notification is missed
			const { rows } = await db.query(ACQUIRE, [QUEUE, `node ${process.pid}`]);
			if (rows.length) { wake(); await perform(db, beats, rows[0]); } else await woken;
		}
	} finally {
		wake();
		clients.forEach((client) => client.end().catch(() => {})); // not awaited: of a lost one it may never end
	}
}

for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => { stopping = true; wake(); });
(async () => {
	while (!stopping)
		await session().catch((error) => { console.error(error.message); return sleep(1000); });
})();
