/*
 * configfiles.h
 *		The files of a configuration as one JSON document.
 *
 * What is wrong with a file ends the program with status 2.
 */
#ifndef CLI_CONFIGFILES_H
#define CLI_CONFIGFILES_H

/*
 * paths: files of YAML or JSON, directories of such files, or - for standard input.  Each object
 * may be in one of them only.  The document is never freed.
 */
extern const char *cli_config_document(const char *const *paths, int n);

#endif
