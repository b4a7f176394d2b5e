#!/usr/bin/env php
<?php
// worker.php
//		A worker with the extension pgsql: it writes a receipt for each paid order, exactly once.
//
// usage: worker.php QUEUE
//
// Connection: PGHOST, PGDATABASE and so on.  SIGTERM ends it, and gives its task back.
// PHP has no threads, so the worker sends heartbeats between the steps of its work.

const ACQUIRE = 'select id, token, payload, extract(epoch from lease_until - clock_timestamp()) as lease
	from taskq.acquire($1, worker => $2)';

class Stopped extends Exception {} // the work is not wanted any more
class Lost extends Exception {} // the lease is lost
class Disconnected extends Exception {}

$queue = $argv[1];
$stopping = false;
pcntl_async_signals(true);
foreach ([SIGTERM, SIGINT] as $signal)
	pcntl_signal($signal, function () use (&$stopping) { $stopping = true; });

function run($db, string $sql, array $values = []): array
{
	$result = @pg_query_params($db, $sql, $values);
	if ($result !== false)
		return pg_fetch_all($result) ?: [];
	if (pg_connection_status($db) !== PGSQL_CONNECTION_OK)
		throw new Disconnected(pg_last_error($db));
	throw new RuntimeException(pg_last_error($db));
}

// The work, in steps.  Returns the receipt.
function work($db, array $task, array $payload): string
{
	global $stopping;
	$third = $task['lease'] / 3;
	$beat = microtime(true) + $third;
	$end = microtime(true) + ($payload['seconds'] ?? 0);
	while (microtime(true) < $end) {
		if ($stopping)
			throw new Stopped();
		if (microtime(true) >= $beat) {
			$rows = run($db, 'select cancel_requested from taskq.heartbeat($1, $2)', [$task['id'], $task['token']]);
			if (!$rows)
				throw new Lost();
			if ($rows[0]['cancel_requested'] === 't')
				throw new Stopped();
			$beat = microtime(true) + $third;
		}
		usleep(50000);
	}
	return 'order ' . ($payload['order'] ?? throw new RuntimeException('the payload has no order')) . ' is paid';
}

function perform($db, array $task): void
{
	$ids = [$task['id'], $task['token']];
	$payload = json_decode($task['payload'], true);
	try {
		$text = work($db, $task, is_array($payload) ? $payload : []);
		run($db, 'begin');
		$rows = run($db, 'select taskq.finish($1, $2, $3) as ours', [...$ids, json_encode(['text' => $text])]);
		if ($rows[0]['ours'] === 'f')
			throw new Lost();
		run($db, 'insert into receipt values ($1, $2)', [$payload['order'], $text]);
		run($db, 'commit');
	} catch (Stopped) {
		run($db, 'select taskq.release($1, $2)', $ids);
	} catch (Lost) {
		run($db, 'rollback'); // no effects
	} catch (RuntimeException $error) {
		run($db, 'rollback');
		run($db, 'select taskq.fail($1, $2, $3)', [...$ids, $error->getMessage()]);
	}
}

while (!$stopping) {
	try {
		$db = @pg_connect('', PGSQL_CONNECT_FORCE_NEW) ?: throw new Disconnected('no connection');
		while (!$stopping) {
			$tasks = run($db, ACQUIRE, [$queue, 'php ' . getmypid()]);
			if ($tasks)
				perform($db, $tasks[0]);
			else
				run($db, 'call taskq.wait_ready($1, $2)', [$queue, '5 s']);
		}
	} catch (Disconnected $error) {
		fwrite(STDERR, $error->getMessage() . "\n");
		sleep(1);
	}
}
