# 016_pooler.pl
#		Through a pooler that gives each transaction whichever connection is free, as
#		pgbouncer does: no call leaves anything behind in a session that the next one
#		needs, or that the next one may not have.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin';
plan skip_all => 'pgbouncer is not installed' unless $pgbouncer;

my $node = taskq_node('main', conf => "max_connections = 40\nfsync = off");
my $superuser = $node->safe_psql('postgres', 'select current_user');

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# ---- the pooler: few connections for many clients ---------------------------------------

# Database "few" is for clients by the dozen, "one" has a single connection, so
# that whoever comes next is certain to get it.
my $few = 4;
my $dir = PostgreSQL::Test::Utils::tempdir_short();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $server = 'host=' . $node->host . ' port=' . $node->port . ' dbname=postgres';

append_to_file("$dir/users", qq{"$superuser" ""\n"app" ""\n});
append_to_file("$dir/pgbouncer.ini", <<"END");
[databases]
few = $server pool_size=$few
one = $server pool_size=1
[pgbouncer]
pool_mode = transaction
listen_addr =
listen_port = $port
unix_socket_dir = $dir
auth_type = trust
auth_file = $dir/users
max_client_conn = 100
logfile = $dir/log
END
my $pooler = IPC::Run::start([ $pgbouncer, '-q', "$dir/pgbouncer.ini" ], '<', \undef, '>', "$dir/output", '2>&1');
# Also when the test dies.
END
{
	local $?;
	$pooler->kill_kill if $pooler;
}
wait_until('the pooler', sub { return -S "$dir/.s.PGSQL.$port" });

sub pooled
{
	my ($database, $user) = @_;

	return "host=$dir port=$port dbname=$database user=" . ($user // $superuser);
}

# One client of the single connection, from its coming to its going: what it read,
# and its error.
sub client
{
	my ($user, $text) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $text, connstr => pooled('one', $user), on_error_stop => 0);

	return wantarray ? ($out, $err) : $out;
}

# ---- one connection, client by client ------------------------------------------------------

sql("select taskq.create_queue('work', keep_key => '0')");
my $backend = client($superuser, 'select pg_backend_pid()');
my $id = client($superuser, "select taskq.submit('work', '1', key => 'k')");
is(client($superuser, "select taskq.submit('work', '2', key => 'k')"), $id, 'submit(), and again with its key');
my ($same, $token) = split /\|/, client($superuser, "select id, token from taskq.acquire('work')");
is($same, $id, 'acquire() by another client');
is(client($superuser, "select count(*) from taskq.heartbeat($id, $token)"), '1', 'heartbeat() by a third');
is(client($superuser, "select taskq.progress($id, $token, 0.5)"), 't', 'progress()');
is(client($superuser, "select taskq.release($id, $token)"), 't', 'release()');
is(client($superuser, "select taskq.finish($id, $token)"), 'f', 'whose token is good for nothing then');
($same, $token) = split /\|/, client($superuser, "select id, token from taskq.acquire('work')");
is(client($superuser, "select taskq.fail($id, $token, 'x', retry_in => '0')"), 'pending', 'fail()');
($same, $token) = split /\|/, client($superuser, "select id, token from taskq.acquire('work')");
is(client($superuser, "select taskq.cancel($id)"), 't', 'cancel()');
is(client($superuser, "select taskq.fail($id, $token, 'stopped')"), 'cancelled', 'heeded');
is(client($superuser, "select taskq.retry($id)"), 't', 'retry()');
my $next = client($superuser, "select taskq.submit('work', '3')");
($same, $token) = split /\|/, client($superuser, "select id, token from taskq.acquire('work')");
is( client($superuser, "select id from taskq.finish_and_acquire('work', array[$id], array[$token], array['9'::jsonb])"),
	$next, 'finish_and_acquire()');
is(client($superuser, "select state, result from taskq.result($id)"), 'finished|9', 'result()');
is(client($superuser, 'select pg_backend_pid()'), $backend, 'all by one and the same connection');

# What a session remembers of a queue is not what it was when somebody else changed it.
client($superuser, "select taskq.submit('work', '4')");
sql("select taskq.pause_queue('work')");
is(client($superuser, "select count(*) from taskq.acquire('work')"), '0', 'a queue that was paused meanwhile');
sql("select taskq.resume_queue('work')");
is(client($superuser, "select count(*) from taskq.acquire('work')"), '1', 'and goes on');

# ---- rights end with the transaction --------------------------------------------------------

