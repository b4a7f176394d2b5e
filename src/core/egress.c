/*
 * egress.c
 *		What may be reached: pure functions on names, ports and binary addresses.
 *
 * The tables are IANA's special-purpose registries, without the exceptions for
 * single anycast services inside a special block: no receiver of requests is there.
 * Of IPv6 only 2000::/3 has been assigned, so one rule refuses the rest of the
 * space, and the names of the blocks below only serve to tell why.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/egress.h"

#define MAX_LIST    1024
#define MAX_ELEMENT (TQ_MAX_HOST + 8)
#define MAX_PORT    65535

typedef struct rule
{
	uint8_t addr[16];
	int bits;
	const char *name;
} rule;

static const rule rules4[] = {
	{{0}, 8, "this network"},
	{{10}, 8, "private"},
	{{100, 64}, 10, "shared address space"},
	{{127}, 8, "loopback"},
	{{168, 63, 129, 16}, 32, "metadata"}, /* a cloud's host agent on a public address */
	{{169, 254}, 16, "link-local"},
	{{172, 16}, 12, "private"},
	{{192, 0, 0}, 24, "protocol assignments"},
	{{192, 0, 2}, 24, "documentation"},
	{{192, 31, 196}, 24, "special purpose"},
	{{192, 52, 193}, 24, "special purpose"},
	{{192, 88, 99}, 24, "6to4 relay"},
	{{192, 168}, 16, "private"},
	{{192, 175, 48}, 24, "special purpose"},
	{{198, 18}, 15, "benchmarking"},
	{{198, 51, 100}, 24, "documentation"},
	{{203, 0, 113}, 24, "documentation"},
	{{224}, 4, "multicast"},
	{{255, 255, 255, 255}, 32, "broadcast"},
	{{240}, 4, "reserved"},
};

static const rule rules6[] = {
	{{0}, 128, "unspecified"},
	{{[15] = 1}, 128, "loopback"},
	{{0xfe, 0x80}, 10, "link-local"},
	{{0xfe, 0xc0}, 10, "site-local"},
	{{0xfc}, 7, "unique local"},
	{{0xff}, 8, "multicast"},
	{{0x20, 0x01, 0x00, 0x00}, 32, "teredo"},
	{{0x20, 0x01, 0x00}, 23, "protocol assignments"},
	{{0x20, 0x01, 0x0d, 0xb8}, 32, "documentation"},
	{{0x20, 0x02}, 16, "6to4"},
	{{0x26, 0x20, 0x00, 0x4f, 0x80, 0x00}, 48, "special purpose"},
	{{0x3f, 0xff, 0x00}, 20, "documentation"},
};

static const rule v4mapped = {{[10] = 0xff, [11] = 0xff}, 96, NULL};
static const rule nat64 = {{0x00, 0x64, 0xff, 0x9b}, 96, NULL};
static const rule global6 = {{0x20}, 3, NULL};

static bool
prefix_matches(const uint8_t *addr, const uint8_t *prefix, int bits)
{
	int bytes = bits / 8;
	int rest = bits % 8;

	if (memcmp(addr, prefix, bytes) != 0)
		return false;
	return rest == 0 || ((addr[bytes] ^ prefix[bytes]) >> (8 - rest)) == 0;
}

static bool
contains(const tq_cidr *list, size_t n, int family, const uint8_t *addr)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (list[i].family == family && prefix_matches(addr, list[i].addr, list[i].bits))
			return true;
	return false;
}

static const char *
find_rule(const rule *rules, size_t n, const uint8_t *addr)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (prefix_matches(addr, rules[i].addr, rules[i].bits))
			return rules[i].name;
	return NULL;
}

/* Whether the lists decide; then *rule is the answer. */
static bool
listed(const tq_egress *e, int family, const uint8_t *addr, const char **rule)
{
	*rule = contains(e->deny, e->ndeny, family, addr) ? "deny list" : NULL;
	return *rule != NULL || contains(e->allow, e->nallow, family, addr);
}

static const char *
is_own(const tq_egress *e, int family, const uint8_t *addr)
{
	return contains(e->own, e->nown, family, addr) ? "own address" : NULL;
}

static const char *
denied4(const tq_egress *e, const uint8_t *addr)
{
	const char *rule;

	if (listed(e, AF_INET, addr, &rule))
		return rule;
	rule = find_rule(rules4, sizeof(rules4) / sizeof(rules4[0]), addr);
	return rule != NULL ? rule : is_own(e, AF_INET, addr);
}

