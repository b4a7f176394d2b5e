/*
 * test_text.c
 *		Text of any origin, made fit to be logged and stored.
 */
#include "core/text.h"
#include "unit.h"

static void
test_printable(void)
{
	char copy[8];

	tq_text_printable("a b~", copy, sizeof(copy));
	is_str(copy, "a b~", "printable ASCII stays");
	tq_text_printable("\x1b[1m\n\x7f", copy, sizeof(copy));
	is_str(copy, "?[1m??", "control characters do not");
	tq_text_printable("b\xc3\xbc", copy, sizeof(copy));
	is_str(copy, "b??", "nor do bytes that another encoding may not have");
	tq_text_printable("123456789", copy, sizeof(copy));
	is_str(copy, "1234567", "what does not fit is cut off");
	tq_text_printable("x", copy, 1);
	is_str(copy, "", "down to nothing");
}

int
main(void)
{
	test_printable();
	return done();
}
