/*
 * test_work.c
 *		The pure parts of taskq work: words, results, ends of commands, the breaker; SQL of hooks.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/breaker.h"
#include "cli/outcome.h"
#include "cli/pattern.h"
#include "cli/words.h"
#include "client/array.h"
#include "client/hooks.h"
#include "unit.h"

/* ---- words ------------------------------------------------------------------------- */

static void
words_are(const char *line, int n, const char *want)
{
	char got[128] = "";
	int count;
	char **words = cli_words(line, &count);
	int i;

	if (n < 0)
	{
		ok(words == NULL, "no words: %s", line);
		return;
	}
	for (i = 0; words != NULL && words[i] != NULL; i++)
	{
		strcat(got, "[");
		strcat(got, words[i]);
		strcat(got, "]");
	}
	is_int(count, n, "number of words: %s", line);
	is_str(got, want, "the words");
	free(words);
}

static void
test_words(void)
{
	words_are("", 0, "");
	words_are(" a  b\tc ", 3, "[a][b][c]");
	words_are("sh -c 'echo \"$1\" \\n'", 3, "[sh][-c][echo \"$1\" \\n]");
	words_are("\"a \\\" b\"c 'd'e", 2, "[a \" bc][de]");
	words_are("a\\ b '' \"\"", 3, "[a b][][]");
	words_are("a\\", 1, "[a\\]");
	words_are("'a", -1, NULL);
	words_are("a \"b", -1, NULL);
}

/* ---- patterns ----------------------------------------------------------------------- */

static void
matches(const char *pattern, const char *kind, bool want)
{
	ok(cli_pattern_matches(pattern, kind) == want, "%s, %s", pattern, kind != NULL ? kind : "none");
}

static void
test_patterns(void)
{
	matches("billing@2", "billing@2", true);
	matches("billing@2", "billing@21", false);
	matches("billing@2", "billing@", false);
	matches("billing@*", "billing@2", true);
	matches("billing@*", "billing@", true);
	matches("billing@*", "billing", false);
	matches("*@2", "a@1@2", true);
	matches("*@2", "a@2@1", false);
	matches("a*b*c", "axbxbxc", true);
	matches("a*b*c", "axbxbx", false);
	matches("**", "x", true);
	matches("*", NULL, true);
	matches("a", NULL, false);
	matches("a_%", "abc", false);
}

/* ---- results ------------------------------------------------------------------------ */

static void
result_is(cli_result_mode mode, const char *output, bool cut, const char *want, const char *mistake)
{
	char *result;
	const char *why;
	bool worked =
		cli_outcome_result(mode, (cli_output){output, strlen(output), cut}, &result, &why);

	ok(worked == (mistake == NULL), "output in mode %d", mode);
	is_str(result, want, "its result");
	is_str(why, mistake, "what is wrong");
	free(result);
}

static void
test_results(void)
{
	result_is(RESULT_AUTO, "", false, NULL, NULL);
	result_is(RESULT_AUTO, "{\"a\": 1.0}\n", false, "{\"a\": 1.0}\n", NULL);
	result_is(RESULT_AUTO, "hello\n", false, "\"hello\\u000a\"", NULL);
	result_is(RESULT_AUTO, "[1]", true, "\"[1]\"", NULL);
	result_is(RESULT_AUTO, "a\xe2\x82", true, "\"a\"", NULL);
	result_is(RESULT_AUTO, "a\xe2\x82\xac", true, "\"a\xe2\x82\xac\"", NULL);
	result_is(RESULT_JSON, "1", false, "1", NULL);
	result_is(RESULT_JSON, "", false, NULL, "result is not JSON");
	result_is(RESULT_JSON, "x", false, NULL, "result is not JSON");
	result_is(RESULT_JSON, "1", true, NULL, "result is too long");
	result_is(RESULT_TEXT, "1", false, "\"1\"", NULL);
	result_is(RESULT_TEXT, "", false, "\"\"", NULL);
	result_is(RESULT_NONE, "1", false, NULL, NULL);
}

static void
error_is(int status, const char *line, const char *want)
{
	char *error = cli_outcome_error(status, line);

	is_str(error, want, "error of status %d", status);
	free(error);
}

static void
test_ends(void)
{
	cli_exit end = {.status = 3 << 8, .ms = 1240};
	cli_output tail = {"a\n\xff", 3, false};
	char *detail;

	error_is(3 << 8, "", "exit status 3");
	error_is(3 << 8, "no disk", "exit status 3: no disk");
	error_is(11, "x", "ended by signal 11 (SEGV)");
	end.usage.ru_utime.tv_usec = 310999;
	end.usage.ru_stime.tv_sec = 2;
	end.usage.ru_maxrss = 51200;
	detail = cli_outcome_detail(&end, &tail);
	is_str(detail,
		   "{\"exit\": 3, \"signal\": null, \"ms\": 1240, \"user_ms\": 310, \"system_ms\": 2000, "
		   "\"max_rss_kb\": 51200, \"stderr\": \"a\\u000a\xef\xbf\xbd\"}",
		   "detail of an exit");
	free(detail);
	end.status = 9;
	detail = cli_outcome_detail(&end, NULL);
	is_str(detail,
		   "{\"exit\": null, \"signal\": 9, \"ms\": 1240, \"user_ms\": 310, \"system_ms\": 2000, "
		   "\"max_rss_kb\": 51200}",
		   "detail of a signal, without standard error");
	free(detail);
}

