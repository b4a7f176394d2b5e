/*
 * egress.c
 *		Fuzz target: lists of addresses, and addresses judged by them.
 *
 * The input is 16 bytes of an address, then a list to allow and one to deny,
 * separated by a newline.
 */
#include <netinet/in.h>

#include "core/egress.h"
#include "fuzz.h"

static const char *
judge4(const tq_egress *e, const uint8_t *addr)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};

	memcpy(&v4.sin_addr, addr, 4);
	return tq_egress_denied(e, (const struct sockaddr *) &v4);
}

static const char *
judge6(const tq_egress *e, const uint8_t *addr)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	memcpy(&v6.sin6_addr, addr, 16);
	return tq_egress_denied(e, (const struct sockaddr *) &v6);
}

/* An IPv4 address that is denied stays so in every disguise. */
static void
check_disguises(const tq_egress *e, const uint8_t *v4)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
	static const uint8_t isatap[12] = {0x2a, 0x00, [8] = 0x02, [10] = 0x5e, [11] = 0xfe};
	static const uint8_t *const prefixes[] = {mapped, nat64, isatap};
	bool denied = judge4(e, v4) != NULL;
	uint8_t v6[16] = {0x20, 0x02};
	size_t i;

	for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
	{
		uint8_t a[16];

		memcpy(a, prefixes[i], 12);
		memcpy(a + 12, v4, 4);
		MUST(!denied || judge6(e, a) != NULL);
		MUST(i > 0 || denied == (judge6(e, a) != NULL));
	}
	memcpy(v6 + 2, v4, 4);
	MUST(!denied || judge6(e, v6) != NULL);
}

/* Without lists nothing but 2000::/3 and NAT64 is reached by IPv6. */
static void
check_default(const uint8_t *addr)
{
	static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	tq_egress none = {0};

	if (judge6(&none, addr) == NULL)
		MUST((addr[0] & 0xe0) == 0x20 || memcmp(addr, nat64, 12) == 0 ||
			 memcmp(addr, mapped, 12) == 0);
	if (judge4(&none, addr) == NULL)
		MUST(addr[0] != 0 && addr[0] != 10 && addr[0] != 127 && addr[0] < 224);
	check_disguises(&none, addr);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	tq_egress e = {0};
	char err[512];
	char *allow;
	char *deny;

	if (size < 16)
		return 0;
	check_default(data);
	allow = text_of(data + 16, size - 16);
	deny = strchr(allow, '\n');
	if (deny != NULL)
		*deny++ = '\0';
	(void) tq_egress_hosts(&e, allow, err, sizeof(err));
	(void) tq_egress_ports(&e, allow, err, sizeof(err));
	if (tq_egress_allow(&e, allow, err, sizeof(err)) &&
		tq_egress_deny(&e, deny != NULL ? deny : "", err, sizeof(err)))
	{
		tq_egress copy = {0};

		check_disguises(&e, data);
		MUST(tq_egress_copy(&copy, &e));
		MUST((judge6(&copy, data) == NULL) == (judge6(&e, data) == NULL));
		tq_egress_free(&copy);
	}
	tq_egress_free(&e);
	free(allow);
	return 0;
}