/* The IPv6 form alone. */
static const char *
denied6(const tq_egress *e, const uint8_t *addr)
{
	const char *name;

	if (listed(e, AF_INET6, addr, &name))
		return name;
	name = find_rule(rules6, sizeof(rules6) / sizeof(rules6[0]), addr);
	if (name == NULL && !prefix_matches(addr, global6.addr, global6.bits) &&
		!prefix_matches(addr, nat64.addr, nat64.bits))
		name = "reserved";
	return name != NULL ? name : is_own(e, AF_INET6, addr);
}

/* The interface identifier 0[2]00:5efe:a.b.c.d, below any prefix. */
static bool
is_isatap(const uint8_t *a)
{
	return (a[8] & ~0x02) == 0 && a[9] == 0 && a[10] == 0x5e && a[11] == 0xfe;
}

/*
 * The IPv4 addresses that an IPv6 address carries, up to three of them; returns
 * their number.  ::1 and :: are not IPv4-compatible addresses.
 */
static int
embedded4(const uint8_t *a, uint8_t v4[3][4])
{
	static const uint8_t zeros[12];
	int n = 0;
	int i;

	if (prefix_matches(a, nat64.addr, nat64.bits) || is_isatap(a) ||
		(memcmp(a, zeros, 12) == 0 && (a[12] | a[13] | a[14]) != 0))
		memcpy(v4[n++], a + 12, 4);
	if (a[0] == 0x20 && a[1] == 0x02) /* 6to4 */
		memcpy(v4[n++], a + 2, 4);
	if (a[0] == 0x20 && a[1] == 0x01 && a[2] == 0 && a[3] == 0) /* Teredo: server, client */
	{
		memcpy(v4[n++], a + 4, 4);
		for (i = 0; i < 4; i++)
			v4[n][i] = a[12 + i] ^ 0xff;
		n++;
	}
	return n;
}

const char *
tq_egress_denied(const tq_egress *e, const struct sockaddr *addr)
{
	static const tq_egress none;
	const uint8_t *a;
	const char *name;
	uint8_t v4[3][4];
	int n;

	if (e == NULL)
		e = &none;
	if (addr->sa_family == AF_INET)
		return denied4(e, (const uint8_t *) &((const struct sockaddr_in *) addr)->sin_addr);
	if (addr->sa_family != AF_INET6)
		return "address family";

	a = (const uint8_t *) &((const struct sockaddr_in6 *) addr)->sin6_addr;

	/* The kernel connects to a mapped address by IPv4: it is that IPv4 address. */
	if (prefix_matches(a, v4mapped.addr, v4mapped.bits))
		return denied4(e, a + 12);

	name = denied6(e, a);
	n = embedded4(a, v4);
	while (name == NULL && n > 0)
		name = denied4(e, v4[--n]);
	return name;
}

/* ---- what a URL names ------------------------------------------------------ */

/* Lower case, no final dot, addresses as inet_ntop() writes them. */
static void
canonical_host(const char *host, char name[TQ_MAX_HOST + 1])
{
	uint8_t addr[16];
	size_t len = strlen(host);
	size_t i;

	if (len > TQ_MAX_HOST)
		len = TQ_MAX_HOST;
	for (i = 0; i < len; i++)
		name[i] = host[i] >= 'A' && host[i] <= 'Z' ? host[i] + ('a' - 'A') : host[i];
	if (len > 1 && name[len - 1] == '.')
		len--;
	name[len] = '\0';
	if (inet_pton(AF_INET, name, addr) == 1)
		inet_ntop(AF_INET, addr, name, TQ_MAX_HOST);
	else if (inet_pton(AF_INET6, name, addr) == 1)
		inet_ntop(AF_INET6, addr, name, TQ_MAX_HOST);
}

static bool
host_matches(const tq_host_rule *rule, const char *name)
{
	size_t len = strlen(name);
	size_t suffix = strlen(rule->name);

	if (!rule->below)
		return strcmp(name, rule->name) == 0;
	return len > suffix + 1 && name[len - suffix - 1] == '.' &&
		   strcmp(name + len - suffix, rule->name) == 0;
}

static bool
host_listed(const tq_egress *e, const char *host)
{
	char name[TQ_MAX_HOST + 1];
	size_t i;

	if (e->nhosts == 0)
		return true;
	canonical_host(host, name);
	for (i = 0; i < e->nhosts; i++)
		if (host_matches(&e->hosts[i], name))
			return true;
	return false;
}

