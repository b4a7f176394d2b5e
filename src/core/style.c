/*
 * style.c
 *		Whose headers a request has beside taskq's own.
 *
 * App Engine and Cloud Tasks remove every header with their prefix from requests of others, and
 * handlers rely on that.  So the whole prefix belongs to the style.
 */
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "core/style.h"

static const struct
{
	const char *name;
	const char *prefix;
} styles[] = {
	[TQ_STYLE_TASKQ] = {"taskq", NULL},
	[TQ_STYLE_MIYAMOTO] = {"miyamoto", NULL},
	[TQ_STYLE_APPENGINE] = {"appengine", "X-AppEngine-"},
	[TQ_STYLE_CLOUDTASKS] = {"cloudtasks", "X-CloudTasks-"},
};

tq_style
tq_style_of_name(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(styles) / sizeof(styles[0]); i++)
		if (strcmp(styles[i].name, name) == 0)
			return (tq_style) i;
	return TQ_STYLE_TASKQ;
}

const char *
tq_style_prefix(tq_style style)
{
	return styles[style].prefix;
}

bool
tq_style_owns(tq_style style, const char *header)
{
	const char *prefix = styles[style].prefix;

	if (style == TQ_STYLE_MIYAMOTO)
		return strcasecmp(header, "X-Task") == 0 || strcasecmp(header, "X-Queue") == 0;
	return prefix != NULL && strncasecmp(header, prefix, strlen(prefix)) == 0;
}
