/*
 * array.c
 *		Arrays as values of statements, in the text form of PostgreSQL.
 */
#include <string.h>

#include "client/array.h"

/* An element is in quotes, with a backslash before each quote and backslash. */
void
tq_array_add(tq_buffer *array, const char *element)
{
	tq_buffer_append(array, array->len == 0 ? "{" : ",", 1);
	if (element == NULL)
	{
		tq_buffer_append(array, "NULL", 4);
		return;
	}
	tq_buffer_append(array, "\"", 1);
	while (*element != '\0')
	{
		size_t len = strcspn(element, "\"\\");

		tq_buffer_append(array, element, len);
		element += len;
		if (*element == '\0')
			break;
		tq_buffer_append(array, "\\", 1);
		tq_buffer_append(array, element++, 1);
	}
	tq_buffer_append(array, "\"", 1);
}

const char *
tq_array_end(tq_buffer *array)
{
	if (array->len == 0)
		tq_buffer_append(array, "{", 1);
	tq_buffer_append(array, "}", 1);
	return array->data;
}