static bool
port_listed(const tq_egress *e, const char *port)
{
	int number = atoi(port);
	size_t i;

	for (i = 0; i < e->nports; i++)
		if (number >= e->ports[i].first && number <= e->ports[i].last)
			return true;
	return e->nports == 0;
}

const char *
tq_egress_url_denied(const tq_egress *e, const char *host, const char *port)
{
	if (!host_listed(e, host))
		return "list of hosts";
	if (!port_listed(e, port))
		return TQ_EGRESS_PORTS;
	return NULL;
}

/* ---- lists: parsers of an element return NULL, or what is wrong with it ------ */

/* A block of mapped addresses is kept as the IPv4 block that it means. */
static void
unmap(tq_cidr *c)
{
	if (c->family != AF_INET6 || c->bits < 96 ||
		!prefix_matches(c->addr, v4mapped.addr, v4mapped.bits))
		return;
	memmove(c->addr, c->addr + 12, 4);
	memset(c->addr + 4, 0, 12);
	c->family = AF_INET;
	c->bits -= 96;
}

static const char *
parse_cidr(const char *text, void *element)
{
	tq_cidr *c = element;
	char addr[MAX_ELEMENT];
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t) (slash - text) : strlen(text);
	int max;
	int i;

	memset(c, 0, sizeof(*c));
	memcpy(addr, text, len);
	addr[len] = '\0';
	c->family = strchr(addr, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(c->family, addr, c->addr) != 1)
		return "is not an IP address or CIDR block";

	max = c->family == AF_INET ? 32 : 128;
	c->bits = max;
	if (slash != NULL)
	{
		size_t digits = strspn(slash + 1, "0123456789");

		if (digits < 1 || digits > 3 || slash[1 + digits] != '\0')
			return "has a bad prefix length";
		c->bits = atoi(slash + 1);
	}
	if (c->bits > max)
		return "has a bad prefix length";

	for (i = c->bits; i < max; i++)
		if (c->addr[i / 8] & (0x80 >> (i % 8)))
			return "has bits set to the right of the prefix";
	unmap(c);
	return NULL;
}

static bool
is_host_name(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";

	return *name != '\0' && *name != '.' && name[strspn(name, letters)] == '\0' &&
		   strstr(name, "..") == NULL;
}

static const char *
parse_host(const char *text, void *element)
{
	tq_host_rule *h = element;
	char bare[MAX_ELEMENT];
	char name[TQ_MAX_HOST + 1];
	uint8_t addr[16];
	size_t len = strlen(text);

	memset(h, 0, sizeof(*h));
	h->below = text[0] == '*' && text[1] == '.';
	if (h->below)
		text += 2, len -= 2;
	else if (len > 2 && text[0] == '[' && text[len - 1] == ']')
		text++, len -= 2;
	if (len > sizeof(bare) - 1)
		return "is too long";
	memcpy(bare, text, len);
	bare[len] = '\0';
	if (!tq_name_ascii(bare, name))
		return "is not a host name, *.NAME or an address";
	canonical_host(name, h->name);
	if (!h->below && inet_pton(AF_INET6, h->name, addr) == 1)
		return NULL;
	return is_host_name(h->name) ? NULL : "is not a host name, *.NAME or an address";
}

/* The number that text begins with, or -1; *end is where it ends. */
static int
parse_port(const char *text, const char **end)
{
	size_t digits = strspn(text, "0123456789");
	int port = digits >= 1 && digits <= 5 ? atoi(text) : -1;

	*end = text + digits;
	return port >= 1 && port <= MAX_PORT ? port : -1;
}

static const char *
parse_ports(const char *text, void *element)
{
	tq_port_range *p = element;
	const char *end;

	p->first = p->last = parse_port(text, &end);
	if (p->first > 0 && *end == '-')
		p->last = parse_port(end + 1, &end);
	if (p->first < 0 || p->last < p->first || *end != '\0')
		return "is not a port or a range of ports";
	return NULL;
}

typedef const char *(*element_parser)(const char *text, void *element);

