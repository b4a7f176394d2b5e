/*
 * style.h
 *		Whose headers a request has beside taskq's own.
 */
#ifndef TQ_STYLE_H
#define TQ_STYLE_H

#include <stdbool.h>

typedef enum tq_style
{
	TQ_STYLE_TASKQ, /* no other headers */
	TQ_STYLE_MIYAMOTO,
	TQ_STYLE_APPENGINE,
	TQ_STYLE_CLOUDTASKS
} tq_style;

/* TQ_STYLE_TASKQ for a name that is none. */
extern tq_style tq_style_of_name(const char *name);

/* What all headers of the style begin with; NULL: it has none, or they have nothing in common. */
extern const char *tq_style_prefix(tq_style style);

/* Whether only taskq may set a header of that name, because handlers trust it.  Without regard to
 * case. */
extern bool tq_style_owns(tq_style style, const char *header);

#endif
