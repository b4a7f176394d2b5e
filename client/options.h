/*
 * options.h
 *		The options of a program: one table, read from arguments and files and shown by --help.
 *
 * Arguments and files know the same options; a file has one a line, without the
 * dashes: NAME = VALUE, and # begins a comment.  They are taken in the order in
 * which they come, so a later one wins.  Each program has --config FILE, --help
 * and --version as well.
 *
 * What an option allocates is kept as long as the program runs.
 */
#ifndef CLIENT_OPTIONS_H
#define CLIENT_OPTIONS_H

typedef struct tq_option
{
	const char *name;     /* without the dashes */
	const char *argument; /* what --help calls the value; NULL: as an argument it has none */
	const char *help;     /* lines separated by LF, of at most 54 columns */

	/* Takes a value, or does not return: tq_options_fail(). */
	void (*take)(const struct tq_option *option, const char *value);
	void *to; /* where take() puts it */
	int min;  /* of a number */
	int max;
} tq_option;

typedef struct tq_program
{
	const char *name;
	const char *version;
	const char *about; /* what --help says before the options, and after them */
	const char *notes;
	const tq_option *options; /* noptions */
	int noptions;
} tq_program;

/*
 * Takes the arguments, and the files they name.  Does not return on --help and --version, nor on
 * a mistake.
 */
extern void tq_options_read(const tq_program *program, int argc, char **argv);

/* Says on standard error what is wrong, and how to get help, and ends the program with status 2. */
extern void tq_options_fail(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

/* Kinds of values; to is a char *, an int, or a bool.  An option without a value is "on". */
extern void tq_option_text(const tq_option *option, const char *value);
extern void tq_option_number(const tq_option *option, const char *value);
extern void tq_option_boolean(const tq_option *option, const char *value);

/* A copy that is never freed. */
extern char *tq_option_copy(const char *value);

#endif
