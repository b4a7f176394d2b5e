#!/usr/bin/env node
// worker.js
//		A worker in Node.js: one process does many tasks at a time.
//
// usage: taskq work QUEUE -j 10 --lines --per-child 10 -- examples/worker.js
//
// The payload is {"text": TEXT}; the result has the text in capitals.
'use strict';
const readline = require('readline');

const answer = (task, what) => process.stdout.write(JSON.stringify({ id: task.id, ...what }) + '\n');

// Returns the result.  An exception fails the attempt, which the retry policy repeats.
async function work(task) {
	if (typeof task.payload?.text !== 'string')
		throw Object.assign(new Error('the payload has no text'), { permanent: true });
	return { text: task.payload.text.toUpperCase() };
}

async function run(task) {
	try {
		answer(task, { progress: 0.5, message: 'half of it' });
		answer(task, { finish: await work(task) });
	} catch (error) {
		answer(task, { fail: error.message, permanent: Boolean(error.permanent) });
	}
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
	const message = JSON.parse(line);
	if (message?.task) return run(message.task);
	if (message?.cancel) return undefined; // such short work is finished anyway
	console.error('this is a worker for taskq work --lines');
	return process.exit(1);
});
