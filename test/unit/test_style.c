/*
 * test_style.c
 *		Whose headers a request has beside taskq's own.
 */
#include "core/style.h"
#include "unit.h"

static void
test_names(void)
{
	is_int(tq_style_of_name("taskq"), TQ_STYLE_TASKQ, "taskq");
	is_int(tq_style_of_name("miyamoto"), TQ_STYLE_MIYAMOTO, "miyamoto");
	is_int(tq_style_of_name("appengine"), TQ_STYLE_APPENGINE, "appengine");
	is_int(tq_style_of_name("cloudtasks"), TQ_STYLE_CLOUDTASKS, "cloudtasks");
	is_int(tq_style_of_name("Cloudtasks"), TQ_STYLE_TASKQ, "no other");
}

static void
test_owns(void)
{
	static const char *const headers[] = {
		"X-Task", "x-queue", "X-Task-Id", "X-AppEngine-FailFast",
		"x-appengine-taskname", "X-AppEngine", "X-CloudTasks-TaskETA",
		"X-CLOUDTASKS-", "X-Cloud", "Authorization"};
	static const char owned[][sizeof(headers) / sizeof(headers[0]) + 1] = {
		[TQ_STYLE_TASKQ] = "0000000000",
		[TQ_STYLE_MIYAMOTO] = "1100000000",
		[TQ_STYLE_APPENGINE] = "0001100000",
		[TQ_STYLE_CLOUDTASKS] = "0000001100"};
	int style;
	size_t i;

	for (style = TQ_STYLE_TASKQ; style <= TQ_STYLE_CLOUDTASKS; style++)
		for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
			is_int(tq_style_owns((tq_style) style, headers[i]), owned[style][i] == '1',
				   "style %d, %s", style, headers[i]);
}

int
main(void)
{
	test_names();
	test_owns();
	return done();
}
