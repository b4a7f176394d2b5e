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

extern void tq_buffer_init(tq_buffer *b, size_t limit);

/* Appends as much of data as fits; false, and overflowed set, if not all of it did. */
extern bool tq_buffer_append(tq_buffer *b, const void *data, size_t len);

/* Hands the bytes to the caller, who frees them; the buffer is empty then. */
extern char *tq_buffer_steal(tq_buffer *b, size_t *len);

extern void tq_buffer_reset(tq_buffer *b); /* empty, keeps its memory */
extern void tq_buffer_free(tq_buffer *b);

#endif
