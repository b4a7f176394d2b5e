/*
 * test_egress.c
 *		Every special-purpose block is refused in every form, and opened by the list.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "core/egress.h"
#include "unit.h"

static const char *
judge(const tq_egress *e, const char *text)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return tq_egress_denied(e, (const struct sockaddr *) &v4);
	if (inet_pton(AF_INET6, text, &v6.sin6_addr) != 1)
		return "bad test";
	return tq_egress_denied(e, (const struct sockaddr *) &v6);
}

static void
test_denied(void)
{
	static const struct
	{
		const char *addr;
		const char *rule;
	} cases[] = {
		{"0.0.0.0", "this network"},
		{"0.255.255.255", "this network"},
		{"10.0.0.0", "private"},
		{"10.255.255.255", "private"},
		{"100.64.0.0", "shared address space"},
		{"100.127.255.255", "shared address space"},
		{"100.100.100.200", "shared address space"},
		{"127.0.0.1", "loopback"},
		{"127.255.255.255", "loopback"},
		{"168.63.129.16", "metadata"},
		{"169.254.169.254", "link-local"},
		{"169.254.0.0", "link-local"},
		{"172.16.0.0", "private"},
		{"172.31.255.255", "private"},
		{"192.0.0.192", "protocol assignments"},
		{"192.0.2.1", "documentation"},
		{"192.31.196.1", "special purpose"},
		{"192.52.193.1", "special purpose"},
		{"192.88.99.1", "6to4 relay"},
		{"192.168.0.0", "private"},
		{"192.168.255.255", "private"},
		{"192.175.48.1", "special purpose"},
		{"198.18.0.0", "benchmarking"},
		{"198.19.255.255", "benchmarking"},
		{"198.51.100.7", "documentation"},
		{"203.0.113.9", "documentation"},
		{"224.0.0.1", "multicast"},
		{"239.255.255.255", "multicast"},
		{"240.0.0.1", "reserved"},
		{"255.255.255.254", "reserved"},
		{"255.255.255.255", "broadcast"},

		{"::", "unspecified"},
		{"::1", "loopback"},
		{"fe80::1", "link-local"},
		{"febf::1", "link-local"},
		{"fec0::1", "site-local"},
		{"fc00::1", "unique local"},
		{"fd00:ec2::254", "unique local"},
		{"ff02::1", "multicast"},
		{"2001::1", "teredo"},
		{"2001:2::1", "protocol assignments"},
		{"2001:10::1", "protocol assignments"},
		{"2001:20::1", "protocol assignments"},
		{"2001:1ff::1", "protocol assignments"},
		{"2001:db8::1", "documentation"},
		{"3fff::1", "documentation"},
		{"3fff:fff::1", "documentation"},
		{"2620:4f:8000::1", "special purpose"},
		{"100::1", "reserved"},
		{"64:ff9b:1::1", "reserved"},
		{"5f00::1", "reserved"},
		{"4000::1", "reserved"},
		{"1fff::1", "reserved"},

		/* IPv4 in IPv6 */
		{"::ffff:127.0.0.1", "loopback"},
		{"::ffff:169.254.169.254", "link-local"},
		{"::ffff:0.0.0.0", "this network"},
		{"::ffff:10.1.2.3", "private"},
		{"::127.0.0.1", "reserved"},
		{"::8.8.8.8", "reserved"},
		{"::ffff:0:127.0.0.1", "reserved"},
		{"64:ff9b::127.0.0.1", "loopback"},
		{"64:ff9b::10.0.0.1", "private"},
		{"64:ff9b::169.254.169.254", "link-local"},
		{"2002:7f00:1::1", "6to4"},
		{"2002:a00:1::", "6to4"},
		{"2002:a9fe:a9fe::1", "6to4"},
		{"2002:c0a8:101::5", "6to4"},
		{"2001:0:7f00:1::", "teredo"},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_str(judge(NULL, cases[i].addr), cases[i].rule, "%s is refused", cases[i].addr);
}