sql('create role app login noinherit; grant taskq_submitter, taskq_worker to app');
my ($out, $err) = client('app', "select taskq.submit('work')");
like($err, qr/permission denied/, 'a role that has to take its rights first');
$backend = client('app', 'select pg_backend_pid()');
($out, $err) = client('app', "begin;\nset local role taskq_submitter;\nselect taskq.submit('work') > 0;\ncommit;");
is("$out$err", 't', 'may submit when it has');
($out, $err) = client('app', "begin;\nset local role taskq_worker;\nselect count(*) from taskq.acquire('work');\ncommit;");
is("$out$err", '1', 'and another one acquire');
foreach my $call ("taskq.submit('work')", "taskq.acquire('work')")
{
	($out, $err) = client('app', "select $call");
	like($err, qr/permission denied/, "the next client may not: $call");
}
# Neither does one that ended with an error, on its way through the owner's rights.
foreach my $text ("select taskq.acquire('nowhere')", "select taskq.submit('work', retry => 'never')",
	"select taskq.submit('work', key => 'k'); select taskq.submit('work', key => 'k', on_duplicate => 'raise')")
{
	($out, $err) = client('app', "begin;\nset local role taskq_"
		  . ($text =~ /acquire/ ? 'worker' : 'submitter') . ";\n$text;\nrollback;");
	like($err, qr/ERROR:  (?!permission)/, "after an error: $text");
	($out, $err) = client('app', "select current_user;\nselect count(*) from taskq_private.task;");
	is($out, 'app', 'the next client is who it is');
	like($err, qr/permission denied/, 'and may no more than before');
}
is(client('app', 'select pg_backend_pid()'), $backend, 'all by one connection');
sql("select taskq.purge_queue('work'); select count(taskq.finish(id, token)) from taskq_private.lease");

# ---- many clients, few connections ---------------------------------------------------------------

# What is acquired in one transaction is ended in another, by whichever
# connection is free then.
sql("select taskq.create_queue('keys')");
sql('create table submitted (id bigint); create table done (id bigint, acquired_by int, finished_by int, finisher bigint)');
my %mix = (
	submit => [ 4, <<'END' ],
insert into submitted select taskq.submit('work', '1', max_attempts => 1000000);
END
	key => [ 1, <<'END' ],
\set k random(1, 5)
select taskq.submit('keys', '1', key => 'k' || :k);
select count(taskq.finish(id, token)) from taskq.acquire('keys');
END
	work => [ 7, <<'END' ],
select coalesce(max(id), 0) as id, coalesce(max(token), 0) as token, pg_backend_pid() as pid from taskq.acquire('work') \gset
\if :id > 0
\set what random(1, 10)
select count(*) as beats from taskq.heartbeat(:id, :token) \gset
\if :what <= 5
begin;
insert into done select :id, :pid, pg_backend_pid(), :token where taskq.finish(:id, :token);
end;
\elif :what = 6
select taskq.fail(:id, :token, 'x', retry_in => '0');
\elif :what = 7
select taskq.release(:id, :token);
\elif :what = 8
select taskq.cancel(:id, 'enough');
select taskq.fail(:id, :token, 'stopped');
select taskq.retry(:id);
\else
with next as (select * from taskq.finish_and_acquire('work', array[:id]::bigint[], array[:token]::bigint[])),
	noted as (insert into done values (:id, :pid, pg_backend_pid(), :token))
select coalesce(max(id), 0) as id, coalesce(max(token), 0) as token from next \gset
select taskq.release(:id, :token);
\endif
\endif
END
);
my @files;
foreach my $name (sort keys %mix)
{
	append_to_file("$dir/$name.sql", $mix{$name}[1]);
	push @files, '-f', "$dir/$name.sql\@$mix{$name}[0]";
}
foreach my $protocol ('simple', 'extended')
{
	$node->command_ok(
		[ 'pgbench', '-n', '-M', $protocol, '-c', 5 * $few, '-j', 2, '-t', 60, @files, pooled('few') ],
		5 * $few . " clients meet no error, $protocol protocol");
}
cmp_ok(sql("select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"),
	'<=', $few + 2, "they had $few connections");
cmp_ok(sql('select count(*) from done where acquired_by <> finished_by'), '>', 100,
	'often one to acquire and another to finish');
wait_until('the rest to be worked off', sub {
	sql("insert into done select id, 0, 0, token from taskq.acquire('work', 1000) where taskq.finish(id, token)");
	sql("select count(taskq.finish(id, token)) from taskq.acquire('keys', 1000)");
	return sql('select count(*) from taskq_private.task') eq '0';
});
is(sql('select count(*) from submitted s where not exists (select from done d where d.id = s.id)'), '0', 'no task was lost');
is(sql('select count(*) - count(distinct id) from done'), '0', 'none was finished twice');
is(sql("select count(*) from submitted join taskq.tasks using (id) where state = 'finished'"), sql('select count(*) from submitted'),
	'each has ended as finished');
is_consistent($node, 'after that');

$pooler->signal('TERM');
$pooler->finish;
undef $pooler;
is(slurp_file("$dir/log") =~ /server login failed|FATAL|closing because: (?!client|server idle|shut)/ ? $& : '', '',
	'the pooler has nothing to complain about');
$node->stop;
log_is_clean($node);
done_testing();
