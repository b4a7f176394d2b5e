# TaskqDocs.pm
#		Runs the examples of the documentation.
#
#   my $docs = TaskqDocs->new($node, $receiver, hosts => { 'hooks.example.com' => '/ok' });
#   $docs->run_file('docs/patterns.md', 'patterns');
#
# The ```sql blocks of a file are one psql script, run in a database of its
# own.  A block fails the test if a statement of it fails; one that is followed
# by the comment <!-- error: CODE --> must fail with that code, once.  A ```text
# block right after is what psql must print; widths do not count, and an
# ellipsis stands for anything.  Example hosts are places of the receiver, so
# no name is looked up and nothing leaves this machine.
#
# With sh => 1 the ```sh blocks are run between them, with `sh -e`, in a directory
# where examples/ and docs/ are those of the tree, and with the programs in PATH; the
# ```text after one is what it must print.  What a block exports the next one has, and what it
# leaves in the background is ended with the file.  A block that is followed by <!-- not run: REASON --> is not run.

package TaskqDocs;

use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = abs_path(dirname(__FILE__) . '/../..');

# Parameters: hosts => places of the receiver, sh => 1, words => what else to replace.
sub new
{
	my ($class, $node, $receiver, %params) = @_;

	return bless { node => $node, receiver => $receiver, hosts => {}, words => {}, %params }, $class;
}

