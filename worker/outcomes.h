/*
 * outcomes.h
 *		The outcomes of many requests as the parameters of one statement.
 */
#ifndef OUTCOMES_H
#define OUTCOMES_H

#include <stdbool.h>

#include "core/buffer.h"
#include "core/protocol.h"
#include "core/store.h"

/* Parameters of TQ_SQL_REPORT_MANY, as libpq takes them: arrays in binary form. */
typedef struct outcomes
{
	const char *value[TQ_REPORT_NARGUMENTS];
	int length[TQ_REPORT_NARGUMENTS];
	int format[TQ_REPORT_NARGUMENTS];
	tq_buffer array[TQ_REPORT_NARGUMENTS];
} outcomes;

extern void outcomes_init(outcomes *o);

/* Sets the parameters; they are valid until the next call.  False: out of memory. */
extern bool outcomes_set(outcomes *o, const tq_result *results, int n);

extern void outcomes_free(outcomes *o);

#endif
