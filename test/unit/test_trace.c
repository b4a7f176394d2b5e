/*
 * test_trace.c
 *		The trace context of a task.
 */
#include "core/trace.h"
#include "unit.h"

#define ID     "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

static void
accepts(const char *trace, const char *name)
{
	is_str(tq_trace_invalid(trace), NULL, name);
}

static void
refuses(const char *trace, const char *why, const char *name)
{
	is_str(tq_trace_invalid(trace), why, name);
}

static void
test_valid(void)
{
	accepts(TQ_TRACE_EXAMPLE, "the example");
	accepts("00-" ID "-" PARENT "-00", "one that is not sampled");
	accepts("cc-" ID "-" PARENT "-09", "another version, with flags that are not known");
	accepts("00-00000000000000000000000000000001-0000000000000001-00", "the smallest ids");
}

static void
test_invalid(void)
{
	const char *length = "it does not have 55 characters";
	const char *form = "it is not four numbers in lower-case hexadecimal, separated by hyphens";

	refuses("", length, "nothing");
	refuses("00-" ID "-" PARENT "-0", length, "one character less");
	refuses("00-" ID "-" PARENT "-011", length, "one character more");
	refuses("00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", form, "capitals");
	refuses("0g-" ID "-" PARENT "-01", form, "a version that is no number");
	refuses("00-4bf92f3577b34da6a3ce929d0e0e473x-" PARENT "-01", form, "a trace id that is none");
	refuses("00-" ID "-00f067aa0ba902b -01", form, "a parent id that is none");
	refuses("00-" ID "-" PARENT "-0\n", form, "flags that are none");
	refuses("000" ID "-" PARENT "-01", form, "no first hyphen");
	refuses("00-" ID "0" PARENT "-01", form, "no second hyphen");
	refuses("00-" ID "-" PARENT "001", form, "no third hyphen");
	refuses("ff-" ID "-" PARENT "-01", "there is no version ff", "the version that is forbidden");
	refuses("00-00000000000000000000000000000000-" PARENT "-01", "its trace id is zero",
			"no trace id");
	refuses("00-" ID "-0000000000000000-01", "its parent id is zero", "no parent id");
}

int
main(void)
{
	test_valid();
	test_invalid();
	return done();
}