sub to_receiver
{
	my ($self, $text) = @_;

	$text =~ s{https?://$_\b}{$self->{receiver}->url($self->{hosts}{$_})}ge foreach keys %{ $self->{hosts} };
	$text =~ s{\Q$_\E}{$self->{words}{$_}}g foreach keys %{ $self->{words} };
	return $text;
}

sub from_receiver
{
	my ($self, $text) = @_;

	foreach my $host (keys %{ $self->{hosts} })
	{
		my $url = $self->{receiver}->url($self->{hosts}{$host});
		$text =~ s{\Q$url\E}{https://$host}g;
	}
	return $text;
}

# ---- taking a file apart ---------------------------------------------------------------

# The fenced blocks of a file, in order: language, text, the line it begins at,
# and the text between it and the next one.
sub blocks
{
	my ($self, $file) = @_;
	my $text = slurp_file("$top/$file");
	my @blocks;

	while ($text =~ /^```(\w+)\n(.*?)^```\n(.*?)(?=^```\w|\z)/gms)
	{
		my ($language, $body, $after, $start) = ($1, $2, $3, $-[0]);
		push @blocks,
		  {
			language => $language,
			text => $body,
			after => $after,
			line => 1 + (substr($text, 0, $start) =~ tr/\n//)
		  };
	}
	return @blocks;
}

# The examples: blocks with the error they expect and what they print.
sub examples
{
	my ($self, $file) = @_;
	my @blocks = $self->blocks($file);
	my $languages = $self->{sh} ? qr/^(?:sql|sh)$/ : qr/^sql$/;
	my @examples;

	foreach my $i (0 .. $#blocks)
	{
		my ($block, $next) = @blocks[ $i, $i + 1 ];
		next if $block->{language} !~ $languages || $block->{after} =~ /\A\s*<!-- not run: /;
		my $error = $block->{after} =~ /\A\s*<!-- error: (\w{5}) -->/ ? $1 : '';
		my $shown = $next && $next->{language} eq 'text' && $block->{after} =~ /\A\s*(?:<!--.*?-->\s*)?\z/;
		push @examples,
		  { %$block, name => "$file:$block->{line}", error => $error, shown => $shown ? $next->{text} : undef };
	}
	return @examples;
}

# ---- running the examples --------------------------------------------------------------

# A block for the shell, as what psql runs; its exit status is left in a file.
sub shell_of
{
	my ($self, $e, $dir) = @_;
	my $file = "$dir/$e->{line}";

	symlink "$top/$_", "$dir/$_" foreach 'docs', 'examples';
	append_to_file("$file.sh", "cd '$dir'\n[ ! -e exports ] || . ./exports\n" . $self->to_receiver($e->{text})
		. "echo \$! >>'$dir/pids'\nexport -p >exports\n");
	return "\\! sh -e $file.sh >$file.out 2>$file.err </dev/null; echo \$? >$file.status; cat $file.out\n";
}

# The script, with a marker behind each example; notes on which lines it stands.
sub script_of
{
	my ($self, $dir, @examples) = @_;
	my $script = "\\set VERBOSITY verbose\n\\pset pager off\n";

	foreach my $e (@examples)
	{
		my $text = $e->{language} eq 'sh' ? $self->shell_of($e, $dir) : $self->to_receiver($e->{text});
		$script .= '\set ON_ERROR_STOP ' . ($e->{error} ? 0 : 1) . "\n";
		$e->{first} = 1 + ($script =~ tr/\n//);
		$script .= $text;
		$e->{last} = $script =~ tr/\n//;
		$script .= "\\echo <<$e->{line}>>\n";
	}
	return $script;
}

# Codes of the errors that psql reported for an example; what is no SQL error as it is.
sub errors_of
{
	my ($e, $dir, $stderr) = @_;
	my @errors;

	if ($e->{language} eq 'sh')
	{
		my $status = slurp_file("$dir/$e->{line}.status") =~ s/\s//gr;
		return $status eq '0' ? '' : "status $status: " . slurp_file("$dir/$e->{line}.err");
	}
	while ($stderr =~ /^psql:\S+?:(\d+): (.*)$/mg)
	{
		my ($line, $message) = ($1, $2);
		next if $line < $e->{first} || $line > $e->{last};
		push @errors, $message =~ /^(?:ERROR|FATAL):\s+(\w{5}):/ ? $1 : $message;
	}
	return join ' ', @errors;
}

# What counts of psql's output: not the widths of columns.
sub normal
{
	my ($text) = @_;

	return join "\n", map { s/-{2,}/--/gr =~ s/[ ]+/ /gr =~ s/^ | $//gr } grep { /\S/ } split /\n/, $text;
}

sub shows
{
	my ($self, $e, $output) = @_;
	my $got = normal($self->from_receiver($output));
	my $pattern = join '.*', map { quotemeta } split /\x{e2}\x{80}\x{a6}/, normal($e->{shown}), -1;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($got, qr/\A$pattern\z/, "$e->{name} prints what it shows");
	return;
}

# Runs some examples in a database; two tests an example.  False: one was not reached.
sub run_examples
{
	my ($self, $database, @examples) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my ($stdout, $stderr);

	local $ENV{PATH} = abs_path('build/cli') . ":$ENV{PATH}" if $self->{sh};
	local @ENV{qw(PGHOST PGPORT PGDATABASE)} = ($self->{node}->host, $self->{node}->port, $database);
	append_to_file("$dir/script.sql", $self->script_of($dir, @examples));
	IPC::Run::run([ 'psql', '-Xq', '-f', "$dir/script.sql", $self->{node}->connstr($database) ],
		'<', \undef, '>', \$stdout, '2>', \$stderr);
	push @{ $self->{pids} }, grep { /\d/ } split /\n/, slurp_file("$dir/pids") if -e "$dir/pids";
	foreach my $e (@examples)
	{
		my $reached = $stdout =~ s/\A(.*?)^<<$e->{line}>>\n//ms;
		my $output = $1;
		unless ($reached)
		{
			fail("$e->{name} is reached");
			diag($stderr);
			return 0;
		}
		is(errors_of($e, $dir, $stderr), $e->{error}, "$e->{name} " . ($e->{error} ? "fails with $e->{error}" : 'runs'))
		  or diag($stderr);
		$self->shows($e, $output) if defined $e->{shown};
	}
	return 1;
}

# Runs a file's examples in a database of that name.  After a reload of the configuration
# it waits for the executor, and goes on with a new session.
sub run_file
{
	my ($self, $file, $database, $reloaded) = @_;
	my @examples = $self->examples($file);
	my @part;

	cmp_ok(scalar(@examples), '>', 0, "$file has examples");
	unlike(join('', map { $self->to_receiver($_->{text}) } grep { !$_->{error} } @examples),
		qr{https?://(?!127\.0\.0\.1:|\[::ffff:10\.0\.0\.1\])}, "$file: every host is the receiver's, or is refused") or return;
	$self->{pids} = [];
	foreach my $e (@examples)
	{
		push @part, $e;
		next unless $reloaded && $e->{text} =~ /pg_reload_conf/;
		$self->run_examples($database, splice @part) or last;
		$reloaded->();
	}
	$self->run_examples($database, @part) if @part;
	kill 'TERM', @{ $self->{pids} };
	return;
}

1;
