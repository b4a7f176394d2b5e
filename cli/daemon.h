/*
 * daemon.h
 *		A process that goes on in the background, with its number in a file.
 */
#ifndef CLI_DAEMON_H
#define CLI_DAEMON_H

/*
 * Returns in the process that goes on, without a terminal, with /dev/null as its three descriptors
 * and umask 022, once its number is in the file; the calling process has ended with status 0 then.
 * If the process that the file names is alive the program ends with status 1.
 */
extern void cli_daemon_start(const char *pid_file);

/* Removes the file. */
extern void cli_daemon_end(const char *pid_file);

#endif
