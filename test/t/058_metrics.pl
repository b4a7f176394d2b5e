# 058_metrics.pl
#		Metrics: of push tasks, as "taskq metrics" prints them, and what monitoring/ makes of them.
#
# promtool, of Debian's package prometheus, is the judge of formats and rules; without it those
# tests are skipped.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use File::Copy qw(copy);
use IPC::Run;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $top = dirname(__FILE__) . '/../..';
my $node = taskq_node('main', conf => <<'EOS');
taskq.http_max_per_host = 1
taskq.http_timeout = 60s
max_prepared_transactions = 2
EOS
my $receiver = TaskqTest::Receiver->start;
my ($promtool) = grep { -x } map { "$_/promtool" } split /:/, $ENV{PATH};

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# The value of a metric; the labels as jsonb, all of which must be those.
sub metric
{
	my ($name, $labels) = @_;

	return sql("select value::text from taskq.metrics() where name = '$name' and labels = '" . ($labels // '{}') . "'");
}

# The values of a metric of a queue that are not 0, by the other label.
sub values_of
{
	my ($name, $queue, $label) = @_;

	return sql("select string_agg((labels ->> '$label') || ' ' || value, ', ' order by labels ->> '$label') from taskq.metrics()"
		  . " where name = '$name' and labels ->> 'queue' = '$queue' and value <> 0");
}

# Runs taskq metrics; returns its status, output and messages.
sub taskq
{
	my ($user, @arguments) = @_;
	my ($stdout, $stderr) = ('', '');
	my $connection = 'host=' . $node->host . ' port=' . $node->port . " dbname=postgres user=$user";

	IPC::Run::run([ 'build/cli/taskq', 'metrics', '-d', $connection, @arguments ], '<', \undef, '>', \$stdout, '2>', \$stderr);
	return ($? >> 8, $stdout, $stderr);
}

# Runs promtool with that input, if it is there.
sub judged
{
	my ($name, $input, @arguments) = @_;
	my $output = '';

  SKIP:
	{
		skip "$name: promtool is missing", 1 unless defined $promtool;
		IPC::Run::run([ $promtool, @arguments ], '<', \$input, '>&', \$output);
		is($? >> 8, 0, "promtool: $name") or diag($output);
	}
	return;
}

# A file of YAML as a structure.
sub yaml
{
	my ($file) = @_;
	my $json;

	IPC::Run::run([ 'ruby', '-ryaml', '-rjson', '-e', 'print YAML.load(File.read(ARGV[0])).to_json', "$top/$file" ], '>', \$json)
	  or die "$file is not valid";
	return decode_json($json);
}

# ---- push tasks ------------------------------------------------------------------------------

sql(<<'EOS');
select taskq.create_queue('sent', mode => 'push', retry => 'none'), taskq.create_queue('hung', mode => 'push');
EOS
my %paths = (
	'/ok' => 'finished', '/status/404' => 'dead', '/status/429' => 'dead', '/status/500' => 'dead',
	'/status/302' => 'dead', '/reset' => 'dead');
foreach my $path (sort keys %paths)
{
	my $id = sql("select taskq.submit_http('" . $receiver->url($path) . "', queue => 'sent')");
	wait_state($node, $id, $paths{$path});
}
# A transaction tells shared memory just before other sessions see its end.
wait_until('all are counted', sub { (metric('taskq_task_run_seconds_count', '{"queue": "sent"}') // 0) == 6 });
is(values_of('taskq_push_responses_total', 'sent', 'code'), '2xx 1, 3xx 1, 429 1, 4xx 1, 5xx 1', 'answers by code');
is(values_of('taskq_attempts_failed_total', 'sent', 'class'), 'http 4, reset 1', 'failures by class');
is(values_of('taskq_tasks_ended_total', 'sent', 'state'), 'dead 5, finished 1', 'ends by state');

# A receiver that answers 202 reports the outcome later: its answer ends no attempt.
sql("select taskq.create_queue('later', mode => 'push', accept_202 => true)");
my $accepted = sql("select taskq.submit_http('" . $receiver->url('/status/202') . "', queue => 'later')");
wait_query($node, 'postgres', "select worker = 'receiver' from taskq.tasks where id = $accepted");
wait_until('the answer is counted', sub { (values_of('taskq_push_responses_total', 'later', 'code')) eq '2xx 1' });
is(metric('taskq_task_run_seconds_count', '{"queue": "later"}'), '0', 'an answer that ends no attempt');
sql("select taskq.fail(id, token, 'x', retryable => false) from taskq_private.lease where id = $accepted");
is(metric('taskq_task_run_seconds_count', '{"queue": "later"}') . values_of('taskq_attempts_failed_total', 'later', 'class'),
	'1worker 1', 'the report of its receiver does');

is(metric('taskq_push_in_flight'), '0', 'no request is under way');
my @hung = map { sql("select taskq.submit_http('" . $receiver->url('/hang') . "', queue => 'hung')") } 1 .. 3;
wait_until('one is sent, and two wait for the host',
	sub { metric('taskq_push_in_flight') == 1 && metric('taskq_push_waiting') == 2 });
is(values_of('taskq_workers', 'hung', 'queue'), 'hung 1', 'the executor is a worker');
sql("select taskq.cancel($_)") foreach @hung;
wait_state($node, $_, 'cancelled') foreach @hung;
wait_until('none is left', sub { metric('taskq_push_in_flight') + metric('taskq_push_waiting') == 0 });

sql("select taskq.create_endpoint('broken', 'http://127.0.0.1:" . refused_port() . "', retry => 'none')");
is(metric('taskq_endpoint_circuit_open', '{"queue": "broken"}'), '0', 'a circuit is closed');
sql("select taskq.submit('broken', '1') from generate_series(1, 20)");
wait_until('the circuit opens', sub { metric('taskq_endpoint_circuit_open', '{"queue": "broken"}') == 1 });
cmp_ok(metric('taskq_endpoint_failures', '{"queue": "broken"}'), '>=', 5, 'its failures');

# ---- prepared transactions count nothing --------------------------------------------------------

sql("select taskq.create_queue('two')");
$node->psql('postgres', "begin; select taskq.submit('two'); prepare transaction 'p'");
sql("commit prepared 'p'");
is(metric('taskq_queue_pending_tasks', '{"queue": "two"}'), '1', 'a task of a prepared transaction is pending');
is(metric('taskq_tasks_submitted_total', '{"queue": "two"}'), '0', 'and is not counted as submitted');

# ---- the program -----------------------------------------------------------------------------------

sql("create role monitor login; grant taskq_reader to monitor; create role nobody login");
sql(q{select taskq.create_queue(E'a"b\\\\c \u00e4 {}')});
my ($status, $text) = taskq('monitor');
is($status, 0, 'taskq metrics');
like($text, qr/^# HELP taskq_tasks_submitted_total \w.*\n# TYPE taskq_tasks_submitted_total counter\n(?:taskq_tasks_submitted_total\{.*\n)+#/m,
	'a counter');
like($text, qr/^# TYPE taskq_task_run_seconds histogram\n(?:taskq_task_run_seconds_\w+\{.*\n)+#/m, 'a histogram');
like($text, qr/^taskq_task_run_seconds_bucket\{le="\+Inf",queue="sent"\} 6\n/m, 'a bucket');
like($text, qr/^taskq_queue_paused\{queue="a\\"b\\\\c \xc3\xa4 \{\}"\} 0\n/m, 'an odd name of a queue');
like($text, qr/^taskq_push_in_flight 0\n/m, 'one without labels');
judged('the text format', $text, 'check', 'metrics');

($status, my $openmetrics) = taskq('monitor', '--openmetrics', '--queues', '1');
is($status, 0, 'taskq metrics --openmetrics');
like($openmetrics, qr/^# TYPE taskq_tasks_submitted counter\ntaskq_tasks_submitted_total\{queue="\w+"\} \d+\ntaskq_tasks_submitted_total\{queue="other"\} \d+\n#/m,
	'the family of a counter; all queues but one are added up');
like($openmetrics, qr/label queue=\\"other\\"\..*^# EOF\n\z/ms, 'its escapes, and its end');
is_deeply([ (taskq('nobody'))[ 0, 1 ] ], [ 5, '' ], 'a role without privileges gets nothing');
is_deeply([ (taskq('monitor', '--queues', 'x'))[ 0, 1 ] ], [ 2, '' ], 'nor does a number that is none');

# ---- the same names everywhere -------------------------------------------------------------------------

my %metrics = map { s/_(?:bucket|sum|count)$//r => 1 } split /\n/, sql('select distinct name from taskq.metrics()');
my $docs = slurp_file("$top/docs/monitoring.md");
my %described = map { /^\| `(taskq_\w+)` \| (\w+) \| (.*?) \|/ ? ($1 => "$2 $3") : () } split /\n/, $docs;
is(join(' ', sort keys %described), join(' ', sort keys %metrics), 'docs/monitoring.md describes each metric');
my %labels = map { split /\|/, $_, 2 } split /\n/, sql(<<'EOS');
select family, min(type) || ' ' || coalesce(string_agg(distinct label, ' ' order by label), '')
from (select regexp_replace(name, 'seconds_(bucket|sum|count)$', 'seconds') as family, type, labels from taskq.metrics()) m
	left join lateral jsonb_object_keys(labels - 'le') as label on true
group by 1
EOS
my %said = map { my ($type, $names) = split / /, $described{$_}, 2; $_ => "$type " . join(' ', sort $names =~ /`(\w+)`/g) } keys %described;
is_deeply(\%said, \%labels, 'with its type and labels');

# Those of the gateway, and of Prometheus itself.
my %others = map { $_ => 1 } qw(taskq_up up);

# The names in an expression, without those of functions, labels and variables.
sub unknown_in
{
	my ($expression) = @_;
	my $bare = $expression =~ s/\{[^}]*\}//gr =~ s/\b(?:by|without|on|ignoring)\s*\([^)]*\)//gr;
	my @names = map { s/_(?:bucket|sum|count)$//r } grep { /^(?:taskq_|up$)/ } $bare =~ /\b([a-z_]+)\b(?!\s*\()/g;

	return grep { !$metrics{$_} && !$others{$_} } @names;
}

my @rules = map { @{ $_->{rules} } } @{ yaml('monitoring/taskq.rules.yml')->{groups} };
is(scalar(@rules), 7, 'monitoring/taskq.rules.yml has alerts');
is_deeply([ map { unknown_in($_->{expr}) } @rules ], [], 'of metrics that there are');
is_deeply([ $docs =~ /^\| `(Taskq\w+)` \|/mg ], [ map { $_->{alert} } @rules ], 'docs/monitoring.md tells what to do');

my $dashboard = decode_json(slurp_file("$top/monitoring/grafana.json"));
my @targets = map { @{ $_->{targets} } } @{ $dashboard->{panels} };
is(scalar(@{ $dashboard->{panels} }), 14, 'monitoring/grafana.json has panels');
is_deeply([ map { unknown_in($_->{expr}) } @targets ], [], 'of metrics that there are');
is_deeply([ map { $_->{name} } @{ $dashboard->{templating}{list} } ], [ 'datasource', 'queue' ], 'and variables');
is_deeply([ grep { $_->{datasource}{uid} ne '${datasource}' } @{ $dashboard->{panels} }, @targets ], [],
	'of which the first is the source of each panel');
is_deeply([ unknown_in('taskq_gone + rate(taskq_task_run_seconds_sum{queue="taskq_none"}[5m]) + taskq_up') ], ['taskq_gone'], 'what is unknown is found');

my $dir = PostgreSQL::Test::Utils::tempdir();
copy("$top/monitoring/taskq.rules.yml", $dir) && copy("$top/test/lib/alerts.yml", $dir) or die "could not copy: $!";
judged('the alerts', '', 'check', 'rules', "$dir/taskq.rules.yml");
judged('when they fire', '', 'test', 'rules', "$dir/alerts.yml");

# Each exporter gets every row once, and can tell all rows apart.
my $collector = yaml('monitoring/sql_exporter.collector.yml')->{metrics}[0];
my $job = yaml('monitoring/prometheus-sql-exporter.yml')->{jobs}[0]{queries}[0];
my $extended = yaml('monitoring/postgres_exporter.queries.yml')->{taskq_sample};
my @extended = map { keys %$_ } grep { (values %$_)[0]{usage} eq 'LABEL' } @{ $extended->{metrics} };
foreach my $e ([ 'sql_exporter', $collector->{query}, $collector->{key_labels} ],
	[ 'prometheus-sql-exporter', $job->{query}, $job->{labels} ],
	[ 'postgres_exporter', $extended->{query}, \@extended ])
{
	my ($name, $query, $names) = @$e;
	my $keys = join ', ', map { qq("$_") } @$names;

	is( sql("set role monitor; select count(distinct ($keys)) = count(value), count(*) = (select count(*) - 1 from taskq.metrics()) from ($query) q"),
		't|t', "$name gets each row");
}

# ---- a restart, and a database that is dropped --------------------------------------------------------------

$node->restart;
is(metric('taskq_tasks_ended_total', '{"queue": "sent", "state": "dead"}'), '0', 'counters begin at 0 when the server starts');
$node->stop;
log_is_clean($node);

# ---- without shared_preload_libraries ----------------------------------------------------------------------------

my $alone = taskq_node('alone', preload => 0);
is($alone->safe_psql('postgres', <<'EOS'), 't|t|f', 'without preload there are gauges, and no counters');
begin;
select taskq.submit('default') \gset
commit;
select bool_or(name = 'taskq_queue_pending_tasks' and value = 1), bool_or(name = 'taskq_check_ok'),
	bool_or(type <> 'gauge' or name like 'taskq_push%') from taskq.metrics();
EOS
$alone->stop;

done_testing();
