/*
 * page.h
 *		The files of the dashboard, and how one logs in to it.
 */
#ifndef CLI_SERVE_PAGE_H
#define CLI_SERVE_PAGE_H

#include "cli/serve/route.h"

extern const route_table page_routes;

#endif
