// peers.mjs
//		Runs no-op jobs through a Node.js job queue with its own worker.
//
// usage: node peers.mjs graphile-worker|pg-boss JOBS CONCURRENCY [usage | batch | limited|ordered GROUPS BACKLOG FULL]
//
// Run in a directory that has the packages; PGHOST and so on choose the
// database, in which the queue is made anew.  Prints jobs a second, from the start of the workers until the
// handler has been called JOBS times.
//
// usage: prints besides the CPU time a job in ms and the memory in MB, as usage.py.
//
// batch: for pg-boss; one job more waits for all others, and is counted.
//
// limited, ordered: of each group one job at a time runs, or one in order.
// BACKLOG jobs belong to GROUPS groups, in turn.  FULL is a number of groups more
// whose one job runs all the time, and of which an older job waits.

import pg from 'pg';

const [peer, jobs, concurrency] = [process.argv[2], +process.argv[3], +process.argv[4]];
const usage = process.argv[5] === 'usage';
const [kind, groups, backlog, full] = [usage ? undefined : process.argv[5], +process.argv[6], +(process.argv[7] ?? jobs), +(process.argv[8] ?? 0)];
const client = new pg.Client();
const data = { p: 'x'.repeat(191) };

// Calls of the handler are counted; `all` resolves at the last one.
const calls = kind === 'batch' ? jobs + 1 : jobs;
let resolveAll;
let handled = 0;
const all = new Promise((resolve) => { resolveAll = resolve; });
const count = (n) => {
	handled += n;
	if (handled >= calls) resolveAll(performance.now());
};

// Inserts jobs of the groups NAME0, NAME1, ... in turn, 1 000 at a time.
async function fill(insert, number, name, inTurn) {
	for (let first = 0; first < number; first += 1000)
		await insert(Array.from({ length: Math.min(number - first, 1000) }, (_, i) => kind && name + ((first + i) % inTurn)));
}

// The backlog, behind the jobs of full groups; `run` makes all that is there run.
async function fillAll(insert, run) {
	if (full) {
		await fill(insert, full, 'full', full);
		await client.query(run);
		await fill(insert, full, 'full', full);
	}
	await fill(insert, backlog, 'group', groups);
	await client.query('vacuum analyze');
}

// The CPU time is counted from here, too.
let cpu;
function begin() {
	cpu = process.cpuUsage();
	return performance.now();
}

async function graphileWorker() {
	const { run, makeWorkerUtils, Logger } = await import('graphile-worker');
	const logger = new Logger(() => () => {});
	const utils = await makeWorkerUtils({ logger });
	await utils.migrate();
	await fillAll(
		(names) => utils.addJobs(names.map((queueName) => ({ identifier: 'noop', payload: data, queueName }))),
		`update graphile_worker._private_jobs set locked_at = now(), locked_by = 'other';
		update graphile_worker._private_job_queues set locked_at = now(), locked_by = 'other'`);
	await utils.release();
	const start = begin();
	await run({
		logger, concurrency, noHandleSignals: true,
		maxPoolSize: concurrency + 2, taskList: { noop: async () => count(1) },
	});
	return (await all) - start;
}

// Jobs, and one that waits for all of them.
async function fillBatch(boss) {
	const members = Array.from({ length: jobs }, (_, i) => ({ ref: `member${i}`, name: 'noop', data }));
	await boss.flow([...members, { ref: 'dependent', name: 'noop', data, dependsOn: members.map(({ ref }) => ref) }]);
	await client.query('vacuum analyze');
}

// Two jobs a fetch: the least with which a worker goes on without a pause.
async function pgBoss() {
	const { PgBoss } = await import('pg-boss');
	const boss = new PgBoss({ max: concurrency + 2 });
	boss.on('error', (error) => { console.error(error); process.exit(1); });
	await boss.start();
	await boss.createQueue('noop', kind === 'ordered' ? { policy: 'key_strict_fifo' } : {});
	if (kind === 'batch') await fillBatch(boss);
	else await fillAll(
		(names) => boss.insert('noop', names.map((name) => ({
			data,
			...(kind === 'limited' && { group: { id: name } }),
			...(kind === 'ordered' && { singletonKey: name }),
		}))),
		"update pgboss.job set state = 'active', started_on = now() where name = 'noop'");
	const start = begin();
	const options = { localConcurrency: concurrency, batchSize: 2, burstWhenBatchFull: true };
	if (kind === 'limited') options.groupConcurrency = 1;
	await boss.work('noop', options, async (batch) => count(batch.length));
	return (await all) - start;
}

await client.connect();
await client.query('drop schema if exists graphile_worker, pgboss cascade');
const took = await { 'graphile-worker': graphileWorker, 'pg-boss': pgBoss }[peer]();
const { user, system } = process.cpuUsage(cpu);
const used = [((user + system) / 1000 / jobs).toFixed(3), Math.round(process.memoryUsage.rss() / 1048576)];
console.log(Math.round((1000 * jobs) / took), ...(usage ? used : []));
process.exit(0);
