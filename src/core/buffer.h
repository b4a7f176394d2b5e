/*
 * buffer.h
 *		A growable byte buffer that cannot be created without a limit.
 *
 * Everything that arrives from outside is collected in one of these, so no
 * peer decides how much memory we use.  Memory is malloc'd and owned by the
 * buffer until tq_buffer_free() or tq_buffer_steal().
 */
#ifndef TQ_BUFFER_H
#define TQ_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct tq_buffer
{
	char *data; /* NUL-terminated whenever not NULL */
	size_t len;
	size_t size;     /* bytes allocated */
	size_t limit;    /* len never exceeds this */
	bool overflowed; /* something was cut off, or memory ran out */
} tq_buffer;

/* Allocates nothing. */
extern void tq_buffer_init(tq_buffer *b, size_t limit);

/*
 * Appends as much of data as fits.  False, and overflowed is set: not all of it did, because of
 * the limit (len is the limit then) or for lack of memory.
 */
extern bool tq_buffer_append(tq_buffer *b, const void *data, size_t len);

/*
 * Returns the bytes, malloc'd and NUL-terminated, for the caller to free; NULL if there are none.
 * The buffer is empty afterwards and can be used again.
 */
extern char *tq_buffer_steal(tq_buffer *b, size_t *len);

/* Empties the buffer, which keeps its memory. */
extern void tq_buffer_reset(tq_buffer *b);

extern void tq_buffer_free(tq_buffer *b);

#endif
