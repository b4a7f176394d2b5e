# 023_chaos.pl
#		Everything at once, round after round, and in each round a process of the server
#		is killed: nothing is lost, nothing is done twice, no token comes again.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use TaskqTest;

# Rounds, not seconds: what is tested does not depend on how busy the machine is.
# So many clients that most of them wait for a core or for each other; to start more
# takes longer than what they do until the server is killed.
my $ROUNDS = $ENV{TASKQ_CHAOS_ROUNDS} // 15;
my $CLIENTS = 32;

# What is killed when, and what the clients do: to a degree, for there is also the clock.
my $seed = $ENV{TASKQ_CHAOS_SEED} // int(rand(1 << 31));
srand($seed);
note("TASKQ_CHAOS_SEED=$seed");

# fsync = off: the system stays up.  What the server had not written by then is lost all the same.
my $node = taskq_node('main', conf => <<'END');
max_connections = 120
max_prepared_transactions = 200
fsync = off
log_statement = none
log_line_prefix = '%m [%p] %e '
END
my @killed;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# ---- what the clients do ------------------------------------------------------------------

# made: each submit; claims: claims that are durable; given: what was given up
# again; done: the work, done in the transaction that finishes the task.
sql(<<'END');
create table made (id bigint);
create table claims (id bigint, token bigint, at timestamptz, until timestamptz);
create table given (token bigint);
create table done (id bigint);
select taskq.create_queue('chaos', keep_key => '10 ms', lease_for => '300 ms');
END

# A statement that acquires, notes the claims, and goes on with "a".
sub acquiring
{
	my ($max, $then) = @_;
	return "with a as materialized (select * from taskq.acquire('chaos', $max)),"
	  . " c as (insert into claims select id, token, clock_timestamp(), lease_until from a) $then";
}

my $work = acquiring(':n', 'insert into done select id from a where taskq.finish(id, token)') . ";\n";
my $submit = "insert into made select taskq.submit('chaos', to_jsonb(:n), priority => :n % 3, max_attempts => 20);\n";
my $submit_many = "insert into made select taskq.submit_many('chaos', (select array_agg(to_jsonb(i)) from generate_series(1, :n) i));\n";
my $small = "\\set n random(1, 20)\n";
my $large = "\\set n random(900, 1300)\n";
my $gid = "\\set gid random(1, 999999999)\n";
my %mix = (
	submit => [ 20, $small . $submit ],
	submit_later => [ 4, "insert into made select taskq.submit('chaos', delay => '100 ms', max_attempts => 2);\n" ],
	submit_some => [ 4, $small . $submit_many ],
	submit_many => [ 1, $large . $submit_many ],
	submit_many_partly => [ 1, "${large}begin;\n${submit_many}savepoint s;\n${submit_many}rollback to s;\n${submit}commit;\n" ],
	work => [ 30, $small . $work ],
	work_many => [ 4, $large . $work ],
	work_many_rollback => [ 1, "${large}begin;\n${work}rollback;\n" ],
	work_savepoints => [ 5, "${small}begin;\n${submit}savepoint s;\n${work}${submit}rollback to s;\n${work}savepoint t;\n${work}release t;\ncommit;\n" ],
	work_rollback => [ 4, "${small}begin;\n${work}${submit}rollback;\n" ],
	fail => [ 8, acquiring(1, "insert into given select token from a where taskq.fail(id, token, 'x', retry_in => '5 ms') is not null") . ";\n" ],
	fail_for_good => [ 2, acquiring(1, "insert into given select token from a where taskq.fail(id, token, 'x', retryable => false) is not null") . ";\n" ],
	release => [ 5, acquiring(3, "insert into given select token from a where taskq.release(id, token, '1 ms')") . ";\n" ],
	die => [ 2, acquiring(2, 'select count(*) from a') . ";\n" ],
	die_unnoted => [ 2, "select count(*) from taskq.acquire('chaos', 2);\n" ],
	finish_later => [ 10, acquiring(1, 'select coalesce(max(id), 0) as id, coalesce(max(token), 0) as token from a') . " \\gset\n"
		  . "\\set s random(1, 20)\n\\if :s = 1\nselect pg_sleep(0.4);\n\\endif\n"
		  . "insert into done select :id where taskq.finish(:id, :token);\n" ],
	finish_unnoted => [ 5, "insert into done select id from taskq.acquire('chaos') where taskq.finish(id, token);\n" ],
	prepare_commit => [ 3, "$small${gid}begin;\n${submit}${work}prepare transaction ':gid';\ncommit prepared ':gid';\n" ],
	prepare_rollback => [ 2, "$small${gid}begin;\n${submit}${work}prepare transaction ':gid';\nrollback prepared ':gid';\n" ],
	prepare_leave => [ 1, "$small${gid}\\set m :gid + 1000000000\nselect count(*) > 50 as full from pg_prepared_xacts \\gset\n"
		  . "\\if not :full\nbegin;\n${submit}${work}prepare transaction ':m';\n\\endif\n" ],
	# Only one of them, so that no two meet.
	prepare_end => [ 4, "\\if :client_id = 0\n"
		  . "select coalesce(min(gid::bigint), 0) as m from pg_prepared_xacts where gid::bigint > 1000000000 \\gset\n"
		  . "\\if :m > 0 and :m % 2 = 0\ncommit prepared ':m';\n\\elif :m > 0\nrollback prepared ':m';\n\\endif\n\\endif\n" ],
	cancel_key => [ 2, "\\set k random(1, 20)\nselect taskq.cancel_key('chaos', 'k' || :k);\n" ],
	retry => [ 2, <<'END' ],
do $$ begin perform taskq.retry(id) from (select id from taskq_private.all_history where queue = 'chaos' and state in ('dead', 'cancelled')
	order by ended_at desc limit 3) x; exception when sqlstate 'TQ003' or sqlstate 'TQ009' then null; end $$;
END
	# A statement that is cancelled in the middle of it.
	cancelled => [ 6, <<'END' ],
\set n random(1, 500)
\set t random(20, 60)
set statement_timeout = :t;
do $$ begin
	for i in 1 .. 50 loop
		begin
			with a as materialized (select * from taskq.acquire('chaos', :n)) insert into done select id from a where taskq.finish(id, token);
			insert into made select taskq.submit('chaos');
			perform pg_sleep(0.01);
		exception when query_canceled then exit;
		end;
	end loop;
end $$;
set statement_timeout = 0;
END
	wait => [ 1, "call taskq.wait_ready('chaos', '50 ms');\n" ],
	stats => [ 1, "select * from taskq.queue_stats('chaos');\n" ],
);
$mix{"key_$_"} = [ 2, <<"END" ] foreach 'keep', 'replace', 'raise';
\\set k random(1, 20)
do \$\$ begin insert into made select taskq.submit('chaos', key => 'k' || :k, on_duplicate => '$_', max_attempts => 3);
exception when sqlstate 'TQ003' then null; end \$\$;
END

