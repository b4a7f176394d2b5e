/*
 * test_reply.c
 *		What commands say: lines out of pieces, and replies out of lines.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/lines.h"
#include "cli/reply.h"
#include "unit.h"

static void
test_lines(void)
{
	cli_lines lines;
	size_t len;
	const char *line;

	cli_lines_init(&lines, 10);
	ok(cli_lines_next(&lines, &len) == NULL, "there is no line at first");
	ok(cli_lines_add(&lines, "ab", 2), "a piece");
	ok(cli_lines_next(&lines, &len) == NULL, "is not yet a line");
	ok(cli_lines_add(&lines, "c\n\nd", 4), "the rest of it, and more");
	line = cli_lines_next(&lines, &len);
	ok(line != NULL && len == 3 && memcmp(line, "abc", 3) == 0, "the first line");
	ok(cli_lines_next(&lines, &len) != NULL && len == 0, "an empty line");
	ok(cli_lines_next(&lines, &len) == NULL, "what has no line feed waits");
	ok(cli_lines_add(&lines, "123456789", 9), "what was taken makes room");
	ok(!cli_lines_add(&lines, "x", 1), "up to the limit");
	line = cli_lines_rest(&lines, &len);
	ok(line != NULL && len == 10 && memcmp(line, "d123456789", 10) == 0, "the rest");
	ok(cli_lines_rest(&lines, &len) == NULL, "which is taken");
	cli_lines_free(&lines);
}

static bool
read_reply(const char *line, cli_reply *r)
{
	return cli_reply_read(line, strlen(line), r);
}

static void
test_finish(void)
{
	cli_reply r;

	ok(read_reply("{\"id\":\"42\",\"finish\":{\"sent\": 1.50}}", &r), "finish");
	is_int(r.verb, VERB_FINISH, "its verb");
	is_str(r.id, "42", "its id");
	is_str(r.result, "{\"sent\": 1.50}", "its result, as it was written");
	cli_reply_free(&r);
	ok(read_reply("{\"finish\":null,\"id\":42}", &r), "null, and a number as the id");
	is_str(r.id, "42", "the id");
	is_str(r.result, "null", "the result");
	cli_reply_free(&r);
}

static void
test_fail(void)
{
	cli_reply r;

	ok(read_reply(
		   "{\"fail\":\"full\\n\",\"detail\":{\"code\":452},\"retry_in\":1.5,\"permanent\":true}",
		   &r),
	   "fail");
	is_int(r.verb, VERB_FAIL, "its verb");
	is_str(r.id, NULL, "no id");
	is_str(r.error, "full\n", "its error");
	is_str(r.detail, "{\"code\":452}", "its detail");
	is_str(r.delay, "1.500000 s", "its delay");
	ok(r.permanent, "it is permanent");
	cli_reply_free(&r);
	ok(read_reply("{\"fail\":\"\",\"permanent\":false}", &r) && !r.permanent, "it is not");
	cli_reply_free(&r);
}

static void
test_others(void)
{
	cli_reply r;

	ok(read_reply("{\"release\":5}", &r) && r.verb == VERB_RELEASE, "release");
	is_str(r.delay, "5.000000 s", "its delay");
	cli_reply_free(&r);
	ok(read_reply("{\"progress\":0.4,\"message\":\"resizing\"}", &r) && r.verb == VERB_PROGRESS,
	   "progress");
	is_str(r.fraction, "0.4", "its fraction");
	is_str(r.message, "resizing", "its message");
	cli_reply_free(&r);
	ok(read_reply("{\"progress\":null,\"message\":\"x\"}", &r) && r.fraction == NULL,
	   "progress without a fraction");
	cli_reply_free(&r);
}

static void
test_nonsense(void)
{
	static const char *const lines[] = {"",
										"hello",
										"1",
										"[]",
										"{}",
										"{\"id\":\"1\"}",
										"{\"finish\":1,\"fail\":\"x\"}",
										"{\"finish\":1,\"finish\":2}",
										"{\"finish\":1,\"retry_in\":5}",
										"{\"finish\":1,\"other\":2}",
										"{\"fail\":1}",
										"{\"fail\":\"x\",\"permanent\":1}",
										"{\"fail\":\"x\",\"retry_in\":\"5\"}",
										"{\"fail\":\"x\",\"retry_in\":-1}",
										"{\"fail\":\"x\",\"retry_in\":1e300}",
										"{\"fail\":\"x\",\"permanet\":true}",
										"{\"release\":null}",
										"{\"release\":-1}",
										"{\"progress\":1.1}",
										"{\"progress\":\"0.4\"}",
										"{\"progress\":0.4,\"message\":1}",
										"{\"id\":\"\",\"finish\":1}",
										"{\"id\":\"x\",\"finish\":1}",
										"{\"id\":-1,\"finish\":1}",
										"{\"id\":null,\"finish\":1}",
										"{\"id\":\"123456789012345678901\",\"finish\":1}",
										"{\"finish\":1} x",
										"{\"finish\":\"\\u0000\"}"};
	size_t i;
	cli_reply r;

	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		ok(!read_reply(lines[i], &r), "nonsense: %s", lines[i]);
}

int
main(void)
{
	test_lines();
	test_finish();
	test_fail();
	test_others();
	test_nonsense();
	return done();
}
