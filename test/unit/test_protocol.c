/*
 * test_protocol.c
 *		Statements and values between a store and the database.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/protocol.h"
#include "unit.h"

/* The number of columns that a statement selects: commas outside of parentheses, and one. */
static int
columns_of(const char *sql)
{
	const char *end = strstr(sql, " from ");
	int depth = 0;
	int n = 1;

	for (; sql < end; sql++)
	{
		depth += (*sql == '(') - (*sql == ')');
		n += *sql == ',' && depth == 0;
	}
	return n;
}

/* The number of the last argument of a statement. */
static int
arguments_of(const char *sql)
{
	const char *dollar = strrchr(sql, '$');

	return dollar != NULL ? atoi(dollar + 1) : 0;
}

static void
test_statements(void)
{
	is_int(columns_of(TQ_SQL_CLAIM), TQ_CLAIM_NCOLUMNS, "columns of a claim");
	is_int(arguments_of(TQ_SQL_CLAIM), 3, "its arguments");
	is_int(arguments_of(TQ_SQL_REPORT), TQ_REPORT_NARGUMENTS, "arguments of a report");
	is_int(columns_of(TQ_SQL_NEXT_DUE), TQ_NEXT_DUE_ARMED + 1, "columns of the next due task");
}

static void
test_verdicts(void)
{
	is_str(tq_verdict_name(TQ_SUCCESS), "success", "success");
	is_str(tq_verdict_name(TQ_RETRY), "retry", "retry");
	is_str(tq_verdict_name(TQ_PERMANENT), "permanent", "permanent");
	is_str(tq_verdict_name((tq_verdict) 17), "retry", "one that there is not is tried again");
}

static void
test_times(void)
{
	char json[TQ_TIMES_JSON_SIZE];

	tq_times_json(&(tq_times){-1, -1, -1, -1}, json);
	is_str(json, "{}", "no phase was reached");
	tq_times_json(&(tq_times){0, -1, -1, -1}, json);
	is_str(json, "{\"dns\": \"0 us\"}", "a phase that took no time is one");
	tq_times_json(&(tq_times){12, 345, -1, 6789}, json);
	is_str(json, "{\"dns\": \"12 us\", \"connect\": \"345 us\", \"first_byte\": \"6789 us\"}",
		   "without TLS");
	tq_times_json(&(tq_times){INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}, json);
	is_str(json,
		   "{\"dns\": \"9223372036854775807 us\", \"connect\": \"9223372036854775807 us\", "
		   "\"tls\": \"9223372036854775807 us\", \"first_byte\": \"9223372036854775807 us\"}",
		   "the longest times fit");
}

static void
test_times_read(void)
{
	static const char *const no_phases[] = {"", "dn", "dnss", "DNS", "proxy"};
	static const char *const no_times[] = {"", " us", "us", "1234", "1234us", "1234 us ",
										   " 1234 us", "-1 us", "1.5 us", "1234 ms",
										   "1000000000000000 us", "99999999999999999999 us",
										   "garbage"};
	tq_times times;
	size_t i;

	ok(tq_times_field(&times, "dns", 3) == &times.dns_us, "dns");
	ok(tq_times_field(&times, "connect", 7) == &times.connect_us, "connect");
	ok(tq_times_field(&times, "tlsx", 3) == &times.tls_us, "tls, without a NUL behind it");
	ok(tq_times_field(&times, "first_byte", 10) == &times.first_byte_us, "first_byte");
	for (i = 0; i < sizeof(no_phases) / sizeof(no_phases[0]); i++)
		ok(tq_times_field(&times, no_phases[i], strlen(no_phases[i])) == NULL, "\"%s\" is none",
		   no_phases[i]);
	is_int(tq_times_us("0 us", 4), 0, "no time");
	is_int(tq_times_us("1234 us", 7), 1234, "a time");
	is_int(tq_times_us("1 usec", 4), 1, "a time without a NUL behind it");
	is_int(tq_times_us("999999999999999 us", 18), INT64_C(999999999999999), "the longest one");
	for (i = 0; i < sizeof(no_times) / sizeof(no_times[0]); i++)
		is_int(tq_times_us(no_times[i], strlen(no_times[i])), -1, "\"%s\" is none", no_times[i]);
}

static void
test_sqlstates(void)
{
	static const char *const pass[] = {"08006", "25006", "40001", "40P01", "53100", "53200",
									   "55P03", "57014", "57P01", "58030"};
	static const char *const stay[] = {"00000", "22021", "22P05", "23505", "42501", "42883",
									   "54000", "XX000", "XX001", "P0001", "TQ001", "", "5"};
	size_t i;

	for (i = 0; i < sizeof(pass) / sizeof(pass[0]); i++)
		ok(tq_sqlstate_may_pass(pass[i]), "%s may pass", pass[i]);
	for (i = 0; i < sizeof(stay) / sizeof(stay[0]); i++)
		ok(!tq_sqlstate_may_pass(stay[i]), "\"%s\" does not", stay[i]);
}

int
main(void)
{
	test_statements();
	test_verdicts();
	test_times();
	test_times_read();
	test_sqlstates();
	return done();
}
