/*
 * buffer.c
 *		A growable byte buffer that cannot be created without a limit.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/buffer.h"

#define FIRST_SIZE 256

void
tq_buffer_init(tq_buffer *b, size_t limit)
{
	memset(b, 0, sizeof(*b));

	/* One byte is always kept for the terminating NUL. */
	b->limit = limit < SIZE_MAX ? limit : SIZE_MAX - 1;
}

/* Makes room for want bytes and a NUL; want is at most the limit. */
static bool
grow(tq_buffer *b, size_t want)
{
	size_t size = b->size ? b->size : FIRST_SIZE;
	char *data;

	if (b->data != NULL && b->size > want)
		return true;

	while (size <= want)
		size = size > b->limit / 2 ? b->limit + 1 : size * 2;
	if (size > b->limit + 1)
		size = b->limit + 1;

	data = realloc(b->data, size);
	if (data == NULL)
		return false;
	b->data = data;
	b->size = size;
	return true;
}

bool
tq_buffer_append(tq_buffer *b, const void *data, size_t len)
{
	size_t room = b->limit - b->len;
	size_t take = len < room ? len : room;

	if (take < len)
		b->overflowed = true;
	if (!grow(b, b->len + take))
	{
		b->overflowed = true;
		return false;
	}
	if (take > 0)
		memcpy(b->data + b->len, data, take);
	b->len += take;
	b->data[b->len] = '\0';
	return take == len;
}

char *
tq_buffer_steal(tq_buffer *b, size_t *len)
{
	char *data = b->data;

	*len = b->len;
	tq_buffer_init(b, b->limit);
	return data;
}

void
tq_buffer_reset(tq_buffer *b)
{
	b->len = 0;
	b->overflowed = false;
	if (b->data != NULL)
		b->data[0] = '\0';
}

void
tq_buffer_free(tq_buffer *b)
{
	free(b->data);
	tq_buffer_init(b, b->limit);
}
