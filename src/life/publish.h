/*
 * publish.h
 *		Messages for topics: a task for each queue that is subscribed.
 */
#ifndef TASKQ_PUBLISH_H
#define TASKQ_PUBLISH_H

#include "life/template.h"
#include "tables/queue.h"
#include "tables/rows.h"

/*
 * Publishes again what could not be published and became a dead task of its topic.  task: that
 * task, with the time when the new ones are due.
 */
extern void publish_again(const Queue *topic, const Row *task);

/* Templates with the key "topic". */
extern const TemplateTarget publish_to_topic;

#endif
