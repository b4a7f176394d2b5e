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
do $$ begin perform taskq.retry(id) from (select id from taskq_private.all_history where queue = 'keys' and state in ('dead', 'cancelled')
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
		sql("select count(taskq.cancel(id)) from taskq_private.task where run_at > now() + interval '1 day'");
		sql("select taskq.drop_queue('passing', force => true)");
		return sql("select count(*) from taskq_private.task") eq '0';
	});
is_consistent($node, 'drained');
is(sql("select count(*) from taskq_private.key where taken_until is null"), '0', 'no key is taken any more');

# ---- 50 sessions, one key -----------------------------------------------------------------

# A session notes the task that it made, and not one that it was given: the id
# is the last that the sequence gave it.  When it notes that, the task is live.
sql("select taskq.create_queue('one', keep_key => '20 ms', lease_for => '100 ms')");
sql('create table made (id bigint, mode text, at timestamptz)');
%mix = map { ("submit_$_" => [ $_ eq 'replace' ? 1 : 8, <<"END"]) } @modes;
do \$\$ declare new bigint; begin
	new := taskq.submit('one', key => 'k', on_duplicate => '$_', start_within => '20 ms', max_attempts => 2);
	if new = currval('taskq_private.task_id') then insert into made values (new, '$_', clock_timestamp()); end if;
exception when sqlstate 'TQ003' then null; end \$\$;
END
$mix{finish} = [ 3, "select count(taskq.finish(id, token)) from taskq.acquire('one');\n" ];
$mix{fail} = [ 3, "select count(taskq.fail(id, token, 'x', retry_in => '5 ms')) from taskq.acquire('one');\n" ];
$mix{hold} = [ 1, "select count(*) from taskq.acquire('one');\n" ];
$mix{cancel} = [ 1, "select taskq.cancel_key('one', 'k');\n" ];
$mix{expire} = [ 1, "select taskq_private.expire_starts();\n" ];
$mix{retry} = [ 2, <<'END'];
do $$ begin perform taskq.retry(id) from (select id from taskq_private.all_history where queue = 'one' and state <> 'finished'
	order by random() limit 1) x; exception when sqlstate 'TQ003' or sqlstate 'TQ009' then null; end $$;
END

# Looked at from a session of its own, in a new snapshot each time, until told to stop.
sql(<<'END');
create table looks (live int, leases_alone int);
create table stop ();
create procedure watch() language plpgsql as $$
declare
	q constant int := (select id from taskq_private.all_queues where name = 'one');
begin
	while not exists (select from stop) loop
		insert into looks select (select count(*) from taskq_private.task where queue_id = q),
			(select count(*) from taskq_private.lease l where queue_id = q and not exists (select from taskq_private.task t where t.id = l.id));
		commit;
	end loop;
end $$;
END
my $watcher = IPC::Run::start([ 'psql', '-Xq', '-h', $node->host, '-p', $node->port, '-c', 'call watch()', 'postgres' ]);
wait_query($node, 'postgres', 'select count(*) > 0 from looks');
($ok, $err) = bench(50, 100, %mix);
sql('insert into stop default values');
ok($watcher->finish, 'the watcher has looked until the end');
ok($ok, '50 sessions submit one key, finish, retry, expire and cancel it without an error') or diag($err);
unlike($err, qr/deadlock|serialize|XX000|internal/i, 'no deadlock, no serialization failure, no internal error');
is(sql('select distinct live, leases_alone from looks order by 1, 2'), "0|0\n1|0",
	'never was there more than one live task with the key, and at times there was none');
is(sql('select count(*) filter (where live = 1) > 10, count(*) filter (where live = 0) > 0 from looks'), 't|t',
	'and this was looked at often enough');
# Which ways they took is left to chance, and on a busy machine that is not much of it.
cmp_ok(sql("select count(distinct state) from taskq_private.all_history where queue = 'one'"), '>=', 2, 'they ended in several ways');
cmp_ok(sql('select count(distinct mode) from made'), '>=', 1, 'and others were made after them');
# One that ended before another was made by keep or raise had ended keep_key before.
is( sql(q{
	select count(*) from made m join taskq_private.all_history h on h.queue = 'one' and h.id <> m.id
		and h.ended_at <= m.at and h.ended_at > m.at - interval '20 ms' where m.mode <> 'replace'}),
	'0', 'the key of one that has ended was kept for keep_key');
is_consistent($node, 'after that');

# The same, seen at leisure: kept until its time is up, then free.
sql("select taskq.cancel_key('one', 'k'), taskq.alter_queue('one', keep_key => '1 hour')");
# One that is running ends with its lease.
wait_query($node, 'postgres', "select count(*) = 0 from taskq_private.task where key = 'k'");
sql("select count(taskq.finish(id, token)) from (select taskq.submit('one', key => 'k', on_duplicate => 'replace')) x, taskq.acquire('one')");
my $last = sql("select id from taskq_private.key where key = 'k'");
my $again = "select count(*) filter (where id = $last), count(*) from generate_series(1, 20), taskq.submit('one', key => 'k') as id";
is(sql($again), '20|20', 'who submits the key of a task that has ended gets its id');
sql("update taskq_private.key set taken_until = clock_timestamp() where id = $last");
is(sql($again), '0|20', 'until keep_key is over');
is(sql("select count(*) from taskq_private.task where key = 'k'"), '1', 'and then there is one new task');

# In a session that knows no queue yet, which is read in the middle of the call.
sql("select taskq.submit('default') from generate_series(1, 3)");
my ($ids, $tokens) = split /\|/, sql("select array_agg(id order by id), array_agg(token order by id) from taskq.acquire('default', 3)");
is(sql("select count(*) from taskq.finish_many('$ids'::bigint[] || '$ids' || '$ids', '$tokens'::bigint[] || '$tokens' || '$tokens')"), '3',
	'ids that come thrice are finished once');

$node->stop;
log_is_clean($node);

# ---- without preload: everybody reads the same rows ------------------------------------------

# Who takes many catches up with who began before him, and then both reach for the same rows.
$node = taskq_node('alone', preload => 0, conf => "fsync = off\nautovacuum = off");
sql("select count(*) from taskq.submit_many('default', (select array_agg(to_jsonb(i)) from generate_series(1, 40000) i))");
sql('create table done (id bigint, finished boolean)');
($ok, $err) = bench(8, 60,
	take => [ 1, "with a as (select * from taskq.acquire('default', 100)) insert into done select id, taskq.finish(id, token) from a;\n" ]);
ok($ok, '8 sessions without preload acquire and finish by 100 without an error') or diag($err);
is(sql('select count(*), count(distinct id), bool_and(finished) from done'), '40000|40000|t', 'no task twice, none lost');
is_consistent($node, 'after that');
$node->stop;
log_is_clean($node);
done_testing();
