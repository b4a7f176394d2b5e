/*
 * test_exposition.c
 *		Metrics as Prometheus reads them: families, labels, escapes, and the two formats.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/exposition.h"
#include "unit.h"

#define COUNT(array) ((int) (sizeof(array) / sizeof((array)[0])))

static const cli_sample samples[] = {
	{"a_info", "gauge", "What \"a\" is, in C:\\\nand more.", "{\"version\": \"1\"}", "1"},
	{"a_total", "counter", "All.", "{\"queue\": \"x\", \"state\": \"dead\"}", "3"},
	{"a_total", "counter", "All.", "{\"queue\": \"y\\\"\\\\\\u000a\\u00e4{}\"}", "1e+20"},
	{"wait_seconds_bucket", "histogram", "Time.", "{\"le\": \"0.005\", \"queue\": \"x\"}", "1"},
	{"wait_seconds_bucket", "histogram", "Time.", "{\"le\": \"+Inf\", \"queue\": \"x\"}", "2"},
	{"wait_seconds_sum", "histogram", "Time.", "{\"queue\": \"x\"}", "0.25"},
	{"wait_seconds_count", "histogram", "Time.", "{\"queue\": \"x\"}", "2"},
	{"wait_seconds_counted", "gauge", "Another.", "{}", "-Infinity"},
	{"wait", "gauge", "A beginning of a name.", "{}", "Infinity"},
	{"wait", "gauge", "A beginning of a name.", "{}", "NaN"},
};

static const char text_format[] =
	"# HELP a_info What \"a\" is, in C:\\\\\\nand more.\n"
	"# TYPE a_info gauge\n"
	"a_info{version=\"1\"} 1\n"
	"# HELP a_total All.\n"
	"# TYPE a_total counter\n"
	"a_total{queue=\"x\",state=\"dead\"} 3\n"
	"a_total{queue=\"y\\\"\\\\\\n\xc3\xa4{}\"} 1e+20\n"
	"# HELP wait_seconds Time.\n"
	"# TYPE wait_seconds histogram\n"
	"wait_seconds_bucket{le=\"0.005\",queue=\"x\"} 1\n"
	"wait_seconds_bucket{le=\"+Inf\",queue=\"x\"} 2\n"
	"wait_seconds_sum{queue=\"x\"} 0.25\n"
	"wait_seconds_count{queue=\"x\"} 2\n"
	"# HELP wait_seconds_counted Another.\n"
	"# TYPE wait_seconds_counted gauge\n"
	"wait_seconds_counted -Inf\n"
	"# HELP wait A beginning of a name.\n"
	"# TYPE wait gauge\n"
	"wait +Inf\n"
	"wait NaN\n";

static const char openmetrics_begin[] =
	"# HELP a_info What \\\"a\\\" is, in C:\\\\\\nand more.\n"
	"# TYPE a_info gauge\n"
	"a_info{version=\"1\"} 1\n"
	"# HELP a All.\n"
	"# TYPE a counter\n"
	"a_total{queue=\"x\",state=\"dead\"} 3\n";

/* The caller's to free. */
static char *
write_all(bool openmetrics)
{
	cli_exposition e;
	tq_buffer out;
	size_t len;
	int i;

	tq_buffer_init(&out, INT_MAX);
	cli_exposition_begin(&e, &out, openmetrics);
	for (i = 0; i < COUNT(samples); i++)
		ok(cli_exposition_add(&e, &samples[i]), "sample %d, %s", i, samples[i].name);
	cli_exposition_end(&e);
	return tq_buffer_steal(&out, &len);
}

static void
test_formats(void)
{
	char *text = write_all(false);
	char *openmetrics = write_all(true);

	is_str(text, text_format, "the text format");
	ok(strncmp(openmetrics, openmetrics_begin, strlen(openmetrics_begin)) == 0,
	   "OpenMetrics: quotes in a help text, and the name of a counter");
	is_str(openmetrics + strlen(openmetrics) - strlen("wait NaN\n# EOF\n"), "wait NaN\n# EOF\n",
		   "OpenMetrics: the end");
	free(text);
	free(openmetrics);
	ok(strstr(cli_exposition_type(false), "version=0.0.4") != NULL, "its type");
	ok(strstr(cli_exposition_type(true), "openmetrics-text; version=1.0.0") != NULL, "its type");
}

static void
test_refused(void)
{
	static const char *const wrong[] = {"", "[]", "null", "{", "{\"a\": 1}", "{\"a\": \"\\x\"}",
										"{\"a\": \"b\"} {}"};
	char name[EXPOSITION_NAME_MAX + 1];
	cli_sample sample = {"a", "gauge", "A.", "{}", "1"};
	cli_exposition e;
	tq_buffer out;
	int i;

	tq_buffer_init(&out, 1000);
	cli_exposition_begin(&e, &out, false);
	for (i = 0; i < COUNT(wrong); i++)
	{
		sample.labels = wrong[i];
		ok(!cli_exposition_add(&e, &sample), "no labels: %s", wrong[i]);
	}
	memset(name, 'a', sizeof(name));
	name[EXPOSITION_NAME_MAX] = '\0';
	sample.labels = "{}";
	sample.name = name;
	ok(!cli_exposition_add(&e, &sample), "a name that is too long");
	is_int(out.len, 0, "nothing was written");
	sample.name = name + 1;
	ok(cli_exposition_add(&e, &sample), "the longest name");
	tq_buffer_free(&out);
}

static void
test_room(void)
{
	cli_sample sample = {"a", "gauge", "A.", "{\"queue\": \"x\"}", "1"};
	cli_exposition e;
	tq_buffer out;

	tq_buffer_init(&out, 30);
	cli_exposition_begin(&e, &out, true);
	cli_exposition_add(&e, &sample);
	cli_exposition_end(&e);
	ok(out.overflowed, "the buffer tells that its limit was reached");
	tq_buffer_free(&out);
}

int
main(void)
{
	test_formats();
	test_refused();
	test_room();
	return done();
}
