/*
 * unit.h
 *		The least a TAP-printing unit test needs.
 *
 * A program calls any number of checks and ends with "return done();", which
 * prints the plan and is the exit code.
 */
#ifndef UNIT_H
#define UNIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern bool ok(bool passed, const char *format, ...) __attribute__((format(printf, 2, 3)));
extern bool is_int(int64_t got, int64_t want, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
extern bool is_str(const char *got, const char *want, const char *format, ...)
	__attribute__((format(printf, 3, 4))); /* NULL equals NULL only */
extern void skip(const char *reason);
extern void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern int done(void);

/* Milliseconds on the monotonic clock. */
extern int64_t clock_ms(void);

/* Threads of this process. */
extern int count_threads(void);

/* From now on this process can open so many descriptors. */
extern void leave_descriptors(int n);

#endif
