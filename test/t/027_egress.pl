# 027_egress.pl
#		No spelling of an address, and no answer of a name server, reaches what is
#		not public: in a network namespace in which every address is a canary.
#
# It runs itself again in that namespace: without rights outside of it, and
# without any in it once it has been laid out.

use strict;
use warnings FATAL => 'all';

BEGIN
{
	my $lay_out = <<'END';
ip link set lo up && ip route add local default dev lo && ip -6 route add local default dev lo &&
echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start && echo nameserver 127.0.0.1 >"$1/resolv.conf" &&
mount --bind "$1/resolv.conf" /etc/resolv.conf && shift &&
exec setpriv --ambient-caps=-all --inh-caps=-all "$@"
END
	if (!$ENV{TASKQ_TEST_NAMESPACE})
	{
		require File::Temp;
		$ENV{TASKQ_TEST_NAMESPACE} = File::Temp::tempdir(CLEANUP => 0);
		$ENV{PATH} .= ':/usr/sbin:/sbin';
		exec 'unshare', '--user', '--net', '--mount', '--map-current-user', '--keep-caps', 'sh', '-c', $lay_out, 'sh',
		  $ENV{TASKQ_TEST_NAMESPACE}, $^X, (map { "-I$_" } grep { !ref } @INC), $0;
	}
}

use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $dir = $ENV{TASKQ_TEST_NAMESPACE};
END { unlink map { "$dir/$_" } qw(resolv.conf log out worker); rmdir $dir if defined $dir }

my $canary = IPC::Run::start([ 'python3', 'test/lib/canary.py', '--log', "$dir/log", 80, 443, 8080, 5432, 6379, 25 ],
	'<', \undef, '>', "$dir/out", '2>&1');
TaskqTest::wait_until('the canary', sub { return slurp_file("$dir/out") eq "ready\n" });

# Connections so far, as "address port", each once.
sub reached
{
	my %seen;

	return () unless -e "$dir/log";
	foreach my $line (split /\n/, slurp_file("$dir/log"))
	{
		my $connection = JSON::PP::decode_json($line);
		$seen{"$connection->{address} $connection->{port}"}++;
	}
	return sort keys %seen;
}

my $node = taskq_node('main', conf => <<'END');
taskq.http_allow = ''
taskq.http_ports = '80, 443, 8080'
taskq.http_max_inflight = 200
taskq.http_max_per_host = 200
END

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sql(<<'END');
select taskq.create_retry_policy('once', max_attempts => 1);
select taskq.create_queue('inside', mode => 'push', retry => 'once');
select taskq.create_queue('outside', mode => 'push', retry => 'once', executor => 'external');
create table sent (queue text, url text, id bigint, refused text);
create procedure send(urls text[], queue text) language plpgsql as $$
declare
	url text;
	id bigint;
begin
	foreach url in array urls loop
		begin
			id := taskq.submit_http(url, '{}', queue => queue, timeout => '5 s');
			insert into sent values (queue, url, id);
		exception when sqlstate 'TQ004' then
			insert into sent values (queue, url, null, sqlerrm);
		end;
	end loop;
end
$$;
END

# The worker has the same rules, by its options.
my $database = 'host=' . $node->host . ' port=' . $node->port . ' dbname=postgres user=' . sql('select current_user');
my $worker = IPC::Run::start([ 'build/worker/taskq-worker', '--database', $database, '--ports', '80,443,8080',
	'--max-inflight', 200, '--max-per-host', 200 ], '<', \undef, '>', "$dir/worker", '2>&1');

