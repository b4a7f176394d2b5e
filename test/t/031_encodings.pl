# 031_encodings.pl
#		Any bytes that a peer answers are stored, shown and dumped, in databases of
#		every sort of encoding; and what is submitted arrives as UTF-8.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main', extension => 0, conf => 'max_worker_processes = 20');
my $receiver = TaskqTest::Receiver->start;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $any = join '', map { sprintf '%02x', $_ } 0 .. 255;

# Name, encoding, and the letter a with two dots in it, as hexadecimal digits.
foreach my $case ([ 'unicode', 'UTF8', 'c3a4' ], [ 'latin', 'LATIN1', 'e4' ], [ 'bytes', 'SQL_ASCII', 'c3a4' ])
{
	my ($database, $encoding, $letter) = @$case;
	my $sql = sub { return $node->safe_psql($database, $_[0]) };

	$node->safe_psql('postgres', "create database $database encoding '$encoding' locale 'C' template template0");
	add_taskq($node, $database);
	$sql->("select taskq.create_queue('outside', mode => 'push', executor => 'external')");
	my $worker = TaskqTest::Worker->start($node, 'postgres',
		'--database', 'host=' . $node->host . ' port=' . $node->port . " dbname=$database user=postgres");
	my @ids;
	foreach my $queue ('http', 'outside')
	{
		my $high = $sql->("select taskq.submit_http('" . $receiver->url('/raw/high-bytes') . "', queue => '$queue')");
		my $failed = $sql->("select taskq.submit_http('" . $receiver->url('/raw/escapes') . "', queue => '$queue', max_attempts => 1)");
		# In SQL_ASCII bytes are what their client takes them for.
		my $text = $encoding eq 'SQL_ASCII' ? "E'\\303\\244'" : "convert_from('\\x$letter', '$encoding')";
		my $letters = $sql->("select taskq.submit_http('" . $receiver->url("/echo/$database/$queue")
			  . "', jsonb_build_object('n', $text), queue => '$queue')");
		wait_query($node, $database, "select count(*) = 0 from taskq.tasks where ended_at is null");
		is($sql->("select state, encode(body, 'hex') from taskq.tasks, taskq.response(id) where id = $high"), "finished|$any",
			"$encoding, $queue: any bytes are stored");
		like($sql->("select headers ->> 'x-high' from taskq.response($high)"), qr/^\?{7}$/, 'and headers that are no text of it are marked')
		  if $encoding ne 'LATIN1';
		is($sql->("select state, encode(body, 'hex'), headers ->> 'x-esc' from taskq.tasks, taskq.response(id) where id = $failed"),
			"dead|1b00ff|\e]0;title\a", 'also of what has failed');
		my ($request) = $receiver->wait_requests(1, "/echo/$database/$queue");
		is($request->{body}, "{\"n\": \"\x{e4}\"}", 'what is sent is UTF-8');
		push @ids, $high, $failed, $letters;
	}
	$worker->signal('TERM');
	is($worker->wait_end, 0, 'the worker ends');

	# As text, and in the format of its own.
	my $state = "select string_agg(concat_ws(' ', t.id, t.state, t.payload, r.headers, encode(r.body, 'hex')), E'\\n' order by t.id)"
	  . ' from taskq.tasks t, taskq.response(t.id) r';
	my $before = $sql->($state);
	foreach my $format ('plain', 'custom')
	{
		my $copy = "${database}_$format";
		$node->safe_psql('postgres', "create database $copy encoding '$encoding' locale 'C' template template0");
		$node->command_ok([ 'pg_dump', '-F', $format, '-f', "$dir/dump", '-d', $node->connstr($database) ], "$encoding: dumped, $format");
		$node->command_ok($format eq 'plain' ? [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/dump", '-d', $node->connstr($copy) ]
			: [ 'pg_restore', '--exit-on-error', '-d', $node->connstr($copy), "$dir/dump" ], 'restored');
		is($node->safe_psql($copy, $state), $before, 'as it was');
	}
}

$node->stop;
log_is_clean($node);
done_testing();
