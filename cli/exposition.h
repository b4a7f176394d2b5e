/*
 * exposition.h
 *		Writes metrics in the formats that Prometheus reads: text 0.0.4, and OpenMetrics 1.0.
 *
 * The samples are rows of taskq.metrics(), or look like them: those of a name follow each other,
 * and so do those of a histogram.  A histogram has the names of its rows, which end in _bucket,
 * _sum and _count; a counter ends in _total.
 */
#ifndef CLI_EXPOSITION_H
#define CLI_EXPOSITION_H

#include <stdbool.h>

#include "core/buffer.h"

#define EXPOSITION_NAME_MAX 128

/* Texts as libpq returns them. */
typedef struct cli_sample
{
	const char *name;
	const char *type; /* gauge, counter or histogram */
	const char *help;
	const char *labels; /* a JSON object of strings */
	const char *value;
} cli_sample;

typedef struct cli_exposition
{
	tq_buffer *out;
	bool openmetrics; /* else the text format */

	/* Private: the family of the last sample. */
	char family[EXPOSITION_NAME_MAX];
} cli_exposition;

/* For the header Content-Type of HTTP. */
extern const char *cli_exposition_type(bool openmetrics);

extern void cli_exposition_begin(cli_exposition *e, tq_buffer *out, bool openmetrics);

/* False: the labels are no object of strings, or a name is too long; then nothing is written. */
extern bool cli_exposition_add(cli_exposition *e, const cli_sample *sample);

/* out->overflowed tells whether all of it found room. */
extern void cli_exposition_end(cli_exposition *e);

#endif
