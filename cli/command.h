/*
 * command.h
 *		The commands of taskq: one table each, for parsing, --help, the manual and completion.
 *
 * Most commands are one call of a function of the extension.  Such a command names the function
 * and, for each argument and option, the parameter that it becomes; it needs no code.  Values
 * are always parameters of the statement; its text is made of these tables only.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <stdbool.h>

#define COUNT(array) ((int) (sizeof(array) / sizeof((array)[0])))

typedef struct cli_call cli_call;

/* What a name is the name of. */
typedef enum cli_kind
{
	KIND_NONE,
	KIND_QUEUE,
	KIND_ENDPOINT,
	KIND_POLICY,
	KIND_SCHEDULE
} cli_kind;

typedef struct cli_option
{
	char letter; /* '\0': none */
	const char *name;
	const char *argument;  /* of the value in --help; "[...]": may be left out; NULL: none */
	const char *help;      /* lines separated by LF */
	const char *parameter; /* of the function; NULL: the command reads the option itself */
	const char *type;      /* of SQL, to which the value is cast; NULL: that of the parameter */

	/* Where not NULL: what is passed on instead of the value.  The copy is never freed. */
	const char *(*convert)(const char *value);
} cli_option;

typedef struct cli_command
{
	const char *name; /* one word or two */
	const char *synopsis;
	const char *about;    /* one line */
	const char *details;  /* more lines for --help and the manual; NULL: none */
	const char *examples; /* lines, each a command; NULL: none */
	int min_arguments;
	int max_arguments; /* -1: any number */
	const cli_option *options;
	int noptions;
	int (*run)(cli_call *call); /* returns the exit status; cli_run_function() for a call */

	/* For cli_run_function(). */
	const char *function;
	const char *const *parameters; /* of the arguments; an empty one: not passed on */
	const char *refusal;           /* what a result of false or NULL means */
	int refusal_status;
	const char *question; /* before the first argument; NULL: it is just done */
	cli_kind kind;        /* of the first argument, whose name is looked up before the question */

	bool raw; /* it reads its arguments itself, and takes no global options after its name */
} cli_command;

/* A command as it was given. */
struct cli_call
{
	const cli_command *command;
	const char *program; /* of a raw command: how it was called */
	int narguments;
	char **arguments; /* of a raw command: its own name first */
	int nafter;       /* of them, those after "--" */
	int ngiven;
	struct cli_given
	{
		const cli_option *option;
		const char *value; /* of an option without one: "true" */
		const char *place; /* "FILE, line N: "; empty: the command line */
	} * given;
};

/* Exit statuses, see the manual. */
enum
{
	EXIT_DONE = 0,
	EXIT_REFUSED = 1,
	EXIT_USAGE = 2,
	EXIT_NOTHING = 3,
	EXIT_CONNECTION = 4,
	EXIT_PERMISSION = 5,
	EXIT_TIME = 6,
	EXIT_NOT_FINISHED = 7
};

/* Whether the text is a number from min to max, and nothing else. */
extern bool cli_read_number(const char *value, int min, int max, int *number);

/* The last value of an option of the command; NULL: it was not given. */
extern const char *cli_value(const cli_call *call, const char *name);

/* The same as a number from min to max, or fallback. */
extern int cli_number(const cli_call *call, const char *name, int min, int max, int fallback);

/* Adds an option as if it had been given last, at that place. */
extern void cli_give(cli_call *call, const cli_option *option, const char *value,
					 const char *place);

/* Where the last value of an option comes from, to stand before a message about it. */
extern const char *cli_place(const cli_call *call, const char *name);

/* Argument n, from 0; NULL: there are fewer. */
extern const char *cli_argument(const cli_call *call, int n);

/* The command of these one or two words; *words becomes their number.  NULL: there is none. */
extern const cli_command *cli_find_command(const char *first, const char *second, int *words);

/* Whether there are commands of two words of which this is the first. */
extern bool cli_is_group(const char *word);

/* Their second words, separated by commas. */
extern const char *cli_second_words(const char *first);

/* Every command, in the order in which --help shows them. */
extern const cli_command *const *cli_commands(int *count);

/*
 * Reads all arguments but the program's name, the global options among them.  Does not return on a
 * mistake, --help and --version.
 */
extern cli_call *cli_parse(int argc, char **argv);

/* A call of a raw command.  program: how it was called; NULL: as one of taskq's commands. */
extern cli_call *cli_raw_call(const cli_command *command, const char *program, int argc,
							  char **argv);

#endif