/* ---- the breaker ---------------------------------------------------------------------- */

static void
test_breaker(void)
{
	cli_breaker b;

	cli_breaker_init(&b, 2);
	is_int(cli_breaker_allows(&b, 0, 7, 3), 7, "closed: as many as are wanted");
	ok(!cli_breaker_failure(&b, 0, false), "one failure is too few");
	ok(!cli_breaker_success(&b), "a success begins anew");
	ok(!cli_breaker_failure(&b, 0, false), "one failure");
	ok(cli_breaker_failure(&b, 1000, false), "the second one in a row opens it");
	is_int(cli_breaker_allows(&b, 1000, 7, 0), 0, "nothing is claimed");
	is_int(cli_breaker_left(&b, 1000), 5000, "for 5 s");
	ok(!cli_breaker_failure(&b, 2000, false), "failures during the pause say nothing new");
	is_int(cli_breaker_allows(&b, 6000, 7, 1), 0, "what runs still is waited for");
	is_int(cli_breaker_allows(&b, 6000, 7, 0), 1, "then one task is tried");
	is_int(cli_breaker_allows(&b, 6000, 0, 0), 0, "if one is wanted");
	ok(cli_breaker_failure(&b, 6000, false), "it fails");
	is_int(cli_breaker_left(&b, 6000), 10000, "the pause doubles");
	ok(cli_breaker_success(&b), "a success closes it");
	is_int(cli_breaker_left(&b, 6000), -1, "there is no pause");
	is_int(cli_breaker_allows(&b, 6000, 7, 3), 7, "all are claimed");
	ok(cli_breaker_failure(&b, 6000, true), "a hard failure opens it at once");
	is_int(cli_breaker_left(&b, 6000), 5000, "for 5 s");
}

static void
test_breaker_limits(void)
{
	cli_breaker b;
	int64_t now = 0;
	int i;

	cli_breaker_init(&b, 0);
	for (i = 0; i < 100; i++)
		ok(!cli_breaker_failure(&b, 0, false), "without a limit it never opens");
	ok(cli_breaker_failure(&b, 0, true), "but for a hard failure");
	for (i = 0; i < 20; i++)
	{
		now += cli_breaker_left(&b, now);
		(void) cli_breaker_failure(&b, now, true);
	}
	is_int(cli_breaker_left(&b, now), 300000, "no pause is longer than 5 min");
}

/* ---- for the database ------------------------------------------------------------------- */

static void
test_hooks(void)
{
	tq_hooks hooks = {
		.before = {"app.a", "App.\"b"}, .nbefore = 2, .after = {"app.c", "app.d"}, .nafter = 2};
	static const char *const wrong[] = {"f", ".f", "a.", "a.b.c"};
	tq_hooks none = {.nbefore = 0, .nafter = 0};
	char *sql;
	int i;

	is_str(tq_hooks_add(&none, true, "app.f"), NULL, "a name with its schema");
	is_int(none.nbefore, 1, "it is added");
	for (i = 0; i < 4; i++)
		is_str(tq_hooks_add(&none, false, wrong[i]), "name the function as SCHEMA.FUNCTION",
			   "no name: %s", wrong[i]);
	for (i = 0; i < TQ_HOOKS_MAX; i++)
		(void) tq_hooks_add(&none, false, "app.f");
	is_str(tq_hooks_add(&none, false, "app.f"), "there are too many functions", "too many");
	sql = tq_hooks_before_sql(&hooks);
	is_str(sql,
		   "select case \"app\".\"a\"($1::pg_catalog.jsonb) when false then false when true then "
		   "case \"App\".\"\"\"b\"($1::pg_catalog.jsonb) when false then false when true then "
		   "true end end",
		   "before, in their order");
	free(sql);
	sql = tq_hooks_after_sql(&hooks, "$1", "$2");
	is_str(sql, "array[\"app\".\"d\"($1, $2) is null, \"app\".\"c\"($1, $2) is null]",
		   "after, in reverse order");
	free(sql);
}

static void
test_array(void)
{
	tq_buffer array;

	tq_buffer_init(&array, 100);
	is_str(tq_array_end(&array), "{}", "an empty array");
	tq_buffer_reset(&array);
	tq_array_add(&array, "a\"b\\c\"");
	tq_array_add(&array, NULL);
	tq_array_add(&array, "");
	is_str(tq_array_end(&array), "{\"a\\\"b\\\\c\\\"\",NULL,\"\"}", "an array");
	tq_buffer_free(&array);
}

int
main(void)
{
	test_words();
	test_patterns();
	test_results();
	test_ends();
	test_breaker();
	test_breaker_limits();
	test_hooks();
	test_array();
	return done();
}
