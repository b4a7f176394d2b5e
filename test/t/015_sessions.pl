# 015_sessions.pl
#		Whatever a session has set, taskq's functions do the same: the core of
#		the SQL suite passes in unusual sessions, and a task's life goes on
#		through DISCARD ALL and under any search_path.

use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $top = abs_path(dirname(__FILE__) . '/../..');
# The settings of a database hold for new sessions.
my $node = taskq_node('main', conf => "max_connections = 30\nfsync = off", sessions => 'new');

sub sql
{
	my ($database, $sql) = @_;

	return $node->safe_psql($database, $sql);
}

# ---- the core of the suite ------------------------------------------------------------

# With transitions before batch, which leaves many tasks to look through.
my @core = qw(retry transitions tasks keys batch queues results);

# One test for each file of the suite: its output in that database, in sessions
# that start with those options, is the same as ever.
sub core_passes
{
	my ($condition, $database, $options) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my ($out, $diffs) = ('', '');

	symlink("$top/test/sql", "$dir/sql") and symlink("$top/expected", "$dir/expected")
	  or die "could not make a link in $dir: $!";
	local $ENV{PGOPTIONS} = $options;
	my $passed = IPC::Run::run(
		[ $ENV{PG_REGRESS}, '--use-existing', '--bindir=', "--dbname=$database", "--inputdir=$dir",
			"--outputdir=$dir", '--host', $node->host, '--port', $node->port, @core ],
		'<', \undef, '>', \$out, '2>', \$out);
	$diffs = PostgreSQL::Test::Utils::slurp_file("$dir/regression.diffs") if -e "$dir/regression.diffs";
	for my $file (@core)
	{
		my ($diff) = $diffs =~ m{(^diff [^\n]*/results/\Q$file\E\.out\n.*?)(?=^diff |\z)}ms;
		ok(-s "$dir/results/$file.out" && !defined $diff, "$condition: $file") or diag($diff // $out);
	}
	ok($passed, "$condition: all of them") or diag($out);
	return;
}

# In a database of its own; $prepare and $check are called before and after it.
sub in_database
{
	my ($condition, $options, $prepare, $check) = @_;

	sql('postgres', 'create database regression');
	add_taskq($node, 'regression');
	$prepare->('regression') if $prepare;
	core_passes($condition, 'regression', $options);
	$check->('regression') if $check;
	sql('postgres', 'drop database regression');
	return;
}

in_database($_, join ' ', map { "-c $_" } split / and /)
  foreach 'plan_cache_mode=force_generic_plan', 'plan_cache_mode=force_custom_plan and session_replication_role=replica';

# ---- traps --------------------------------------------------------------------------------

# A schema that comes before pg_catalog and has functions and operators of the
# same names and argument types.  Each does what that of pg_catalog does, for
# the suite itself uses them, but not for code of the extension: that is code
# which runs as one of its roles, or in a function of its schema.  There it
# raises an error, and leaves a mark, for the error might be caught.  Empty
# tables stand where unqualified names of tables would lead.
my $traps = <<'END';
create schema trap;
grant usage on schema trap to public;
create sequence trap.sprung;
grant usage on sequence trap.sprung to public;

create function trap.spring(name text, stack text) returns void language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
	perform nextval('trap.sprung');
	raise exception 'trap: % was called by %', name, stack;
end
$$;
grant execute on function trap.spring(text, text) to public;

create function trap.set(name text, types oidvector, result oid, volatility "char", strict boolean, call text, op text) returns void
language plpgsql as $$
declare
	f text := case when op is null then quote_ident(name) else 'f' || nextval('trap.n') end;
begin
	execute format($f$create function trap.%s(%s) returns %s language plpgsql %s %s cost 1 as $body$
		declare
			stack text;
		begin
			get diagnostics stack = pg_context;
			if current_user operator(pg_catalog.=) any ('{taskq_owner,taskq_bgw}') or pg_catalog.strpos(stack, 'function taskq') operator(pg_catalog.>) 0 then
				perform trap.spring(%L, stack);
			end if;
			return %s;
		end
		$body$ $f$,
		f, oidvectortypes(types), format_type(result, null),
		case volatility when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end, case when strict then 'strict' else '' end,
		coalesce(op, name), call);
	if op is not null then
		execute format('create operator trap.%s (%s rightarg = %s, function = trap.%s)', op,
			case when array_length(types::oid[], 1) = 2 then format('leftarg = %s,', format_type(types[0], null)) else '' end,
			format_type(types[array_length(types::oid[], 1) - 1], null), f);
	end if;
end
$$;
create sequence trap.n;

create temp table trapped as select array['text', 'int4', 'int8', 'int2', 'float4', 'float8', 'numeric', 'bool', 'interval', 'timestamptz', 'timestamp',
	'jsonb', 'bytea', 'name', 'oid', 'regclass', 'xid', '"char"']::regtype[]::oid[] as types;
-- Stable, lest planning springs them.
select count(trap.set(p.proname, p.proargtypes, p.prorettype, case p.provolatile when 'i' then 's' else p.provolatile end, p.proisstrict,
	format('pg_catalog.%I(%s)', p.proname, (select string_agg('$' || i, ', ') from generate_series(1, p.pronargs) i)), null)) > 500 as functions
from pg_proc p, trapped
where p.pronamespace = 'pg_catalog'::regnamespace and p.prokind = 'f' and not p.proretset and p.provariadic = 0 and p.proargmodes is null
	and p.prorettype = any (types) and p.proargtypes::oid[] <@ types
	and p.prolang <> (select oid from pg_language where lanname = 'sql');
select count(trap.set(null, case when o.oprleft = 0 then format('%s', o.oprright) else format('%s %s', o.oprleft, o.oprright) end::oidvector, o.oprresult, 's', true,
	case when o.oprleft = 0 then format('operator(pg_catalog.%s) $1', o.oprname) else format('$1 operator(pg_catalog.%s) $2', o.oprname) end,
	o.oprname)) > 200 as operators
from pg_operator o, trapped
where o.oprnamespace = 'pg_catalog'::regnamespace and o.oprresult = any (types) and o.oprright = any (types) and (o.oprleft = 0 or o.oprleft = any (types));
-- format() takes "any"; these fit better.
select count(trap.set('format', types::oidvector, 'text'::regtype, 's', true, call, null)) from (values
	('25 25', 'pg_catalog.format($1, $2)'), ('25 25 25', 'pg_catalog.format($1, $2, $3)')) as f (types, call);

create table trap.pg_class (); create table trap.pg_inherits (); create table trap.pg_stat_activity (); create table trap.pg_database ();
create table trap.queue (); create table trap.task (); create table trap.lease (); create table trap.key ();
create table trap.attempt (); create table trap.history (); create table trap.retry_policy (); create table trap.arm ();
END

# The settings of a database reach its executor, too.
sub set_traps
{
	my ($database) = @_;

	is(sql($database, $traps), "t\nt\n2", 'traps: hundreds of functions and operators are trapped');
	sql($database, "alter database $database set search_path = trap, pg_catalog, public");
	# Plans seem to be costly with them, and would be compiled one by one.
	sql($database, "alter database $database set jit = off");
	sql($database, 'select taskq.stop_executor(); select taskq.start_executor()');
	return;
}

# And careless functions, of the same owner or schema, would have stepped into one.
sub traps_are_untouched
{
	my ($database) = @_;

	is(sql($database, 'select is_called from trap.sprung'), 'f', 'traps: no function or operator of theirs was called by taskq');
	sql($database, <<"END");
create function public.careless() returns text language plpgsql security definer as \$\$ begin return lower('A'); end \$\$;
alter function public.careless() owner to taskq_owner;
create function taskq_private.careless() returns boolean language plpgsql as \$\$ begin return 1 = 2; end \$\$;
create function public.careful() returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as \$\$ begin return lower('A'); end \$\$;
alter function public.careful() owner to taskq_owner;
END
	for my $function ('public.careless()', 'taskq_private.careless()')
	{
		my (undef, undef, $err) = $node->psql($database, "select $function");
		like($err, qr/trap: .* was called by/, "traps: $function steps into one");
	}
	is(sql($database, 'select public.careful()'), 'a', 'traps: public.careful() does not');
	is(sql($database, 'select is_called from trap.sprung'), 't', 'traps: which leaves a mark');
	return;
}

in_database('traps before pg_catalog', '', \&set_traps, \&traps_are_untouched);

# ---- a life, and what a session may do in between ---------------------------------------------

my @life = (
	q{select taskq.create_queue(:'queue', retry => 'none', keep_key => '1 hour');},
	q{select taskq.alter_queue(:'queue', lease_for => '5 min');},
	q{select taskq.submit(:'queue', '{"n": 1}', key => 'k', max_attempts => 3, start_within => '1 hour') as id \gset},
	q{select state from taskq.tasks where id = :id;},
	q{call taskq.wait_ready(:'queue', '10 s');},
	q{select token, attempt from taskq.acquire(:'queue') \gset},
	q{\echo attempt :attempt},
	q{select cancel_requested from taskq.heartbeat(:id, :token);},
	q{select taskq.progress(:id, :token, 0.5, 'half');},
	q{select taskq.fail(:id, :token, 'broken', '{"code": 7}', retry_in => '0');},
	q{select error, detail from taskq.attempts where task_id = :id;},
	q{select token, attempt, payload from taskq.acquire(:'queue') \gset},
	q{\echo attempt :attempt :payload},
	q{select taskq.release(:id, :token);},
	q{select token, attempt from taskq.acquire(:'queue') \gset},
	q{select taskq.fail(:id, :token, 'hopeless', retryable => false);},
	q{select taskq.retry(:id);},
	q{select token, attempt from taskq.acquire(:'queue') \gset},
	q{\echo attempt :attempt},
	q{select taskq.finish(:id, :token, '{"done": true}');},
	q{call taskq.wait(:id, '10 s');},
	q{select state, result, error from taskq.result(:id);},
	q{select count(taskq.submit(:'queue', '1', key => 'k')) from taskq.queues where queue = :'queue';},
	q{select count(*) from taskq.submit_many(:'queue', '{1, 2, 3}', keys => '{a, b, c}', retry => 'default');},
	q{select taskq.cancel_key(:'queue', 'c');},
	q{select array_agg(id order by id) as ids, array_agg(token order by id) as tokens from taskq.acquire(:'queue', 2) \gset},
	q{select count(*) from taskq.heartbeat_many(:'ids', :'tokens');},
	q{select count(*) from taskq.finish_many(:'ids', :'tokens', '{1, 2}');},
	q{select taskq.submit(:'queue', start_within => '1 hour') > 0 as submitted;},
	q{update taskq_private.task set start_by = 'epoch' where start_by is not null;},
	q{select count(*) from taskq.acquire(:'queue');},
	q{select state, count(*) from taskq.tasks where queue = :'queue' group by state order by state;},
	q{select taskq.backoff('default', 5) = '16 s' as doubled;},
	q{select count(*) >= 10 as checks from taskq.status();},
	q{select taskq.submit_http('http://a.example/', '{"ü": null}', delay => '1 hour') as id \gset},
	q{select taskq.cancel(:id, 'enough');},
	q{select error from taskq.tasks where id = :id;},
	q{select taskq_private.expire_starts() >= 0 as later, taskq_private.make_history();},
	q{select taskq.purge_queue(:'queue');},
	q{select taskq.drop_queue(:'queue', force => true);});

my $told = <<'END';


pending
t
attempt 1
f
t
pending
broken|{"code": 7}
attempt 2 {"n": 1}
t
dead
t
attempt 1
t
finished|{"done": true}
finished|{"done": true}|
1
3
t
2
2
t
0
finished|3
cancelled|1
expired|1
t
t
t
enough
t|
0
t
END

# What is done before the first statement, and before each in turn.
my $shadows = join ' ',
  (map { "create temp table $_ ();" } qw(pg_class pg_proc pg_stat_activity queue task lease key attempt history)),
  (map { "create domain pg_temp.$_ as pg_catalog.$_ check (false);" } qw(text jsonb timestamptz regclass bytea name oid));
my %session = (
	'nothing unusual' => [''],
	'DEALLOCATE ALL and DISCARD ALL' => [ '', 'deallocate all; discard all;' ],
	'DISCARD PLANS and DISCARD SEQUENCES' => [ '', 'discard plans;', 'discard sequences;' ],
	'no search_path' => [q{set search_path = '';}],
	'a search_path to nowhere' => ['set search_path = nowhere;'],
	'pg_temp first, with tables and types in it' => [ $shadows, 'set search_path = pg_temp, pg_catalog;' ],
	'a search_path that changes' => [ $shadows, map { "set search_path = $_;" } 'pg_temp', 'taskq, pg_catalog', 'nowhere', 'public', q{''} ],
	# Without jit, since plans seem to be costly, and would be compiled one by one.
	'odd settings' => [ q{set standard_conforming_strings = off; set backslash_quote = off; set intervalstyle = 'sql_standard'; set datestyle = 'SQL, DMY';
		set timezone = 'Asia/Kathmandu'; set bytea_output = escape; set extra_float_digits = -15; set xmloption = document; set array_nulls = off;
		set transform_null_equals = on; set quote_all_identifiers = on; set plpgsql.variable_conflict = use_column; set row_security = off;
		set check_function_bodies = on; set enable_indexscan = off; set enable_seqscan = off;
		set enable_bitmapscan = off; set work_mem = '64kB'; set client_min_messages = error; set statement_timeout = '1 min';
		set lock_timeout = '30 s'; set constraint_exclusion = on; set jit = off; set default_toast_compression = pglz; set search_path = pg_catalog, taskq;} ]);

for my $condition (sort keys %session)
{
	my ($first, @before) = @{ $session{$condition} };
	my @script = ("\\set queue '$condition'", $first);

	for my $i (0 .. $#life)
	{
		push @script, $before[ $i % @before ] if @before;
		push @script, $life[$i];
	}
	my (undef, $out, $err) = $node->psql('postgres', join("\n", @script));
	is($err, '', "a life in a session with $condition: no error");
	is("$out\n", $told, "a life in a session with $condition");
}

$node->stop;
log_is_clean($node);
done_testing();