static void
test_public(void)
{
	static const char *const public[] = {
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
		"126.255.255.255", "128.0.0.0", "168.63.129.15", "168.63.129.17", "169.253.255.255",
		"169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0",
		"192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0",
		"198.51.99.255", "203.0.114.0", "223.255.255.255",
		"2606:4700:4700::1111", "2a00:1450:4001::1", "2001:200::1", "2001:4860:4860::8888",
		"2001:db7:ffff::1", "2001:db9::1", "3ffe::1", "2003::1", "2400:cb00::1",
		"::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2a00::5efe:8.8.8.8"};
	tq_egress empty = {0};
	struct sockaddr un = {.sa_family = AF_UNIX};
	size_t i;

	for (i = 0; i < sizeof(public) / sizeof(public[0]); i++)
		is_str(judge(&empty, public[i]), NULL, "%s is public", public[i]);
	is_str(tq_egress_denied(&empty, &un), "address family", "no other family");
}

static void
test_allow(void)
{
	tq_egress e = {0};
	char err[128] = "";

	ok(tq_egress_allow(&e, " 10.0.0.5,127.0.0.0/8\t::1 fd00::/8, 64:ff9b::/96 ,", err, sizeof(err)),
	   "a list of all forms");
	is_int(e.nallow, 5, "elements");
	is_str(judge(&e, "10.0.0.5"), NULL, "a single address is open");
	is_str(judge(&e, "10.0.0.4"), "private", "its neighbour below is not");
	is_str(judge(&e, "10.0.0.6"), "private", "nor the one above");
	is_str(judge(&e, "127.255.0.1"), NULL, "a block is open");
	is_str(judge(&e, "::ffff:127.0.0.1"), NULL, "also in its mapped form");
	is_str(judge(&e, "64:ff9b::127.0.0.1"), NULL, "also by NAT64");
	is_str(judge(&e, "64:ff9b::10.0.0.6"), "private",
		   "an open prefix does not open what it carries");
	is_str(judge(&e, "2002:7f00:1::1"), "6to4", "6to4 is a closed block");
	ok(tq_egress_allow(&e, "2002::/16 ::1 fd00::/8 10.0.0.5 127.0.0.0/8 64:ff9b::/96", err,
					   sizeof(err)),
	   "which a list opens");
	is_str(judge(&e, "2002:a00:1::"), "private", "but not what it carries");
	is_str(judge(&e, "2002:7f00:1::1"), NULL, "unless that is open, too");
	is_str(judge(&e, "::1"), NULL, "IPv6 loopback is open");
	is_str(judge(&e, "::2"), "reserved", "its neighbour is not");
	is_str(judge(&e, "fdff::1"), NULL, "unique local is open");
	is_str(judge(&e, "fc00::1"), "unique local", "its other half is not");
	is_str(judge(&e, "8.8.8.8"), NULL, "public stays open");

	ok(tq_egress_allow(&e, "::ffff:10.0.0.0/104", err, sizeof(err)), "a mapped block");
	is_str(judge(&e, "10.200.0.1"), NULL, "means the IPv4 block");
	is_str(judge(&e, "127.0.0.1"), "loopback", "the old list is gone");

	ok(tq_egress_allow(&e, "0.0.0.0/0 ::/0", err, sizeof(err)), "everything");
	is_str(judge(&e, "255.255.255.255"), NULL, "opens IPv4");
	is_str(judge(&e, "ff02::1"), NULL, "and IPv6");
	ok(tq_egress_allow(&e, "::/0", err, sizeof(err)), "all of IPv6");
	is_str(judge(&e, "::ffff:127.0.0.1"), "loopback", "does not open IPv4 in disguise");
	is_str(judge(&e, "2001:0:7f00:1::"), "broadcast", "nor what Teredo carries");
	ok(tq_egress_allow(&e, "", err, sizeof(err)), "the empty list");
	is_int(e.nallow, 0, "has nothing");
	tq_egress_free(&e);
}

