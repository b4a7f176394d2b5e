# 067_guides.pl
#		The pages for beginners: each command of them, those for the shell too, does what
#		the page shows.  TaskqDocs.pm tells how.

use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use Test::More;

use TaskqDocs;
use TaskqTest;

my $top = abs_path(dirname(__FILE__) . '/../..');
# Each page has a database, and so an executor, of its own.
my $node = taskq_node('main', extension => 0, conf => "max_connections = 50\nmax_worker_processes = 40");
my $receiver = TaskqTest::Receiver->start;
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $gateway = PostgreSQL::Test::Cluster::get_free_port();
my $dir = PostgreSQL::Test::Utils::tempdir();

# Nothing of the machine's own.
delete $ENV{$_} foreach grep { /^TASKQ_/ } keys %ENV;
$ENV{XDG_CONFIG_HOME} = $dir;
$ENV{TZ} = 'UTC';
$ENV{EXAMPLES} = $dir;

my $docs = TaskqDocs->new(
	$node, $receiver,
	sh => 1,
	# What the pages name may be another's.
	words => {
		9099 => $port,
		'taskq serve --database' => "taskq serve --listen 127.0.0.1:$gateway --database",
		'127.0.0.1:8088' => "127.0.0.1:$gateway",
		'host=localhost dbname=app' => $node->connstr('docs_serve') =~ s/'//gr },
	hosts => { 'hooks.example.com' => '/ok', 'down.example.com' => '/status/500' });

# After a reload of the configuration: waits until the executor knows it.
sub wait_reload
{
	my ($database) = @_;

	if ($node->safe_psql('template1', 'show taskq.executor') eq 'on')
	{
		wait_executor($node, $database);
		wait_polls($node, $database);
	}
	else
	{
		wait_until('the end of the executor', sub { return executor_pid($node, $database) eq '' });
	}
	return;
}

my @pages;

# Runs a page in a database of its own.
sub run_page
{
	my ($file, $extension) = @_;
	push @pages, $file;
	my $database = lc $file =~ s/\.md$//r =~ s/\W/_/gr;

	$node->safe_psql('template1', "create database $database");
	add_taskq($node, $database) if $extension;
	$docs->run_file($file, $database, sub { wait_reload($database) });
	return $database;
}

# ---- README.md -----------------------------------------------------------------------

my $settings = slurp_file($node->data_dir . '/postgresql.auto.conf');
my $database = run_page('README.md', 0);
is($node->safe_psql($database, q{select string_agg(state::text, ' ') from taskq.tasks}), 'finished finished',
	'README.md: every task has finished');
$node->safe_psql('template1', $_) foreach 'alter system reset all', 'select pg_reload_conf()';
wait_query($node, 'template1', "select setting = '' from pg_settings where name = 'taskq.http_ports'");

# ---- the guides ----------------------------------------------------------------------

run_page("docs/$_.md", 1) foreach 'start', 'concepts', 'clients', 'work', 'serve', 'testing', 'security';
run_page($_ =~ s{^\Q$top\E/}{}r, 1) foreach glob("$top/docs/migrate/*.md");

# The worker of docs/migrate/celery.md, which is a program of its own.
my ($celery) = grep { $_->{language} eq 'python' && $_->{text} =~ /flush=True/ } $docs->blocks('docs/migrate/celery.md');
append_to_file("$dir/celery.py", $celery->{text});
$ENV{TASKQ_DATABASE} = $node->connstr('docs_migrate_celery');
system_or_bail('build/cli/taskq', 'submit', 'default', '[2, 3]', '--kind', 'add');
system_or_bail('build/cli/taskq', 'work', 'default', '--drain', '--quiet', '--lines', '--', 'python3', "$dir/celery.py");
is($node->safe_psql('docs_migrate_celery', "select result from taskq.tasks where kind = 'add'"), '5', 'docs/migrate/celery.md: the worker');

# ---- what is run ---------------------------------------------------------------------

# Nothing is left out: what is not run here, other tests run.
my %run = map { $_ => 1 } @pages, map { "docs/$_.md" } qw(cli http monitoring operate perfectqueue);
my %sql = map { ("docs/$_.md" => 1) } qw(composition flow patterns schedules sql);
foreach my $page (map { $_ =~ s{^\Q$top\E/}{}r } glob("$top/docs/*.md"), glob("$top/docs/migrate/*.md"))
{
	next if $run{$page};
	is(scalar(grep { $_->{language} eq 'sh' || !$sql{$page} } $docs->examples($page)), 0, "$page has no command that nobody runs");
}

$node->stop;
done_testing();
