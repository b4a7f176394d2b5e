#!/usr/bin/env php
<?php
// submit.php
//		Submits a task in the transaction that writes the data, with the extension pgsql.
//
// usage: submit.php ORDER
//
// The order is paid, and its receipt will be written: both, or none.  The key makes a repeat
// harmless: it prints the id of the task that is there.  Connection: PGHOST, PGDATABASE and so on.

$order = (int) $argv[1];
$db = pg_connect('') or exit(1);

function run($db, string $sql, array $values = [])
{
	$result = @pg_query_params($db, $sql, $values);
	if ($result === false)
		throw new RuntimeException(pg_last_error($db));
	return $result;
}

try {
	run($db, 'begin');
	run($db, "insert into orders values (\$1, 'paid') on conflict (id) do nothing", [$order]);
	$task = run($db, 'select taskq.submit($1, $2, key => $3)', ['receipts', json_encode(['order' => $order]), "receipt-$order"]);
	$id = pg_fetch_result($task, 0, 0);
	run($db, 'commit');
	echo "$id\n";
} catch (RuntimeException $error) {
	fwrite(STDERR, $error->getMessage() . "\n");
	exit(1); // the end of the connection rolls back
}