# Sends them by both, and waits for their ends.
sub send_all
{
	my (@urls) = @_;
	my $list = join ',', map { "'" . s/'/''/gr . "'" } @urls;

	sql("truncate sent");
	sql("call send(array[$list], '$_')") foreach qw(inside outside);
	wait_query($node, 'postgres',
		'select count(*) = 0 from sent s join taskq.tasks t using (id) where t.ended_at is null');
	return;
}

# Those that were neither refused nor denied.
sub others
{
	return sql("select string_agg(s.queue || ' ' || s.url || ': ' || concat_ws(' ', t.state, a.class, a.error), E'\\n' order by 1)"
		  . " from sent s join taskq.tasks t using (id) left join taskq.attempts a on a.task_id = t.id"
		  . " where not (t.state = 'dead' and a.class = 'egress_denied')");
}

# ---- addresses in all their spellings ----------------------------------------------------------------

my @private4 = qw(0.0.0.0 10.0.0.5 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 168.63.129.16 169.254.169.254
  169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.51.100.1 203.0.113.1
  224.0.0.1 240.0.0.1 255.255.255.255);
my @private6 = qw(:: ::1 ::2 fe80::1 febf::1 fec0::1 fc00::1 fd00:ec2::254 ff02::1 100::1 64:ff9b:1::1 2001::1 2001:2::1
  2001:10::1 2001:db8::1 2002::1 3fff::1 5f00::1 4000::1 8000::1 2620:4f:8000::1);

sub spellings4
{
	my ($address) = @_;
	my ($a, $b, $c, $d) = split /\./, $address;
	my $number = (($a * 256 + $b) * 256 + $c) * 256 + $d;
	my $hex = sprintf('%02x%02x:%02x%02x', $a, $b, $c, $d);
	my $inverse = sprintf('%02x%02x:%02x%02x', map { 255 - $_ } $a, $b, $c, $d);

	return ($address, "$address.", $number, sprintf('0x%x', $number), sprintf('0X%X', $number), sprintf('0%o', $number),
		sprintf('0x%x.0x%x.0x%x.0x%x', $a, $b, $c, $d), sprintf('0%o.0%o.0%o.0%o', $a, $b, $c, $d),
		sprintf('00%o.0x%x.%d.%d', $a, $b, $c, $d), sprintf('%d.%d', $a, $number & 0xffffff),
		sprintf('%d.%d.%d', $a, $b, $number & 0xffff), sprintf('0x%x.%d', $a, $number & 0xffffff),
		join('.', map { join '', map { sprintf '%%%02x', ord } split // } $a, $b, $c, $d),
		sprintf('%d.%d.%d.%d%%2e', $a, $b, $c, $d), "[::ffff:$address]", "[::ffff:$hex]", "[0:0:0:0:0:FFFF:$hex]", "[::$address]",
		"[::$hex]", "[64:ff9b::$address]", "[64:ff9b::$hex]", "[64:ff9b:1::$hex]", "[2002:$hex\::1]", "[2001::$inverse]",
		"[2001:0:$hex\::1]", "[fe80::5efe:$address]", "[2a00::5efe:$address]", "[2a00::200:5efe:$hex]", "[::ffff:0:$address]",
		"user\@$address", "$address\@$address", "$address%00.example.com", "$address#\@example.com", "$address\\\@example.com",
		"$address:80\@example.com", "example.com\@$address:8080", "$address%2f\@example.com");
}

sub spellings6
{
	my ($address) = @_;

	return ("[$address]", '[' . uc($address) . ']', "[$address%25lo]", "[$address%lo]", "[$address]:8080", "[$address/128]");
}

my @hosts = ((map { spellings4($_) } @private4), (map { spellings6($_) } @private6),
	'localhost', 'LOCALHOST', 'localhost.', 'LocalHost:8080', 'ip6-localhost', '%6c%6f%63alhost');
# Names that are letters of other alphabets.
push @hosts, "\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1", "\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1", "127\xe3\x80\x820\xe3\x80\x820\xe3\x80\x821";
my @urls = map { "http://$_/" } @hosts;
cmp_ok(scalar @urls, '>=', 600, scalar(@urls) . ' spellings');
send_all(@urls);
my $others = others();
# What is no address, and has no name server's answer, is reached by nobody.
my @wrong = grep { !/: dead (dns|invalid) / } split /\n/, $others;
is(join("\n", @wrong), '', 'are all refused, denied, or no address');
is(join("\n", reached()), '', 'and no canary was reached');
cmp_ok(sql("select count(*) from sent s join taskq.attempts a on a.task_id = s.id where class = 'egress_denied'"), '>=', 800,
	'most were denied by the address, not by the parser');
is(sql("select count(*) from taskq.attempts a where error ~ '[0-9]+[.][0-9]+[.]' or error ~ '[0-9a-f]:[0-9a-f]'"), '0',
	'and no error tells it');

# The same canary answers where it may be reached: nothing else is in the way.
send_all(map { "http://$_/" } qw(93.184.216.34 1572395042 0x5db8d822 [2606:4700::1111] [::ffff:93.184.216.35] [64:ff9b::5db8:d824]));
like($others = others(), qr/^(\w+ http\S+: finished\n?){12}\z/, 'public addresses are reached, however they are spelled');
is(join(', ', reached()), '2606:4700::1111 80, 64:ff9b::5db8:d824 80, 93.184.216.34 80, 93.184.216.35 80', 'at those addresses');

# ---- ports ---------------------------------------------------------------------------------------------

my $before = join("\n", reached());
send_all(map { "http://93.184.216.34:$_/" } 22, 25, 5432, 6379, 11211, 2375, 10250, 81, 65535);
is(others(), '', 'ports that are not listed');
is(join("\n", reached()), $before, 'are not reached');

# ---- names ----------------------------------------------------------------------------------------------

sub v6
{
	return 'a6-' . unpack('H*', Socket::inet_pton(Socket::AF_INET6(), $_[0]));
}

my @denied = ((map { 'a4-' . tr/./-/r } @private4), (map { v6($_) } @private6, '::ffff:127.0.0.1', '64:ff9b::a00:5', '2002:a00:5::1',
	'2a00::5efe:10.0.0.5'), 'ttl0.a4-10-0-0-5', 'a4-10-0-0-5.' . v6('fd00::1'));
send_all(map { "http://$_.test/" } @denied);
is(others(), '', scalar(@denied) . ' names of what is not public: denied');
is(join("\n", reached()), $before, 'and not reached');

send_all(map { "http://$_/" } 'alias.test', 'loop.test', 'garbage.test', 'servfail.test', 'many.test', 'mute.test', 'nothing.test', 'test', 'a4-10-0-0-5');
@wrong = grep { !/: dead (dns|timeout) / } split /\n/, others();
is(join("\n", @wrong), '', 'names without a usable answer fail');
is(join("\n", reached()), $before, 'and reach nothing');

# A name server that does not answer holds up nobody else, and is not waited for longer than a task has.
sql('truncate sent');
my @silent = map { "http://n$_.mute.test/" } 1 .. 20;
foreach my $queue (qw(inside outside))
{
	sql("insert into sent select '$queue', u, taskq.submit_http(u, queue => '$queue', timeout => '1500 ms')"
		  . " from unnest(array['" . join("','", @silent) . "']) u");
	sql("insert into sent select '$queue', u, taskq.submit_http(u, queue => '$queue')"
		  . " from unnest(array_fill('http://93.184.216.34/'::text, array[100])) u");
}
wait_query($node, 'postgres', "select count(*) = 200 from sent join taskq.tasks t using (id) where t.state = 'finished'");
is(sql("select count(*) from sent join taskq.tasks t using (id) where t.ended_at is not null and sent.url ~ 'mute'"), '0',
	'a name server is silent: other tasks are all sent meanwhile');
wait_query($node, 'postgres', 'select count(*) = 0 from sent join taskq.tasks t using (id) where t.ended_at is null');
is(sql("select string_agg(distinct a.class, ' ') from sent join taskq.attempts a on a.task_id = sent.id where sent.url ~ 'mute'"
		  . " and a.elapsed between '1300 ms' and '1700 ms'"), 'timeout', 'and what waits for it ends in its time');
is(sql("select count(*) from sent join taskq.attempts a on a.task_id = sent.id where sent.url ~ 'mute'"
		  . " and a.elapsed between '1300 ms' and '1700 ms'"), '40', 'all of it');

# Public and private: the private ones are dropped.
send_all('http://a4-10-0-0-5.a4-93-184-216-40.test/', 'http://a4-93-184-216-41.' . v6('fd00:ec2::254') . '.test/');
like(others(), qr/^(\w+ http\S+: finished\n?){4}\z/, 'of a mixed answer what is public is reached');
my @new = grep { index($before, $_) < 0 } reached();
is(join(', ', @new), '93.184.216.40 80, 93.184.216.41 80', 'and nothing else');

# Another answer a moment later.
$before = join("\n", reached());
foreach my $n (1 .. 20)
{
	send_all("http://ttl0.n$n.a4-93-184-216-50.then.a4-169-254-169-254.ttl0.test/");
	send_all("http://ttl0.n$n.a4-93-184-216-50.then.a4-169-254-169-254.ttl0.test/");
}
@new = grep { index($before, $_) < 0 } reached();
is(join(', ', @new), '93.184.216.50 80', 'a name that changes its address: only what was judged is reached');

$worker->signal('TERM');
$worker->finish;
$canary->signal('TERM');
$canary->finish;
$node->stop;
log_is_clean($node);
done_testing();
