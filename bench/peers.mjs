// peers.mjs
//		Runs no-op jobs through a Node.js job queue with its own worker.
//
// usage: node peers.mjs graphile-worker|pg-boss JOBS CONCURRENCY
//
// Run in a directory that has the packages; PGHOST and so on choose the
// database.  Prints jobs a second, from the start of the workers until the
// handler has been called for the last job.

const [peer, jobs, concurrency] = [process.argv[2], +process.argv[3], +process.argv[4]];
const data = { p: 'x'.repeat(191) };

// Calls of the handler are counted; `all` resolves at the last one.
let resolveAll;
let handled = 0;
const all = new Promise((resolve) => { resolveAll = resolve; });
const count = (n) => { if ((handled += n) === jobs) resolveAll(); };

async function graphileWorker() {
	const { run, makeWorkerUtils, Logger } = await import('graphile-worker');
	const logger = new Logger(() => () => {});
	const utils = await makeWorkerUtils({ logger });
	await utils.migrate();
	await utils.addJobs(Array.from({ length: jobs }, () => ({ identifier: 'noop', payload: data })));
	await utils.release();
	const start = performance.now();
	const runner = await run({
		logger, concurrency, noHandleSignals: true,
		maxPoolSize: concurrency + 2, taskList: { noop: async () => count(1) },
	});
	await all;
	const took = performance.now() - start;
	await runner.stop();
	return took;
}

// Two jobs a fetch: the least with which a worker goes on without a pause.
async function pgBoss() {
	const { PgBoss } = await import('pg-boss');
	const boss = new PgBoss({ max: concurrency + 2 });
	boss.on('error', (error) => { console.error(error); process.exit(1); });
	await boss.start();
	await boss.createQueue('noop');
	for (let left = jobs; left > 0; left -= 1000)
		await boss.insert('noop', Array.from({ length: Math.min(left, 1000) }, () => ({ data })));
	const start = performance.now();
	const options = { localConcurrency: concurrency, batchSize: 2, burstWhenBatchFull: true };
	await boss.work('noop', options, async (batch) => count(batch.length));
	await all;
	const took = performance.now() - start;
	await boss.stop();
	return took;
}

const took = await { 'graphile-worker': graphileWorker, 'pg-boss': pgBoss }[peer]();
console.log(Math.round((1000 * jobs) / took));
process.exit(0);
