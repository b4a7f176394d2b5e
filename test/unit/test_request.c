/*
 * test_request.c
 *		Which methods and headers a request may have.
 */
#include "core/request.h"
#include "unit.h"

static void
test_methods(void)
{
	static const char *const bad[] = {
		"", "GE T", "GET ", " GET", "GET\r\n", "GET / HTTP/1.1\r\nX: y", "G\x80T", "(GET)",
		"GET,POST", "TRACE", "connect",
		"A23456789012345678901234567890123"};
	size_t i;

	is_str(tq_method_invalid("GET"), NULL, "GET");
	is_str(tq_method_invalid("post"), NULL, "lower case");
	is_str(tq_method_invalid("M-SEARCH"), NULL, "M-SEARCH");
	is_str(tq_method_invalid("!#$%&'*+-.^_`|~09azAZ"), NULL, "every kind of token character");
	is_str(tq_method_invalid("A2345678901234567890123456789012"), NULL, "32 bytes");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(tq_method_invalid(bad[i]) != NULL, "bad method %d", (int) i);
}

static void
test_headers(void)
{
	static const char *const names[] = {
		"", "X A", "X:", ":", "X\r", "X\n", " X", "X ", "X\tA", "X\x80", "X(", "\x7f"};
	static const char *const values[] = {
		"\r", "\n", "a\r\nAuthorization: injected", "a\nb", "\x01", "\x7f", "a\r\n b", "\x1b[31m"};
	static const char *const reserved[] = {
		"Host", "host", "Content-Length", "CONTENT-LENGTH", "Transfer-Encoding", "connection"};
	size_t i;

	is_str(tq_header_invalid("X-A", "b"), NULL, "a header");
	is_str(tq_header_invalid("X-A", ""), NULL, "an empty value");
	is_str(tq_header_invalid("X-A", "a\tb: c;\"\\"), NULL, "a tab and marks");
	is_str(tq_header_invalid("X-A", "\xc3\xbc\xff"), NULL, "bytes above ASCII");
	is_str(tq_header_invalid("Hosts", "b"), NULL, "Hosts is not Host");
	is_str(tq_header_invalid("Hos", "b"), NULL, "nor is Hos");
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		is_str(tq_header_invalid(names[i], "v"), "header name is not a token", "name %d", (int) i);
	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		is_str(tq_header_invalid("X", values[i]), "header value has a control character",
			   "value %d", (int) i);
	for (i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		is_str(tq_header_invalid(reserved[i], "v"), "header may not be set", "%s", reserved[i]);
}

static void
test_owners(void)
{
	static const char *const ours[] = {
		"User-Agent", "X-Task-Id", "x-task-queue", "X-TASK-ATTEMPT", "X-Task-Key",
		"Idempotency-Key",
		"Webhook-Id", "webhook-timestamp", "webhook-signature"};
	static const char *const theirs[] = {"Accept", "X-Task", "X-Task-Ids", "Hos", "Hosts", ""};
	size_t i;

	is_int(tq_header_owner_of("transfer-encoding"), TQ_HEADER_ENGINE, "the engine's");
	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
	{
		is_int(tq_header_owner_of(ours[i]), TQ_HEADER_TASKQ, "%s is taskq's", ours[i]);
		is_str(tq_header_invalid(ours[i], "v"), NULL, "which is sent");
	}
	for (i = 0; i < sizeof(theirs) / sizeof(theirs[0]); i++)
		is_int(tq_header_owner_of(theirs[i]), TQ_HEADER_SUBMITTER, "\"%s\" is the submitter's",
			   theirs[i]);
}

static void
test_secrets(void)
{
	static const char *const secret[] = {
		"Authorization", "PROXY-AUTHORIZATION", "Cookie", "X-Api-Key", "apikey", "X-Auth",
		"X-Csrf-Token", "X-Client-Secret", "X-Password", "X-Hub-Signature-256", "X-Amz-Credential",
		"X-Session-Id"};
	static const char *const open[] = {
		"Content-Type", "Accept", "X-Event", "traceparent", "If-Match", ""};
	size_t i;

	for (i = 0; i < sizeof(secret) / sizeof(secret[0]); i++)
		ok(tq_header_may_be_secret(secret[i]), "%s may be a secret", secret[i]);
	for (i = 0; i < sizeof(open) / sizeof(open[0]); i++)
		ok(!tq_header_may_be_secret(open[i]), "\"%s\" is shown", open[i]);
}

int
main(void)
{
	test_methods();
	test_headers();
	test_owners();
	test_secrets();
	return done();
}
