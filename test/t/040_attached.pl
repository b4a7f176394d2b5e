# 040_attached.pl
#		What an administrator does to the tables under load; what a table that is refused
#		does to deliveries; a dump of tables with an added column.

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main', conf => "max_connections = 60\nfsync = off");
my $receiver = TaskqTest::Receiver->start;
my $dir = PostgreSQL::Test::Utils::tempdir();

sub sql
{
	return $node->safe_psql($_[1] // 'postgres', $_[0]);
}

sql('create extension amcheck');
sql("select taskq.create_retry_policy('soon', backoff => 'fixed', base => '10 ms', max_attempts => 3)");
sql("select taskq.create_queue('load', retry => 'soon', keep_key => '100 ms')");

# ---- under load ---------------------------------------------------------------------------

append_to_file("$dir/submit.sql", <<'END');
\set n random(1, 1000000)
select taskq.submit('load', jsonb_build_object('n', :n), key => 'k' || :n, kind => 'one', start_within => '1 hour');
select count(*) from taskq.submit_many('load', array(select jsonb_build_object('n', :n + i) from generate_series(1, 10) i), kind => 'many');
END
append_to_file("$dir/work.sql", <<'END');
select coalesce(array_agg(id), '{}') as ids, coalesce(array_agg(token), '{}') as tokens from taskq.acquire('load', 20) \gset
select taskq.heartbeat(i, t) from unnest(':ids'::bigint[], ':tokens'::bigint[]) x (i, t) where i % 5 = 0;
select taskq.fail(i, t, 'oh', '{"why": "load"}') from unnest(':ids'::bigint[], ':tokens'::bigint[]) x (i, t) where i % 3 = 0;
select count(*) from taskq.finish_many(':ids', ':tokens');
END

my @commands = (
	q{create index concurrently own_n on taskq_private.task ((payload ->> 'n')) where kind = 'many'},
	q{create index own_why on taskq_private.attempt ((detail ->> 'why'))},
	q{create index own_state on taskq_private.history (state, (result ->> 'x')) where attempt > 0},
	q{create index concurrently own_until on taskq_private.lease (lease_until) where worker is null},
	q{create unique index concurrently own_id on taskq_private.key ((id * 2))},
	q{alter table taskq_private.task add own_note text default 'note'},
	q{alter table taskq_private.history add own_number int default 1},
	q{reindex schema concurrently taskq_private},
	q{vacuum full taskq_private.task},
	q{vacuum full taskq_private.lease},
	q{cluster taskq_private.key using key_pkey},
	q{vacuum full taskq_private.attempt},
	q{vacuum full taskq_private.start_limit},
	q{reindex table concurrently taskq_private.task},
	q{drop index taskq_private.own_why, taskq_private.own_state},
	q{drop index concurrently taskq_private.own_n},
	q{drop index concurrently taskq_private.own_until},
	q{drop index concurrently taskq_private.own_id},
	q{alter table taskq_private.task drop own_note},
	q{alter table taskq_private.history drop own_number});

my ($out, $err) = ('', '');
my $load = IPC::Run::start(
	[ 'pgbench', '-n', '-c', '6', '-j', '2', '-T', '600', '-f', "$dir/submit.sql", '-f', "$dir/work.sql", $node->connstr('postgres') ],
	'<', \undef, '>', \$out, '2>', \$err);
my @refused;
foreach my $round (1 .. 2)
{
	foreach my $command (@commands)
	{
		my ($status, undef, $error) = $node->psql('postgres', $command);
		push @refused, "$command: $error" if $status;
		push @refused, "broken index after $command" if sql('select count(*) from pg_index where not indisvalid') ne '0';
	}
}
$load->signal('INT');
$load->finish;
is(join("\n", @refused), '', 'every command succeeds under load');
is(join("\n", grep { /ERROR/ } split /\n/, $err), '', 'and no call fails');
is_consistent($node, 'after that');
my $checked = sql(q{select count(bt_index_check(c.oid, true)) from pg_class c join pg_am a on a.oid = c.relam
	where c.relnamespace = 'taskq_private'::regnamespace and c.relkind = 'i' and a.amname = 'btree'});
cmp_ok($checked, '>', 10, 'the indexes are sound');
sql("select taskq.purge_queue('load')");

# ---- a table that is refused ------------------------------------------------------------------

sql("select taskq.create_queue('sent', mode => 'push', retry => 'soon', lease_for => '2 s', url => '" . $receiver->url('/slow/1000') . "')");
sql('create function own_trigger() returns trigger language plpgsql as $$ begin return null; end $$');
my $flying = sql("select taskq.submit('sent', '1')");
$receiver->wait_requests(1);
sql('create trigger own_copy after insert on taskq_private.history for each row execute function own_trigger()');
my @waiting = map { sql("select taskq.submit_http('" . $receiver->url('/ok') . "')") } 1 .. 5;
wait_log($node, qr/trigger "own_copy" on table taskq_private\.history cannot run/);
wait_polls($node) for 1 .. 3;
is(scalar(my @sent = $receiver->requests('/ok')), 0, 'nothing is sent whose end could not be written');
is(sql(q{select ok from taskq.status() where "check" = 'tables'}), 'f', 'status() shows it');
sql('drop trigger own_copy on taskq_private.history');
wait_state($node, $_, 'finished') foreach @waiting, $flying;
is(sql("select count(*) from taskq.attempts where task_id in (" . join(', ', @waiting) . ')'), '0', 'without it they are sent, and no attempt was used');
pass('the task whose request was under way is finished as well');

# ---- a dump of a table with an added column -----------------------------------------------------

sql('alter table taskq_private.task add own_note text; alter table taskq_private.history add own_archived boolean not null default false');
my $noted = sql("select taskq.submit('load', '{}', run_at => 'infinity')");
sql("update taskq_private.task set own_note = 'kept' where id = $noted");
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/dump", $node->connstr('postgres') ], 'pg_dump');
sql('create database copy');
sql('create extension taskq; alter table taskq_private.task add own_note text;
	alter table taskq_private.history add own_archived boolean not null default false', 'copy');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('copy'), "$dir/dump" ],
	'pg_restore where the columns were added before');
is(sql("select own_note from taskq_private.task where id = $noted", 'copy'), 'kept', 'the column is there');
is(sql('select count(*), max(id) from taskq.tasks', 'copy'), sql('select count(*), max(id) from taskq.tasks'), 'and all tasks');

$node->stop;
log_is_clean($node);
done_testing();
