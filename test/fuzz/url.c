/*
 * url.c
 *		Fuzz target: what a URL names, and whether it may be reached.
 */
#include <curl/curl.h>

#include "core/egress.h"
#include "core/url.h"
#include "fuzz.h"

/* The transfer is driven by the handle: it must mean what was judged. */
static void
check_handle(const tq_url *url)
{
	char *host = NULL;
	char *port = NULL;
	char *user = NULL;
	size_t len = strlen(url->host);

	MUST(curl_url_get(url->handle, CURLUPART_HOST, &host, 0) == CURLUE_OK);
	MUST(curl_url_get(url->handle, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK);
	MUST(strcmp(host + (host[0] == '[' ? 1 : 0), url->host) == 0 ||
		 (host[0] == '[' && strncmp(host + 1, url->host, len) == 0 &&
		  strcmp(host + 1 + len, "]") == 0));
	MUST(strcmp(port, url->port) == 0);
	MUST(curl_url_get(url->handle, CURLUPART_USER, &user, 0) == CURLUE_NO_USER);
	curl_free(host);
	curl_free(port);
}

/* A list of this very host lets it through, and its neighbours not. */
static void
check_lists(const tq_url *url)
{
	tq_egress egress = {0};
	char err[512];
	char other[TQ_MAX_HOST + 3];

	if (tq_egress_hosts(&egress, url->host, err, sizeof(err)))
	{
		MUST(tq_egress_url_denied(&egress, url->host, url->port) == NULL);
		other[0] = 'x';
		strcpy(other + 1, url->host);
		MUST(strlen(other) > TQ_MAX_HOST || strchr(url->host, ':') != NULL ||
			 tq_egress_url_denied(&egress, other, url->port) != NULL);
	}
	MUST(tq_egress_ports(&egress, url->port, err, sizeof(err)));
	MUST(tq_egress_hosts(&egress, "", err, sizeof(err)));
	MUST(tq_egress_url_denied(&egress, url->host, url->port) == NULL);
	tq_egress_free(&egress);
}

/* What is converted is ASCII, and a URL that may be sent; what was one already stays. */
static void
check_ascii(const char *text, bool valid)
{
	char ascii[TQ_MAX_URL + 1];
	size_t i;

	if (tq_url_ascii(text, ascii) != NULL)
		return;
	for (i = 0; ascii[i] != '\0'; i++)
		MUST((unsigned char) ascii[i] < 0x80);
	MUST(tq_url_invalid(ascii) == NULL);
	MUST(!valid || strcmp(ascii, text) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size);
	const char *problem;
	tq_url url;

	problem = tq_url_parse(text, &url);
	MUST((problem == NULL) == (tq_url_invalid(text) == NULL));
	check_ascii(text, problem == NULL);
	if (problem == NULL)
	{
		MUST(strlen(text) == strcspn(text, "\r\n\t "));
		MUST(url.host[0] != '\0' && atoi(url.port) >= 1 && atoi(url.port) <= 65535);
		check_handle(&url);
		check_lists(&url);
		curl_url_cleanup(url.handle);
	}
	free(text);
	return 0;
}