static void
test_deny(void)
{
	tq_egress e = {0};
	char err[128] = "";

	ok(tq_egress_deny(&e, "8.8.8.0/24, 2a00::/16, 10.0.0.1", err, sizeof(err)), "a deny list");
	ok(tq_egress_allow(&e, "10.0.0.0/8", err, sizeof(err)), "and an allow list");
	is_str(judge(&e, "8.8.8.8"), "deny list", "a public address is closed");
	is_str(judge(&e, "8.8.9.8"), NULL, "its neighbour is not");
	is_str(judge(&e, "2a00::1"), "deny list", "IPv6");
	is_str(judge(&e, "10.0.0.1"), "deny list", "stronger than the allow list");
	is_str(judge(&e, "10.0.0.2"), NULL, "whose other addresses are open");
	is_str(judge(&e, "::ffff:8.8.8.8"), "deny list", "in its mapped form");
	is_str(judge(&e, "64:ff9b::8.8.8.8"), "deny list", "by NAT64");
	is_str(judge(&e, "2606::200:5efe:8.8.8.8"), "deny list", "by ISATAP");
	tq_egress_free(&e);
}

static void
test_own(void)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct sockaddr un = {.sa_family = AF_UNIX};
	tq_egress e = {0};
	tq_egress copy = {0};
	char err[128] = "";

	inet_pton(AF_INET, "203.0.114.7", &v4.sin_addr);
	inet_pton(AF_INET6, "2a00::7", &v6.sin6_addr);
	ok(tq_egress_add_own(&e, (struct sockaddr *) &v4) &&
		   tq_egress_add_own(&e, (struct sockaddr *) &v6) && tq_egress_add_own(&e, &un),
	   "addresses of this machine");
	is_int(e.nown, 2, "those of internet families");
	is_str(judge(&e, "203.0.114.7"), "own address", "are closed");
	is_str(judge(&e, "203.0.114.8"), NULL, "their neighbours are not");
	is_str(judge(&e, "2a00::7"), "own address", "IPv6");
	is_str(judge(&e, "64:ff9b::203.0.114.7"), "own address", "by NAT64");
	ok(tq_egress_allow(&copy, "203.0.114.7", err, sizeof(err)), "a list for another");
	ok(tq_egress_copy(&e, &copy), "is copied");
	is_str(judge(&e, "203.0.114.7"), NULL, "the allow list opens them");
	is_str(judge(&e, "2a00::7"), "own address", "own addresses outlast the copy");
	tq_egress_free(&copy);
	tq_egress_free(&e);
}

static void
test_hosts(void)
{
	static const struct
	{
		const char *host;
		bool listed;
	} cases[] = {
		{"api.example.com", true},
		{"API.Example.COM.", true},
		{"api.example.com..", false},
		{"api.example.com.evil.test", false},
		{"evilapi.example.com", false},
		{"example.com", false},
		{"example.org", false},
		{"a.example.org", true},
		{"a.b.EXAMPLE.org.", true},
		{".example.org", false},
		{"badexample.org", false},
		{"xn--bcher-kva.example", true},
		{"a.XN--bcher-kva.example.net", true},
		{"xn--bcher-kva.example.net", false},
		{"192.0.2.1", true},
		{"192.0.2.10", false},
		{"2001:DB8:0:0::1", true},
		{"2001:db8::2", false},
		{"", false},
	};
	tq_egress e = {0};
	char err[512] = "";
	size_t i;

	ok(tq_egress_hosts(&e,
					   "api.example.com, *.Example.ORG. B\xc3\x9c"
					   "CHER.example "
					   "*.b\xc3\xbc"
					   "cher.example.net "
					   "192.0.2.1 [2001:db8::1]",
					   err, sizeof(err)),
	   "a list of hosts");
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_str(tq_egress_url_denied(&e, cases[i].host, "443"),
			   cases[i].listed ? NULL : "list of hosts", "host \"%s\"", cases[i].host);
	ok(tq_egress_hosts(&e, "", err, sizeof(err)), "an empty one");
	is_str(tq_egress_url_denied(&e, "anything", "1"), NULL, "asks nothing");
	tq_egress_free(&e);
}

static void
test_ports(void)
{
	tq_egress e = {0};
	char err[128] = "";

	ok(tq_egress_ports(&e, "80, 443 8000-8099", err, sizeof(err)), "a list of ports");
	is_str(tq_egress_url_denied(&e, "h", "80"), NULL, "80");
	is_str(tq_egress_url_denied(&e, "h", "443"), NULL, "443");
	is_str(tq_egress_url_denied(&e, "h", "0443"), NULL, "0443 is 443");
	is_str(tq_egress_url_denied(&e, "h", "8000"), NULL, "a range's first");
	is_str(tq_egress_url_denied(&e, "h", "8099"), NULL, "and last");
	is_str(tq_egress_url_denied(&e, "h", "8100"), "list of ports", "not the next one");
	is_str(tq_egress_url_denied(&e, "h", "25"), "list of ports", "not 25");
	tq_egress_free(&e);
}

