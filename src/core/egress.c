/*
 * egress.c
 *		Which addresses may be reached: pure functions on binary addresses.
 *
 * The tables are IANA's special-purpose registries, without the exceptions
 * for single anycast services inside a special block: nobody's web hook lives
 * there.  For IPv6 only 2000::/3 is handed out at all, so the rest of the
 * space is refused by one rule and the names below are for people.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/egress.h"

#define MAX_ALLOW   1024
#define MAX_ELEMENT 64 /* longest spelling of a CIDR block, and some */

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
allowed(const tq_egress *e, int family, const uint8_t *addr)
{
	size_t i;

	for (i = 0; e != NULL && i < e->nallow; i++)
		if (e->allow[i].family == family &&
			prefix_matches(addr, e->allow[i].addr, e->allow[i].bits))
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

static const char *
denied4(const tq_egress *e, const uint8_t *addr)
{
	if (allowed(e, AF_INET, addr))
		return NULL;
	return find_rule(rules4, sizeof(rules4) / sizeof(rules4[0]), addr);
}

/* The IPv6 form alone. */
static const char *
denied6(const tq_egress *e, const uint8_t *addr)
{
	const char *name;

	if (allowed(e, AF_INET6, addr))
		return NULL;
	name = find_rule(rules6, sizeof(rules6) / sizeof(rules6[0]), addr);
	if (name == NULL && !prefix_matches(addr, global6.addr, global6.bits) &&
		!prefix_matches(addr, nat64.addr, nat64.bits))
		name = "reserved";
	return name;
}

/*
 * The IPv4 addresses that an IPv6 address carries, up to two of them; returns
 * their number.  ::1 and :: are not IPv4-compatible addresses.
 */
static int
embedded4(const uint8_t *a, uint8_t v4[2][4])
{
	static const uint8_t zeros[12];
	int i;

	if (prefix_matches(a, nat64.addr, nat64.bits) ||
		(memcmp(a, zeros, 12) == 0 && (a[12] | a[13] | a[14]) != 0))
	{
		memcpy(v4[0], a + 12, 4);
		return 1;
	}
	if (a[0] == 0x20 && a[1] == 0x02) /* 6to4 */
	{
		memcpy(v4[0], a + 2, 4);
		return 1;
	}
	if (a[0] == 0x20 && a[1] == 0x01 && a[2] == 0 && a[3] == 0) /* Teredo: server, client */
	{
		memcpy(v4[0], a + 4, 4);
		for (i = 0; i < 4; i++)
			v4[1][i] = a[12 + i] ^ 0xff;
		return 2;
	}
	return 0;
}

const char *
tq_egress_denied(const tq_egress *e, const struct sockaddr *addr)
{
	const uint8_t *a;
	const char *name;
	uint8_t v4[2][4];
	int n;

	if (addr->sa_family == AF_INET)
		return denied4(e, (const uint8_t *) &((const struct sockaddr_in *) addr)->sin_addr);
	if (addr->sa_family != AF_INET6)
		return "address family";

	a = (const uint8_t *) &((const struct sockaddr_in6 *) addr)->sin6_addr;

	/* The kernel connects a mapped address by IPv4: it is that address. */
	if (prefix_matches(a, v4mapped.addr, v4mapped.bits))
		return denied4(e, a + 12);

	name = denied6(e, a);
	n = embedded4(a, v4);
	while (name == NULL && n > 0)
		name = denied4(e, v4[--n]);
	return name;
}

/* Blocks of mapped addresses are kept as what they mean. */
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

/* NULL, or what is wrong with the element. */
static const char *
parse_element(const char *text, tq_cidr *c)
{
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

bool
tq_egress_parse(tq_egress *e, const char *list, char *err, size_t errlen)
{
	static const char separators[] = ", \t\r\n";
	tq_egress parsed = {NULL, 0};
	const char *p = list + strspn(list, separators);

	while (*p != '\0')
	{
		char text[MAX_ELEMENT];
		size_t len = strcspn(p, separators);
		const char *problem;
		tq_cidr *grown;

		snprintf(text, sizeof(text), "%.*s", (int) (len < MAX_ELEMENT ? len : MAX_ELEMENT), p);
		grown = realloc(parsed.allow, (parsed.nallow + 1) * sizeof(tq_cidr));
		if (grown != NULL)
			parsed.allow = grown;

		if (grown == NULL)
			problem = "does not fit into memory";
		else if (parsed.nallow >= MAX_ALLOW)
			problem = "is one element too many";
		else if (len >= MAX_ELEMENT)
			problem = "is too long";
		else
			problem = parse_element(text, &parsed.allow[parsed.nallow]);
		if (problem != NULL)
		{
			snprintf(err, errlen, "\"%s\" %s", text, problem);
			free(parsed.allow);
			return false;
		}
		parsed.nallow++;
		p += len;
		p += strspn(p, separators);
	}
	tq_egress_free(e);
	*e = parsed;
	return true;
}

void
tq_egress_free(tq_egress *e)
{
	free(e->allow);
	e->allow = NULL;
	e->nallow = 0;
}
