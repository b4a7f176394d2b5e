/*
 * bare_curl.c
 *		POSTs to one URL as fast as curl's multi interface does: the yardstick.
 *
 * usage: bare_curl URL COUNT CONCURRENCY [CA_FILE]
 *
 * What the executor reaches is compared with this: the same requests, with
 * keep-alive, without a database, a resolver or any policy.
 */
#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BODY "{\"order\": 4711, \"state\": \"paid\"}"

static long failed;

static size_t
ignore(char *data, size_t size, size_t n, void *arg)
{
	(void) data;
	(void) arg;
	return size * n;
}

static double
seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static CURL *
new_handle(const char *url, struct curl_slist *headers, const char *ca_file)
{
	CURL *easy = curl_easy_init();

	if (easy == NULL)
		exit(1);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, BODY);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore);
	if (ca_file != NULL)
		curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 30000L);
	return easy;
}

/* Takes up finished handles; sends each again while requests are left. */
static long
reap(CURLM *multi, long *left)
{
	CURLMsg *msg;
	int queued;
	long done = 0;

	while ((msg = curl_multi_info_read(multi, &queued)) != NULL)
	{
		CURL *easy = msg->easy_handle;
		long status = 0;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
		if (msg->data.result != CURLE_OK || status / 100 != 2)
			failed++;
		done++;
		curl_multi_remove_handle(multi, easy);
		if (*left > 0)
		{
			(*left)--;
			curl_multi_add_handle(multi, easy);
		}
		else
			curl_easy_cleanup(easy);
	}
	return done;
}

static void
run(const char *url, long count, long concurrency, const char *ca_file)
{
	CURLM *multi = curl_multi_init();
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	long left = count;
	long done = 0;
	int running;
	long i;

	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, concurrency);
	for (i = 0; i < concurrency && left > 0; i++, left--)
		curl_multi_add_handle(multi, new_handle(url, headers, ca_file));
	while (done < count)
	{
		curl_multi_perform(multi, &running);
		done += reap(multi, &left);
		if (done < count)
			curl_multi_poll(multi, NULL, 0, 1000, NULL);
	}
	curl_multi_cleanup(multi);
	curl_slist_free_all(headers);
}

int
main(int argc, char **argv)
{
	bool complete = argc == 4 || argc == 5;
	long count = complete ? atol(argv[2]) : 0;
	long concurrency = complete ? atol(argv[3]) : 0;
	double start;
	double took;

	if (count <= 0 || concurrency <= 0)
	{
		fprintf(stderr, "usage: bare_curl URL COUNT CONCURRENCY [CA_FILE]\n");
		return 2;
	}
	curl_global_init(CURL_GLOBAL_DEFAULT);
	start = seconds();
	run(argv[1], count, concurrency, argc == 5 ? argv[4] : NULL);
	took = seconds() - start;
	printf("%ld requests, %.2f s, %.0f requests/s\n", count, took, (double) count / took);
	if (failed > 0)
		fprintf(stderr, "%ld requests failed\n", failed);
	return failed > 0;
}
