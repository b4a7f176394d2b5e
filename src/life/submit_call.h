/*
 * submit_call.h
 *		submit_call(), and templates for a call.
 */
#ifndef TASKQ_SUBMIT_CALL_H
#define TASKQ_SUBMIT_CALL_H

#include "life/template.h"

/* Templates with the key "call". */
extern const TemplateTarget submit_to_call;

#endif
