/*
 * trace.h
 *		The trace context of a task: a W3C traceparent.
 */
#ifndef TQ_TRACE_H
#define TQ_TRACE_H

#define TQ_TRACE_LEN 55

#define TQ_TRACE_EXAMPLE "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

/*
 * NULL if this is a traceparent of TQ_TRACE_LEN characters: version, trace id, parent id and flags
 * in lower-case hexadecimal.  Otherwise a static text that says what is wrong.
 */
extern const char *tq_trace_invalid(const char *trace);

#endif
