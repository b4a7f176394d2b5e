# TaskqNode.pm
#		A node of which psql() and poll_query_until() do without the program psql.
#
# psql and a new session for each statement cost far more than the statement: psql
# loads 28 libraries, the server forks, and both end in page faults.  The tests make
# thousands of calls.  So DBD::Pg makes them, and keeps the session of a call for the
# next one, which begins with DISCARD ALL, as behind a pooler.  A call to another
# database ends it, so it is not in the way of DROP DATABASE.  A node that was made with
# sessions => 'new' has a new session for each call.
#
# As with psql each statement of a script is sent by itself, and the output is that of
# psql -At.  Scripts that only psql understands, those with a backslash or COPY, are left
# to psql, and so are calls with options for it.

package TaskqNode;

use strict;
use warnings FATAL => 'all';

use DBD::Pg ();
use DBI ();
use Test::More ();
use Time::HiRes qw(time usleep);

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();

our @ISA = ('PostgreSQL::Test::Cluster');

# Makes a node of PostgreSQL::Test::Cluster one of these.
sub adopt
{
	my ($class, $node, %params) = @_;

	$node->{taskq_keeps} = ($params{sessions} // 'kept') eq 'kept';
	return bless $node, $class;
}

# As that of PostgreSQL::Test::Cluster, which as of PostgreSQL 17 copies the directory
# INITDB_TEMPLATE instead of running initdb.  This does it for those before.
sub init
{
	my ($self, %params) = @_;
	my $template = $ENV{INITDB_TEMPLATE};

	return $self->SUPER::init(%params) if !defined $template || $params{extra};
	my $run = \&PostgreSQL::Test::Utils::system_or_bail;
	no warnings 'redefine';
	local *PostgreSQL::Test::Utils::system_or_bail = sub {
		return $run->($_[0] eq 'initdb' ? ('cp', '-RPp', $template, $self->data_dir) : @_);
	};
	return $self->SUPER::init(%params);
}

# As that of PostgreSQL::Test::Cluster: returns the exit status that psql would have,
# in array context also what it would write to standard output and standard error.
sub psql
{
	my ($self, $database, $script, %params) = @_;

	if ($script =~ /\\|(?:^|;)\s*copy\b/i || !($params{on_error_stop} // 1)
		|| grep { !/^(?:stdout|stderr|on_error_die|on_error_stop)$/ } keys %params)
	{
		end_session($self);
		return $self->SUPER::psql($database, $script, %params);
	}
	utf8::encode($script) if utf8::is_utf8($script);
	my ($status, $out, $err) = run_script($self, $database, $script);
	chomp($out, $err);
	${ $params{stdout} } = $out if $params{stdout};
	${ $params{stderr} } = $err if $params{stderr};
	die "error running SQL: '$err'\nwith sql '$script'" if $status && $params{on_error_die};
	return wantarray ? ($status, $out, $err) : $status;
}

# As that of PostgreSQL::Test::Cluster, but looks more often, and all the time from one session.
sub poll_query_until
{
	my ($self, $database, $query, $expected) = @_;
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;
	my ($ok, $out, $err);

	$expected //= 't';
	until ($ok || defined $out && time() > $deadline)
	{
		local $self->{taskq_keeps} = 1;
		usleep(20_000) if defined $out;
		(my $status, $out, $err) = $self->psql($database, $query);
		$ok = $status == 0 && $out eq $expected && $err eq '';
	}
	end_session($self) unless $self->{taskq_keeps};
	return 1 if $ok;
	Test::More::diag("timed out executing this query:\n$query\nexpecting this output:\n$expected\nlast output:\n$out\nwith stderr:\n$err");
	return 0;
}

# Exit status, output and messages of a script, up to its first error.
sub run_script
{
	my ($self, $database, $script) = @_;
	my ($status, $out, $err) = (0, '', '');
	my $session = take_session($self, $database) or return (2, $out, DBI->errstr);

	foreach my $statement (statements($script))
	{
		next if run_statement($session, $statement, \$out, \$err);
		$status = $session->ping ? 3 : 2;
		last;
	}
	leave_session($self, $session);
	return ($status, $out, $err);
}

# Adds the rows to $$out, one a line, and notices and the error to $$err.  Returns whether
# it succeeded.
sub run_statement
{
	my ($session, $statement, $out, $err) = @_;
	my $call = $session->prepare($statement, { pg_direct => 1 });
	local $SIG{__WARN__} = sub { $$err .= $_[0] };

	if (!$call->execute)
	{
		$$err .= $call->errstr;
		return 0;
	}
	return 1 unless $call->{NUM_OF_FIELDS};
	# DBD::Pg changes them.
	die "cast it to text: $statement" if grep { /^(?:bytea|float[48])$/ } @{ $call->{pg_type} };
	$$out .= join('|', map { $_ // '' } @$_) . "\n" foreach @{ $call->fetchall_arrayref };
	return 1;
}

# The statements of a script, which end at semicolons outside of quotes and comments.
sub statements
{
	my ($script) = @_;
	my @statements;

	while ($script =~ m{\G((?: [^;'"\$/-]++ | '[^']*' | "[^"]*" | \$(\w*)\$ .*? \$\g2\$ | --[^\n]* | /\*.*?\*/ | [\$/-] )*+) (?:;|\z)}gcsx)
	{
		my $statement = $1;
		push @statements, $statement if $statement =~ /\S/;
	}
	die "cannot take this apart: $script" if (pos($script) // 0) < length($script);
	return @statements;
}

# ---- sessions -------------------------------------------------------------------------

# The one that is kept, if it is good for the call, else a new one; undef if there is none
# to be had.
sub take_session
{
	my ($self, $database) = @_;
	my $for = join "\0", $$, $database, map { $_ // '' } @ENV{qw(PGAPPNAME PGOPTIONS)};
	my $kept = $self->{taskq_session};

	return delete $self->{taskq_session} if $kept && $kept->{private_for} eq $for && $kept->do('discard all');
	end_session($self);
	return DBI->connect('dbi:Pg:' . $self->connstr($database), undef, undef,
		{ private_for => $for, private_pid => $$, AutoInactiveDestroy => 1, PrintError => 0, PrintWarn => 1,
			pg_bool_tf => 1, pg_enable_utf8 => 0, pg_expand_array => 0 });
}

# Keeps it for the next call, unless it is within a transaction, or gone.
sub leave_session
{
	my ($self, $session) = @_;

	$self->{taskq_session} = $session;
	end_session($self) unless $self->{taskq_keeps} && $session->ping == 1;
	return;
}

# Returns when the session that is kept is gone from the server.  A child process of the
# test leaves its parent's alone.
sub end_session
{
	my ($self) = @_;
	my $session = delete $self->{taskq_session};

	return unless $session && $session->{private_pid} == $$;
	open(my $socket, '<&', $session->{pg_socket}) or return;
	$session->disconnect;
	$socket->blocking(1);
	1 while read($socket, my $rest, 8192);
	return;
}

1;
