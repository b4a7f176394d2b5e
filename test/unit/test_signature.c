/*
 * test_signature.c
 *		Secrets and signatures of Standard Webhooks.
 */
#include <stdio.h>
#include <string.h>

#include "core/signature.h"
#include "unit.h"

#define BASE64_24 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"

static const char *
read_error(const char *text)
{
	unsigned char secret[TQ_SECRET_MAX];
	size_t len;

	return tq_secret_read(text, secret, &len);
}

static void
test_secrets_are_read(void)
{
	unsigned char secret[TQ_SECRET_MAX];
	size_t len;
	size_t i;

	ok(tq_secret_read("whsec_" BASE64_24, secret, &len) == NULL && len == 24, "with the prefix");
	for (i = 0; i < 24; i++)
		ok(secret[i] == i, "byte %zu", i);
	ok(tq_secret_read(BASE64_24, secret, &len) == NULL && len == 24, "without the prefix");
	ok(tq_secret_read(BASE64_24 "/w==", secret, &len) == NULL && len == 25 && secret[24] == 255,
	   "two characters of padding");
	ok(tq_secret_read(BASE64_24 "+/8=", secret, &len) == NULL && len == 26 && secret[24] == 251,
	   "one");
	ok(tq_secret_read(BASE64_24 BASE64_24 "AAAAAAAAAAAAAAAAAAAAAA==", secret, &len) == NULL &&
		   len == 64,
	   "the longest");
}

static void
test_bad_secrets_are_refused(void)
{
	static const char *const bad[] = {
		"",
		"whsec_",
		"=",
		"====",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRY=",             /* 23 bytes */
		BASE64_24 BASE64_24 "AAAAAAAAAAAAAAAAAAAAAAA=", /* 65 bytes */
		BASE64_24 "/w",                                 /* no padding */
		BASE64_24 "/w=",
		BASE64_24 "/x==", /* spare bits */
		BASE64_24 "+/9=",
		BASE64_24 "=w==",
		"=" BASE64_24 "AAA",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFR-_", /* base64url */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRY ",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRY\n",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFR\xc3\xa4",
		"whsec_whsec_" BASE64_24,
		"WHSEC_" BASE64_24,
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(read_error(bad[i]) != NULL, "bad secret %d", (int) i);
}

static void
test_signatures_are_compared(void)
{
	unsigned char mac[TQ_SIGNATURE_BYTES] = {0};
	char zero[TQ_SIGNATURE_LENGTH + 1];
	char other[TQ_SIGNATURE_LENGTH + 1];
	char value[400];
	size_t i;

	tq_signature_write(mac, zero);
	is_str(zero, "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "zeros");
	for (i = 0; i < sizeof(mac); i++)
		mac[i] = (unsigned char) (255 - i);
	tq_signature_write(mac, other);
	is_str(other, "v1,//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=", "another");
	ok(tq_signature_is_among(zero, zero), "alone");
	snprintf(value, sizeof(value), "%s %s", other, zero);
	ok(tq_signature_is_among(value, zero), "the second");
	ok(tq_signature_is_among(value, other), "the first");
	snprintf(value, sizeof(value), "v1a,x  %s v2,y", zero);
	ok(tq_signature_is_among(value, zero), "among other versions");
	ok(!tq_signature_is_among(other, zero), "not the other's");
	ok(!tq_signature_is_among("", zero), "of none");
	snprintf(value, sizeof(value), "%sA", zero);
	ok(!tq_signature_is_among(value, zero), "one that is longer");
	snprintf(value, sizeof(value), "%.*s", TQ_SIGNATURE_LENGTH - 1, zero);
	ok(!tq_signature_is_among(value, zero), "one that is shorter");
	snprintf(value, sizeof(value), "v2%s", zero + 2);
	ok(!tq_signature_is_among(value, zero), "another version's");
}

int
main(void)
{
	test_secrets_are_read();
	test_bad_secrets_are_refused();
	test_signatures_are_compared();
	return done();
}
