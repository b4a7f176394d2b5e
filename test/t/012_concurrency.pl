# 012_concurrency.pl
#		Many sessions at once: nothing twice, nothing lost, no deadlock, and the
#		tables consistent with each other at the end.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main', conf => "max_connections = 120\nfsync = off");

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Runs scripts, given as name => [weight, text], from so many sessions.
sub bench
{
	my ($clients, $transactions, %scripts) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my @files;

	for my $name (sort keys %scripts)
	{
		my ($weight, $text) = @{ $scripts{$name} };
		append_to_file("$dir/$name.sql", $text);
		push @files, '-f', "$dir/$name.sql\@$weight";
	}
	my @command = ('pgbench', '-n', '-c', $clients, '-j', 2, '-t', $transactions, @files,
		'-h', $node->host, '-p', $node->port, 'postgres');
	my ($out, $err);
	my $ok = IPC::Run::run(\@command, '>', \$out, '2>', \$err);
	return ($ok, $err);
}

# ---- 64 acquirers, 20 000 tasks ---------------------------------------------------------

sql("select count(*) from taskq.submit_many('default', (select array_agg(to_jsonb(i)) from generate_series(1, 20000) i))");
sql('create table done (id bigint, finished boolean)');
my ($ok, $err) = bench(64, 350,
	take => [ 1, "with a as (select * from taskq.acquire('default')) insert into done select id, taskq.finish(id, token) from a;\n" ]);
ok($ok, '64 sessions acquire and finish without an error') or diag($err);
unlike($err, qr/deadlock|serialize/, 'no deadlock, no serialization failure');
is(sql('select count(*), count(distinct id), bool_and(finished) from done'), '20000|20000|t', 'no task twice, none lost');
is(sql("select state, count(*) from taskq.tasks group by state"), 'finished|20000', 'each has ended once');
is_consistent($node, 'after that');

# ---- 50 sessions, a few keys, everything that can happen to a task -------------------------

sql("select taskq.create_queue('keys', keep_key => '10 ms', lease_for => '200 ms')");
my @modes = ('keep', 'replace', 'raise');
my %mix = map { ("submit_$_" => [ 4, <<"END"]) } @modes;
\\set k random(1, 8)
do \$\$ begin perform taskq.submit('keys', to_jsonb(:k), key => 'k' || :k, on_duplicate => '$_', max_attempts => 3);
exception when sqlstate 'TQ003' then null; end \$\$;
END
$mix{many} = [ 1, "select count(*) from taskq.submit_many('keys', array['1', '2', '3']::jsonb[], keys => array['k3', 'k1', 'k7']);\n" ];
$mix{work} = [ 6, "select count(taskq.finish(id, token)) from taskq.acquire('keys', 2);\n" ];
$mix{fail} = [ 3, "select count(taskq.fail(id, token, 'x', retry_in => '5 ms')) from taskq.acquire('keys');\n" ];
$mix{release} = [ 2, "select count(taskq.release(id, token)) from taskq.acquire('keys');\n" ];
$mix{die} = [ 1, "select count(*) from taskq.acquire('keys', 1, '100 ms');\n" ];
$mix{rollback} = [ 1, "begin;\nselect count(taskq.finish(id, token)) from taskq.acquire('keys');\nrollback;\n" ];
$mix{cancel} = [ 2, "\\set k random(1, 8)\nselect taskq.cancel_key('keys', 'k' || :k);\n" ];
$mix{retry} = [ 1, <<'END'];
do $$ begin perform taskq.retry(id) from (select id from taskq._history where queue = 'keys' and state in ('dead', 'cancelled')
	order by ended_at desc limit 3) x; exception when sqlstate 'TQ003' or sqlstate 'TQ009' then null; end $$;
END
$mix{purge} = [ 1, "select taskq.purge_queue('keys');\n" ];
# Locks are taken in one order also by transactions of several calls.
$mix{chain} = [ 3, <<'END'];
\set k random(1, 8)
begin;
select count(taskq.finish(id, token)) from taskq.acquire('keys');
select count(taskq.submit('keys', '"next"', key => 'k' || :k));
commit;
END
$mix{same} = [ 2, <<'END'];
\set k random(1, 8)
do $$ begin perform taskq.submit('keys', '"fixed"', key => 'k' || :k, on_duplicate => 'replace', run_at => '2100-01-01');
exception when sqlstate 'TQ003' then null; end $$;
END
$mix{drop} = [ 1, <<'END'];
do $$ begin perform taskq.create_queue('passing'); exception when sqlstate 'TQ002' then null; end $$;
do $$ begin perform taskq.submit('passing'); exception when sqlstate 'TQ001' then null; end $$;
do $$ begin perform taskq.drop_queue('passing', force => true); exception when sqlstate 'TQ009' then null; end $$;
END
$mix{alter} = [ 1, "select taskq.alter_queue('keys', lease_for => '200 ms');\n" ];
$mix{pause} = [ 1, "select taskq.pause_queue('keys'), taskq.resume_queue('keys');\n" ];
($ok, $err) = bench(50, 60, %mix);
unlike($err, qr/deadlock|serialize|XX000|internal/i, 'no deadlock, no serialization failure, no internal error');
ok($ok, '50 sessions do everything to eight keys without an error') or diag($err);
is_consistent($node, 'after that');

# What was left behind runs out, and then everything ends.
sql("select taskq.resume_queue('keys')");
wait_until('the queue to drain',
	sub
	{
		sql("select count(taskq.finish(id, token)) from taskq.acquire('keys', 100)");
		sql("select count(taskq.cancel(id)) from taskq.task where run_at > now() + interval '1 day'");
		sql("select taskq.drop_queue('passing', force => true)");
		return sql("select count(*) from taskq.task") eq '0';
	});
is_consistent($node, 'drained');
is(sql("select count(*) from taskq.key where taken_until is null"), '0', 'no key is taken any more');

$node->stop;
log_is_clean($node);
done_testing();
