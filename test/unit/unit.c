/*
 * unit.c
 *		The least a TAP-printing unit test needs.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"

static int checks;
static int failures;

static bool
print_check(bool passed, const char *format, va_list args)
{
	printf("%sok %d - ", passed ? "" : "not ", ++checks);
	vprintf(format, args);
	putchar('\n');
	if (!passed)
		failures++;
	return passed;
}

bool
ok(bool passed, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_check(passed, format, args);
	va_end(args);
	return passed;
}

bool
is_int(int64_t got, int64_t want, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_check(got == want, format, args);
	va_end(args);
	if (got != want)
		printf("#   got %" PRId64 ", want %" PRId64 "\n", got, want);
	return got == want;
}

bool
is_str(const char *got, const char *want, const char *format, ...)
{
	bool same = got == want || (got != NULL && want != NULL && strcmp(got, want) == 0);
	va_list args;

	va_start(args, format);
	print_check(same, format, args);
	va_end(args);
	if (!same)
		printf("#   got  \"%s\"\n#   want \"%s\"\n", got ? got : "(null)", want ? want : "(null)");
	return same;
}

void
skip(const char *reason)
{
	printf("ok %d # SKIP %s\n", ++checks, reason);
}

void
note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("# ");
	vprintf(format, args);
	putchar('\n');
	va_end(args);
}

int
done(void)
{
	printf("1..%d\n", checks);
	return failures > 0 || checks == 0;
}

int64_t
clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int
count_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	const struct dirent *entry;
	int n = 0;

	if (dir == NULL)
		return -1;
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			n++;
	closedir(dir);
	return n;
}

/* With none, what this process closes meanwhile does not become free. */
void
leave_descriptors(int n)
{
	struct rlimit limit;
	int fd = STDERR_FILENO;

	while (n > 0)
		n -= fcntl(++fd, F_GETFD) < 0;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		abort();
	limit.rlim_cur = (rlim_t) fd + 1;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		abort();
}