static void
test_mistakes_of_names(void)
{
	static const char *const hosts[] = {
		"*", "*.", "a*.example", "*.*.example", "*.[::1]", "b\xc3\x28.example",
		"a..b", ".a", "http://a", "a:80", "[::1", "a/8"};
	static const char *const ports[] = {
		"0", "65536", "http", "80-", "-80", "443-80", "80-90-99", "+80", "1000000"};
	tq_egress e = {0};
	char err[512];
	size_t i;

	for (i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
	{
		ok(!tq_egress_hosts(&e, hosts[i], err, sizeof(err)), "host \"%s\" is refused", hosts[i]);
		ok(strstr(err, "is not a host name, *.NAME or an address") != NULL, "with a reason");
	}
	for (i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
	{
		ok(!tq_egress_ports(&e, ports[i], err, sizeof(err)), "port \"%s\" is refused", ports[i]);
		ok(strstr(err, "is not a port or a range of ports") != NULL, "with a reason");
	}
	tq_egress_free(&e);
}

static void
test_mistakes(void)
{
	static const struct
	{
		const char *list;
		const char *err;
	} cases[] = {
		{"localhost", "\"localhost\" is not an IP address or CIDR block"},
		{"10.0.0.1, 10.0.0", "\"10.0.0\" is not an IP address or CIDR block"},
		{"127.1", "\"127.1\" is not an IP address or CIDR block"},
		{"0177.0.0.1/8", "\"0177.0.0.1/8\" is not an IP address or CIDR block"},
		{"10.0.0.0/33", "\"10.0.0.0/33\" has a bad prefix length"},
		{"10.0.0.0/", "\"10.0.0.0/\" has a bad prefix length"},
		{"10.0.0.0/-1", "\"10.0.0.0/-1\" has a bad prefix length"},
		{"10.0.0.0/8x", "\"10.0.0.0/8x\" has a bad prefix length"},
		{"10.0.0.0/0000000008", "\"10.0.0.0/0000000008\" has a bad prefix length"},
		{"::/129", "\"::/129\" has a bad prefix length"},
		{"10.0.0.1/8", "\"10.0.0.1/8\" has bits set to the right of the prefix"},
		{"fd00::1/8", "\"fd00::1/8\" has bits set to the right of the prefix"},
		{"/8", "\"/8\" is not an IP address or CIDR block"},
		{"fe80::1%eth0", "\"fe80::1%eth0\" is not an IP address or CIDR block"},
		{"10.0.0.0;8", "\"10.0.0.0;8\" is not an IP address or CIDR block"},
	};
	tq_egress e = {0};
	char err[128];
	char small[8];
	char list[16 * 1025 + 1] = "";
	size_t i;

	tq_egress_allow(&e, "192.168.1.1", err, sizeof(err));
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		ok(!tq_egress_allow(&e, cases[i].list, err, sizeof(err)), "\"%s\" is refused",
		   cases[i].list);
		is_str(err, cases[i].err, "with a reason");
	}
	is_str(judge(&e, "192.168.1.1"), NULL, "the old list stays after a mistake");

	memset(list, '1', 200);
	ok(!tq_egress_allow(&e, list, small, sizeof(small)), "an oversized element");
	is_int(strlen(small), sizeof(small) - 1, "the reason is cut to its room");

	list[0] = '\0';
	for (i = 0; i < 1024; i++)
		strcat(list, "1.2.3.4 ");
	ok(tq_egress_allow(&e, list, err, sizeof(err)), "1024 elements");
	strcat(list, "1.2.3.4");
	ok(!tq_egress_allow(&e, list, err, sizeof(err)), "not 1025");
	tq_egress_free(&e);
}

int
main(void)
{
	test_denied();
	test_public();
	test_allow();
	test_deny();
	test_own();
	test_hosts();
	test_ports();
	test_mistakes();
	test_mistakes_of_names();
	return done();
}
