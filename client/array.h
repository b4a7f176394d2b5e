/*
 * array.h
 *		Arrays as values of statements, in the text form of PostgreSQL.
 *
 * The buffer is an array from the first element to tq_array_end().  If it overflows, overflowed
 * is set in it.
 */
#ifndef CLIENT_ARRAY_H
#define CLIENT_ARRAY_H

#include "core/buffer.h"

/* Adds an element of any type; NULL: the element is NULL. */
extern void tq_array_add(tq_buffer *array, const char *element);

/* The array, which may be empty; it is valid as long as the buffer is not changed. */
extern const char *tq_array_end(tq_buffer *array);

#endif