/* NULL, or what is wrong with the element, which then is not in the list. */
static const char *
append_element(char **items, size_t *n, size_t size, const char *text, element_parser parse)
{
	char *grown = realloc(*items, (*n + 1) * size);
	const char *problem;

	if (grown == NULL)
		return "does not fit into memory";
	*items = grown;
	if (*n >= MAX_LIST)
		return "is one element too many";
	if (strlen(text) >= MAX_ELEMENT - 1)
		return "is too long";
	problem = parse(text, grown + *n * size);
	if (problem == NULL)
		(*n)++;
	return problem;
}

/* Replaces the list of *items, whose elements have that size. */
static bool
parse_list(const char *list, size_t size, element_parser parse, void **items, size_t *n,
		   char *err, size_t errlen)
{
	static const char separators[] = ", \t\r\n";
	const char *p = list + strspn(list, separators);
	char *parsed = NULL;
	size_t nparsed = 0;

	while (*p != '\0')
	{
		char text[MAX_ELEMENT];
		size_t len = strcspn(p, separators);
		const char *problem;

		snprintf(text, sizeof(text), "%.*s", (int) (len < MAX_ELEMENT ? len : MAX_ELEMENT), p);
		problem = append_element(&parsed, &nparsed, size, text, parse);
		if (problem != NULL)
		{
			snprintf(err, errlen, "\"%s\" %s", text, problem);
			free(parsed);
			return false;
		}
		p += len;
		p += strspn(p, separators);
	}
	free(*items);
	*items = parsed;
	*n = nparsed;
	return true;
}

bool
tq_egress_allow(tq_egress *e, const char *list, char *err, size_t errlen)
{
	return parse_list(list, sizeof(tq_cidr), parse_cidr, (void **) &e->allow, &e->nallow,
					  err, errlen);
}

bool
tq_egress_deny(tq_egress *e, const char *list, char *err, size_t errlen)
{
	return parse_list(list, sizeof(tq_cidr), parse_cidr, (void **) &e->deny, &e->ndeny,
					  err, errlen);
}

bool
tq_egress_hosts(tq_egress *e, const char *list, char *err, size_t errlen)
{
	return parse_list(list, sizeof(tq_host_rule), parse_host, (void **) &e->hosts, &e->nhosts,
					  err, errlen);
}

bool
tq_egress_ports(tq_egress *e, const char *list, char *err, size_t errlen)
{
	return parse_list(list, sizeof(tq_port_range), parse_ports, (void **) &e->ports, &e->nports,
					  err, errlen);
}

bool
tq_egress_add_own(tq_egress *e, const struct sockaddr *addr)
{
	tq_cidr own = {.family = addr->sa_family};
	tq_cidr *grown;

	if (addr->sa_family == AF_INET)
	{
		own.bits = 32;
		memcpy(own.addr, &((const struct sockaddr_in *) addr)->sin_addr, 4);
	}
	else if (addr->sa_family == AF_INET6)
	{
		own.bits = 128;
		memcpy(own.addr, &((const struct sockaddr_in6 *) addr)->sin6_addr, 16);
	}
	else
		return true;
	grown = realloc(e->own, (e->nown + 1) * sizeof(own));
	if (grown == NULL)
		return false;
	grown[e->nown++] = own;
	e->own = grown;
	return true;
}

/* NULL for an empty list; *failed is set when memory runs out. */
static void *
copy_list(const void *items, size_t n, size_t size, bool *failed)
{
	void *copy = n > 0 ? malloc(n * size) : NULL;

	if (copy != NULL)
		memcpy(copy, items, n * size);
	*failed = *failed || (n > 0 && copy == NULL);
	return copy;
}

bool
tq_egress_copy(tq_egress *copy, const tq_egress *e)
{
	tq_egress made = *e;
	bool failed = false;

	made.allow = copy_list(e->allow, e->nallow, sizeof(*e->allow), &failed);
	made.deny = copy_list(e->deny, e->ndeny, sizeof(*e->deny), &failed);
	made.hosts = copy_list(e->hosts, e->nhosts, sizeof(*e->hosts), &failed);
	made.ports = copy_list(e->ports, e->nports, sizeof(*e->ports), &failed);
	made.own = NULL;
	made.nown = 0;
	if (failed)
	{
		tq_egress_free(&made);
		return false;
	}
	made.own = copy->own;
	made.nown = copy->nown;
	copy->own = NULL;
	tq_egress_free(copy);
	*copy = made;
	return true;
}

void
tq_egress_free(tq_egress *e)
{
	free(e->allow);
	free(e->deny);
	free(e->own);
	free(e->hosts);
	free(e->ports);
	memset(e, 0, sizeof(*e));
}
