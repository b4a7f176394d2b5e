/*
 * test_outcome.c
 *		What an exchange means for its task, and how Retry-After is read.
 */
#include <curl/curl.h>

#include "core/outcome.h"
#include "unit.h"

#define NOW INT64_C(784111777) /* Sun, 06 Nov 1994 08:49:37 GMT */

static void
test_verdicts(void)
{
	int status;
	bool right = true;

	for (status = 0; status < 1000; status++)
	{
		tq_verdict want = status / 100 == 2 ? TQ_SUCCESS : status == 410 ? TQ_PERMANENT
																		 : TQ_RETRY;

		right = right && tq_outcome_of(TQ_CLASS_HTTP, status, NULL, NOW).verdict == want;
	}
	ok(right, "2xx succeeds, 410 is permanent, all else is retried");
	is_int(tq_outcome_of(TQ_CLASS_EGRESS_DENIED, 0, NULL, NOW).verdict, TQ_PERMANENT,
		   "egress denied");
	is_int(tq_outcome_of(TQ_CLASS_INVALID, 0, NULL, NOW).verdict, TQ_PERMANENT, "invalid");
	is_int(tq_outcome_of(TQ_CLASS_DNS, 0, NULL, NOW).verdict, TQ_RETRY, "dns");
	is_int(tq_outcome_of(TQ_CLASS_CANCELLED, 0, NULL, NOW).verdict, TQ_RETRY, "cancelled");
	is_int(tq_outcome_of(TQ_CLASS_TIMEOUT, 200, NULL, NOW).verdict, TQ_RETRY,
		   "a status without the whole answer is no success");
	is_int(tq_outcome_of(TQ_CLASS_HTTP, 200, "5", NOW).retry_after_ms, -1, "200 asks for nothing");
	is_int(tq_outcome_of(TQ_CLASS_HTTP, 500, "5", NOW).retry_after_ms, -1, "500 neither");
	is_int(tq_outcome_of(TQ_CLASS_HTTP, 503, "5", NOW).retry_after_ms, 5000, "503 does");
	is_int(tq_outcome_of(TQ_CLASS_HTTP, 429, "5", NOW).retry_after_ms, 5000, "429 does");
	is_int(tq_outcome_of(TQ_CLASS_HTTP, 429, NULL, NOW).retry_after_ms, -1, "429 need not");
	is_int(tq_outcome_of(TQ_CLASS_TIMEOUT, 503, "5", NOW).retry_after_ms, -1, "a timeout does not");
}

