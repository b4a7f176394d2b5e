#!/usr/bin/env node
// submit.js
//		Submits a task in the transaction that writes the data, with node-postgres.
//
// usage: submit.js ORDER
//
// The order is paid, and its receipt will be written: both, or none.  The key makes a repeat
// harmless: it prints the id of the task that is there.  Connection: PGHOST, PGDATABASE and so on.
'use strict';
const { Client } = require('pg');

async function main(order) {
	const db = new Client();
	await db.connect();
	try {
		await db.query('begin');
		await db.query("insert into orders values ($1, 'paid') on conflict (id) do nothing", [order]);
		// Ids are bigint: node-postgres returns them as strings.  Leave them so.
		const { rows } = await db.query('select taskq.submit($1, $2, key => $3) as id',
			['receipts', JSON.stringify({ order: Number(order) }), `receipt-${order}`]);
		await db.query('commit');
		console.log(rows[0].id);
	} finally {
		await db.end(); // without a commit this rolls back
	}
}

main(process.argv[2]).catch((error) => {
	console.error(error.message);
	process.exitCode = 1;
});
