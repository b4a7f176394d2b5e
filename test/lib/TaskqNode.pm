# TaskqNode.pm
#		A node of which psql() and poll_query_until() do without the program psql.
#
# psql and a new session for each statement cost far more than the statement: psql
# loads 28 libraries, the server forks, and both end in page faults.  The tests make
# thousands of calls.  So this package speaks the server's protocol itself, and keeps
# the session of a call for the next one, which begins with DISCARD ALL, as behind a
# pooler.  A call to another database ends it, so it is not in the way of DROP DATABASE.
# A node that was made with sessions => 'new' has a new session for each call.
#
# As with psql each statement of a script is sent by itself.  Scripts that only psql
# understands, those with a backslash or COPY, are left to psql, and so are calls with
# options for it.

package TaskqNode;

use strict;
use warnings FATAL => 'all';

use IO::Select;
use IO::Socket::UNIX;
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

	if ($script =~ /\\|(?:^|;)\s*copy\b/i || grep { !/^(?:stdout|stderr|on_error_die|on_error_stop)$/ } keys %params)
	{
		end_session($self);
		return $self->SUPER::psql($database, $script, %params);
	}
	utf8::encode($script) if utf8::is_utf8($script);
	my ($status, $out, $err) = run_script($self, $database, $script, $params{on_error_stop} // 1);
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
	my ($session, $ok, $out, $err);

	$expected //= 't';
	do
	{
		usleep(20_000) if defined $out;
		($out, $err) = ('', '');
		$session //= take_session($self, $database, \$err);
		$ok = $session && run_statement($session, $query, \$out, \$err);
		undef $session unless defined $ok;
		chomp($out);
	} until ($ok && $out eq $expected && $err eq '' || time() > $deadline);
	leave_session($self, $session) if $session;
	return 1 if $ok && $out eq $expected;
	Test::More::diag("timed out executing this query:\n$query\nexpecting this output:\n$expected\nlast output:\n$out\nwith stderr:\n$err");
	return 0;
}

# Exit status, output and messages of a script.
sub run_script
{
	my ($self, $database, $script, $stop) = @_;
	my ($status, $out, $err) = (0, '', '');

	my $session = take_session($self, $database, \$err) or return (2, $out, $err);
	foreach my $statement (statements($script))
	{
		my $ok = run_statement($session, $statement, \$out, \$err);
		return (2, $out, $err) unless defined $ok;
		next if $ok || !$stop;
		$status = 3;
		last;
	}
	leave_session($self, $session);
	return ($status, $out, $err);
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

# The one that is kept, if it is good for the call, else a new one; undef with the reason
# added to $$err.
sub take_session
{
	my ($self, $database, $err) = @_;
	my $for = join "\0", $$, $database, map { $_ // '' } @ENV{qw(PGAPPNAME PGOPTIONS)};
	my $kept = $self->{taskq_session};
	my $ignored;

	# What can be read is the end of it.
	return delete $self->{taskq_session}
	  if $kept && $kept->{for} eq $for && !IO::Select->new($kept->{socket})->can_read(0)
	  && run_statement($kept, 'discard all', \$ignored, \$ignored);
	end_session($self);
	return open_session($self, $database, $for, $err);
}

# Keeps it for the next call, unless it is within a transaction.
sub leave_session
{
	my ($self, $session) = @_;

	$self->{taskq_session} = $session;
	end_session($self) unless $self->{taskq_keeps} && $session->{state} eq 'I';
	return;
}

# Returns when the session that is kept is gone from the server.  A child process of the
# test leaves its parent's alone.
sub end_session
{
	my ($self) = @_;
	my $session = delete $self->{taskq_session};

	return unless $session && $session->{pid} == $$;
	print { $session->{socket} } pack('aN', 'X', 4);
	1 while read($session->{socket}, my $rest, 8192);
	return;
}

# ---- the protocol ---------------------------------------------------------------------

sub open_session
{
	my ($self, $database, $for, $err) = @_;
	my $path = $self->host . '/.s.PGSQL.' . $self->port;
	my $socket = IO::Socket::UNIX->new(Peer => $path);
	my $session = { socket => $socket, for => $for, pid => $$, state => '' };
	my %startup = (
		user => scalar(getpwuid($>)), database => $database, application_name => $ENV{PGAPPNAME},
		options => $ENV{PGOPTIONS});
	my $ignored;

	if (!$socket)
	{
		$$err .= "connection to server on socket \"$path\" failed: $!\n";
		return;
	}
	my $packet = join '', map { "$_\0$startup{$_}\0" } grep { defined $startup{$_} } sort keys %startup;
	print $socket pack('NNa*x', length($packet) + 9, 3 << 16, $packet);
	return receive($session, \$ignored, $err) ? $session : undef;
}

# Adds the rows to $$out, one a line, and what the server says to $$err.  Returns whether
# it succeeded, undef if the session has ended.
sub run_statement
{
	my ($session, $statement, $out, $err) = @_;

	print { $session->{socket} } pack('aNa*x', 'Q', length($statement) + 5, $statement);
	return receive($session, $out, $err);
}

# The same for what the server sends until it is ready for a query.
sub receive
{
	my ($session, $out, $err) = @_;
	my $failed = 0;

	while (read($session->{socket}, my $head, 5))
	{
		my ($type, $length) = unpack('aN', $head);
		read($session->{socket}, my $body, $length - 4);
		$$out .= row_of($body) if $type eq 'D';
		$$err .= message_of($body) if $type eq 'E' || $type eq 'N';
		$failed ||= $type eq 'E';
		next unless $type eq 'Z';
		$session->{state} = $body;
		return !$failed;
	}
	$$err .= "server closed the connection unexpectedly\n";
	return;
}

# A row as psql -At prints it.
sub row_of
{
	my ($body) = @_;
	my @values;
	my $at = 2;

	foreach (1 .. unpack('n', $body))
	{
		my $length = unpack('l>', substr($body, $at, 4));
		push @values, $length < 0 ? '' : substr($body, $at + 4, $length);
		$at += 4 + ($length < 0 ? 0 : $length);
	}
	return @values ? join('|', @values) . "\n" : '';
}

# An error or a notice.
sub message_of
{
	my ($body) = @_;
	my %field = map { substr($_, 0, 1) => substr($_, 1) } split /\0/, $body;
	my $text = "$field{S}:  $field{M}\n";

	$text .= "DETAIL:  $field{D}\n" if defined $field{D};
	$text .= "HINT:  $field{H}\n" if defined $field{H};
	$text .= "CONTEXT:  $field{W}\n" if defined $field{W} && $field{V} eq 'ERROR';
	return $text;
}

1;