my $dir = PostgreSQL::Test::Utils::tempdir();
my @files;
foreach my $name (sort keys %mix)
{
	append_to_file("$dir/$name.sql", $mix{$name}[1]);
	push @files, '-f', "$dir/$name.sql\@$mix{$name}[0]";
}

# ---- rounds -----------------------------------------------------------------------------------

# The answer, if there is a server that gives one.
sub psql
{
	my ($query) = @_;
	my ($out, $err) = ('', '');

	$node->psql('postgres', $query, stdout => \$out, stderr => \$err, on_error_die => 0);
	return $out;
}

sub wait_server
{
	wait_until('the server', sub { return psql('select 1') eq '1' });
	return;
}

# Prepared transactions that nobody will end any more.
sub end_prepared
{
	foreach my $left (split /\n/, sql('select gid from pg_prepared_xacts'))
	{
		sql((rand() < 0.5 ? 'commit' : 'rollback') . " prepared '$left'");
	}
	return;
}

# Kills a process of one kind or another; the server starts again by itself.
sub kill_one
{
	my $kind = rand() < 0.7 ? 'client backend' : '%';
	my $pid = psql("select pid from pg_stat_activity where backend_type like '$kind' and pid <> pg_backend_pid()"
		  . ' order by random() limit 1');
	return 0 unless $pid =~ /^\d+$/;
	push @killed, $pid;
	return kill('KILL', $pid) == 1;
}

my ($kills, $restarts) = (0, 0);
foreach my $round (1 .. $ROUNDS)
{
	my $load = IPC::Run::start(
		[ 'pgbench', '-n', '-c', $CLIENTS, '-j', 2, '-T', 60, '--random-seed', $seed + $round, @files,
			'-h', $node->host, '-p', $node->port, 'postgres' ],
		'>', "$dir/output", '2>&1');
	my $log = log_size($node);
	wait_until('the clients', sub { return psql("select count(*) > 0 from pg_stat_activity where pid <> pg_backend_pid() and query like '%taskq.%'") eq 't' });
	usleep(300_000 + rand(1_200_000));
	if (rand() < 0.15)
	{
		kill_server($node);
		$node->start;
		$restarts++;
	}
	elsif (kill_one())
	{
		wait_log($node, qr/all server processes terminated; reinitializing/, $log);
		$kills++;
	}
	else
	{
		$load->signal('TERM');
	}
	$load->finish;
	wait_server();
	end_prepared();
}
note("$ROUNDS rounds, $kills processes and $restarts servers killed");
cmp_ok($kills + $restarts, '>', 2, 'processes were killed again and again');

# ---- what is left ------------------------------------------------------------------------------

wait_until('the queue to drain',
	sub
	{
		my $drain = $work =~ s/:n/1000/r;
		sql($drain);
		return sql('select count(*) from taskq_private.task') eq '0';
	}, 60);
note(sql("select format('%s tasks made, %s claims, %s done', (select count(distinct id) from made), (select count(*) from claims), (select count(*) from done))"));
note(sql("select string_agg(state || ' ' || n, ', ') from (select state::text, count(*) as n from taskq_private.all_history group by 1 order by 1) x"));

sql('create index on claims (id); create index on given (token); analyze');
is( sql('select count(*) from (select distinct id from made) m full join taskq_private.all_history h using (id) where m.id is null or h.id is null'),
	'0', 'whose submit was committed has ended, and nothing else');
is(sql('select count(*) - count(distinct id) from taskq_private.all_history'), '0', 'each once');
is( sql("select count(*) from taskq_private.all_history full join (select id, count(*) as times from done group by id) d using (id)"
		  . " where coalesce(times, 0) <> coalesce(state = 'finished', false)::int"),
	'0', 'what is finished was done once, what is not was not done');
is(sql('select count(*) - count(distinct token) from claims'), '0', 'no token was given twice');
is( sql('select count(*) from claims a join claims b on b.id = a.id and b.token <> a.token and b.at > a.at and b.at < a.until'
		  . ' where not exists (select from given g where g.token = a.token)'),
	'0', 'nobody was given a task that somebody else held');
is(sql('select count(*) from taskq_private.task'), '0', 'nothing is pending');
is(sql("select pending from taskq.queue_stats('chaos')"), '0', 'and the count of it says so');
is_consistent($node, 'at the end');

$node->stop;
log_is_clean($node, @killed);
unlike(log_since($node), qr/\] (?:XX\w{3}|40P01) |stuck spinlock/, 'no internal error and no deadlock in the log');
done_testing();
