/*
 * test_buffer.c
 *		A buffer keeps its limit, its order and its terminator.
 */
#include <stdlib.h>
#include <string.h>

#include "core/buffer.h"
#include "unit.h"

static void
test_append(void)
{
	tq_buffer b;
	char *data;
	size_t len;

	tq_buffer_init(&b, 10);
	ok(b.data == NULL && b.len == 0, "empty at first");
	ok(tq_buffer_append(&b, "abc", 3), "fits");
	ok(tq_buffer_append(&b, "\0d", 2), "NUL is a byte like any other");
	is_int(b.len, 5, "length");
	ok(memcmp(b.data, "abc\0d", 6) == 0, "bytes and terminator");
	ok(!b.overflowed, "nothing was cut off");
	ok(tq_buffer_append(&b, "12345", 5), "up to the limit");
	ok(tq_buffer_append(&b, "", 0), "nothing fits always");
	ok(!b.overflowed, "the limit itself is no overflow");
	ok(!tq_buffer_append(&b, "x", 1), "one more does not fit");
	ok(b.overflowed, "and is remembered");
	is_int(b.len, 10, "length stays");

	data = tq_buffer_steal(&b, &len);
	is_int(len, 10, "stolen length");
	ok(memcmp(data, "abc\0d12345", 11) == 0, "stolen bytes");
	ok(b.data == NULL && b.len == 0 && !b.overflowed && b.limit == 10, "empty after that");
	free(data);
	tq_buffer_free(&b);
}

static void
test_cut(void)
{
	tq_buffer b;

	tq_buffer_init(&b, 4);
	ok(!tq_buffer_append(&b, "abcdef", 6), "too long");
	is_str(b.data, "abcd", "as much as fits");
	tq_buffer_reset(&b);
	ok(b.len == 0 && !b.overflowed && b.data != NULL, "reset keeps the memory");
	ok(tq_buffer_append(&b, "xy", 2), "usable again");
	is_str(b.data, "xy", "with new contents");
	tq_buffer_free(&b);

	tq_buffer_init(&b, 0);
	ok(!tq_buffer_append(&b, "a", 1), "limit 0 takes nothing");
	is_int(b.len, 0, "and has nothing");
	tq_buffer_free(&b);
}

static void
test_growth(void)
{
	tq_buffer b;
	size_t i;
	bool right = true;

	tq_buffer_init(&b, 100000);
	for (i = 0; i < 100000; i++)
	{
		char c = (char) (i % 251);

		right = right && tq_buffer_append(&b, &c, 1);
	}
	for (i = 0; i < 100000; i++)
		right = right && b.data[i] == (char) (i % 251);
	ok(right, "100000 single bytes");
	ok(b.size <= 100001, "no more memory than the limit and a NUL");
	ok(!tq_buffer_append(&b, "z", 1), "full");
	tq_buffer_free(&b);

	tq_buffer_init(&b, SIZE_MAX);
	ok(tq_buffer_append(&b, "abc", 3), "a limit of SIZE_MAX does not wrap");
	ok(b.size < 1000000, "nor reserve it");
	tq_buffer_free(&b);
}

int
main(void)
{
	test_append();
	test_cut();
	test_growth();
	return done();
}
