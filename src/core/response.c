/*
 * response.c
 *		What an HTTP exchange brought: an answer, or the reason why there is none.
 */
#include <stdlib.h>

#include "core/response.h"

void
tq_response_free(tq_response *r)
{
	if (r == NULL)
		return;
	free(r->headers);
	free(r->body);
	free(r->retry_after);
	free(r);
}