static void
test_retry_after(void)
{
	static const struct
	{
		const char *value;
		int64_t want;
	} cases[] = {
		{"0", 0},
		{"5", 5000},
		{" 7\t", 7000},
		{"007", 7000},
		{"86400", TQ_RETRY_AFTER_MAX_MS},
		{"86399", 86399000},
		{"86401", TQ_RETRY_AFTER_MAX_MS},
		{"1000000000000000000", TQ_RETRY_AFTER_MAX_MS},
		{"99999999999999999999999999999999999999999999999999999999999999999999999999999999",
		 TQ_RETRY_AFTER_MAX_MS},
		{"", -1},
		{"  ", -1},
		{"-1", -1},
		{"+5", -1},
		{"5.5", -1},
		{"5 seconds", -1},
		{"soon", -1},
		{"0x10", -1},
		{"1e3", -1},

		{"Sun, 06 Nov 1994 08:49:37 GMT", 0},
		{"Sun, 06 Nov 1994 08:49:47 GMT", 10000},
		{"Sun, 06 Nov 1994 08:49:36 GMT", 0},
		{"Mon, 07 Nov 1994 09:00:00 GMT", TQ_RETRY_AFTER_MAX_MS},
		{"Sun, 06 Nov 1994 09:49:37 GMT", 3600000},
		{"Thu, 01 Jan 2099 00:00:00 GMT", TQ_RETRY_AFTER_MAX_MS},
		{"Fri, 31 Dec 9999 23:59:59 GMT", TQ_RETRY_AFTER_MAX_MS},
		{"Thu, 01 Jan 1970 00:00:00 GMT", 0},
		{"Sunday, 06-Nov-94 08:49:40 GMT", 3000},
		{"Sunday, 06-Nov-93 08:49:40 GMT", 0},
		{"Sunday, 06-Nov-44 08:49:40 GMT", 0},
		{"Sun Nov  6 08:49:41 1994", 4000},
		{"Sun Nov 06 08:49:41 1994", 4000},
		{"Sun, 06 Foo 1994 08:49:47 GMT", -1},
		{"Sun, 32 Nov 1994 08:49:47 GMT", -1},
		{"Sun, 06 Nov 1994 24:49:47 GMT", -1},
		{"Sun, 06 Nov 1994 08:60:47 GMT", -1},
		{"Sun, 06 Nov 1994 08:49:61 GMT", -1},
		{"Sun, 06 Nov 1994 08:49:47", -1},
		{"Sun, 06 Nov 1994 08:49:47 GMT now", -1},
		{"Sun, 06 Nov 1994 08:49:47 CET", -1},
		{"Sun, -6 Nov 1994 08:49:47 GMT", -1},
		{",", -1},
		{"Sun Nov", -1},
		{"Sun, 06 Nov 1994 08:49:47 GMT                                              x", -1},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(tq_retry_after_parse(cases[i].value, NOW), cases[i].want, "\"%s\"", cases[i].value);
	is_int(tq_retry_after_parse("Thu, 01 Jan 2099 00:00:00 GMT", INT64_MIN), TQ_RETRY_AFTER_MAX_MS,
		   "a clock far in the past");
	is_int(tq_retry_after_parse("Thu, 01 Jan 2099 00:00:00 GMT", INT64_MAX), 0,
		   "a clock far in the future");
	is_int(tq_retry_after_parse("Wed, 01 Jan 1000 00:00:00 GMT", INT64_MAX), 0,
		   "as far apart as can be");
	is_int(tq_retry_after_parse("Sunday, 06-Nov-94 08:49:40 GMT", INT64_MAX), 0,
		   "a clock without a calendar");
}

static void
test_classes(void)
{
	static const struct
	{
		int code;
		const char *name;
	} cases[] = {
		{CURLE_COULDNT_RESOLVE_HOST, "dns"},
		{CURLE_COULDNT_CONNECT, "connect"},
		{CURLE_SSL_CONNECT_ERROR, "tls"},
		{CURLE_PEER_FAILED_VERIFICATION, "tls"},
		{CURLE_OPERATION_TIMEDOUT, "timeout"},
		{CURLE_RECV_ERROR, "reset"},
		{CURLE_SEND_ERROR, "reset"},
		{CURLE_GOT_NOTHING, "reset"},
		{CURLE_PARTIAL_FILE, "reset"},
		{CURLE_WEIRD_SERVER_REPLY, "protocol"},
		{CURLE_UNSUPPORTED_PROTOCOL, "protocol"},
		{CURLE_URL_MALFORMAT, "invalid"},
		{CURLE_ABORTED_BY_CALLBACK, "cancelled"},
		{CURLE_FILESIZE_EXCEEDED, "too_large"},
		{CURLE_OUT_OF_MEMORY, "internal"},
		{9999, "internal"},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_str(tq_class_name(tq_class_of_curl(cases[i].code)), cases[i].name, "curl's %d",
			   cases[i].code);
	is_str(tq_class_name(TQ_CLASS_HTTP), "http", "http");
	is_str(tq_class_name(TQ_CLASS_EGRESS_DENIED), "egress_denied", "egress_denied");
	is_str(tq_class_name((tq_class) 99), "internal", "no such class");
}

static void
test_class_names(void)
{
	int cls;

	for (cls = TQ_CLASS_HTTP; cls <= TQ_CLASS_INTERNAL; cls++)
		is_int(tq_class_of_name(tq_class_name(cls)), cls, "%s there and back", tq_class_name(cls));
	is_int(tq_class_of_name("lease_lost"), TQ_CLASS_INTERNAL, "a name that is none of a class");
	is_int(tq_class_of_name(""), TQ_CLASS_INTERNAL, "nor is none");
}

static void
test_health(void)
{
	static const int good[] = {100, 200, 204, 301, 400, 401, 404, 408, 410, 428, 430, 499};
	static const int bad[] = {429, 500, 502, 503, 504, 599, 600, 999};
	static const tq_class unknown[] = {TQ_CLASS_HTTP, TQ_CLASS_TOO_LARGE, TQ_CLASS_EGRESS_DENIED,
									   TQ_CLASS_INVALID, TQ_CLASS_CANCELLED, TQ_CLASS_INTERNAL};
	static const tq_class failed[] = {TQ_CLASS_DNS, TQ_CLASS_CONNECT, TQ_CLASS_TLS,
									  TQ_CLASS_TIMEOUT, TQ_CLASS_RESET, TQ_CLASS_PROTOCOL};
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		is_int(tq_health_of(TQ_CLASS_HTTP, good[i]), TQ_HEALTH_GOOD, "status %d", good[i]);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_int(tq_health_of(TQ_CLASS_HTTP, bad[i]), TQ_HEALTH_BAD, "status %d", bad[i]);
	for (i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		is_int(tq_health_of(unknown[i], 0), TQ_HEALTH_UNKNOWN, "%s without a status",
			   tq_class_name(unknown[i]));
	for (i = 0; i < sizeof(failed) / sizeof(failed[0]); i++)
		is_int(tq_health_of(failed[i], 0), TQ_HEALTH_BAD, "%s", tq_class_name(failed[i]));
	is_int(tq_health_of(TQ_CLASS_RESET, 200), TQ_HEALTH_GOOD, "a status counts more than the end");
	is_int(tq_health_of(TQ_CLASS_RESET, 503), TQ_HEALTH_BAD, "either way");
}

int
main(void)
{
	test_verdicts();
	test_retry_after();
	test_classes();
	test_class_names();
	test_health();
	return done();
}
