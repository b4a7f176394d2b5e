/*
 * text.h
 *		Text of any origin, made fit to be logged and stored.
 */
#ifndef TQ_TEXT_H
#define TQ_TEXT_H

#include <stddef.h>

/*
 * Copies text such that it is valid in every encoding and harmless on a terminal: bytes that are
 * not printable ASCII become '?'.  At most size - 1 bytes are copied, and a NUL after them.
 */
extern void tq_text_printable(const char *text, char *copy, size_t size);

#endif
