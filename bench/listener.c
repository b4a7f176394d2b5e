/*
 * listener.c
 *		Clients that LISTEN: many that only do, or one that measures when it gets a task.
 *
 * usage: listener listen CHANNEL CLIENTS
 *        listener wakeup|handover notify|wait QUEUE COUNT PAUSE_MS
 *        listener schedules QUEUE COUNT
 *
 * "listen" takes up notifications until it is killed.  "wakeup" submits COUNT
 * tasks, PAUSE_MS apart, to a QUEUE in which nothing else happens, and prints
 * for each the milliseconds from the answer to the submit until another
 * connection had the task from acquire(): told by NOTIFY, or by wait_ready().
 * Where no word comes within two seconds it exits with status 3.  "handover" finishes a
 * running task instead of each submit: QUEUE has tasks that wait for that end.
 *
 * "schedules" prints for each of COUNT tasks of schedules by how many milliseconds
 * later than the time in its key it was acquired, by this machine's real-time clock.
 *
 * Both connections are polled at once, so that neither clock waits for the
 * other's answer.
 */
#include <libpq-fe.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_CLIENTS 100
#define PATIENCE_MS 2000

typedef struct Worker
{
	PGconn *conn;
	bool by_notify; /* else by wait_ready() */
	bool acquiring; /* acquire() is under way, else it waits to be woken */
	const char *queue;
} Worker;

static double
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec * 1e3 + (double) ts.tv_nsec / 1e6;
}

static void
give_up(PGconn *conn)
{
	fprintf(stderr, "listener: %s", PQerrorMessage(conn));
	exit(1);
}

static PGconn *
open_connection(void)
{
	PGconn *conn = PQconnectdb("");

	if (PQstatus(conn) != CONNECTION_OK)
		give_up(conn);
	return conn;
}

static void
listen_to(PGconn *conn, const char *prefix, const char *name)
{
	char command[256];
	PGresult *result;

	snprintf(command, sizeof(command), "listen \"%s%s\"", prefix, name);
	result = PQexec(conn, command);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		give_up(conn);
	PQclear(result);
}

static void
send_query(PGconn *conn, const char *query, const char *queue)
{
	if (!PQsendQueryParams(conn, query, 1, NULL, &queue, NULL, NULL, 0))
		give_up(conn);
}

/* The rows of a finished query; -1 while it is under way. */
static int
take_result(PGconn *conn)
{
	PGresult *result;
	int rows = 0;

	if (!PQconsumeInput(conn))
		give_up(conn);
	if (PQisBusy(conn))
		return -1;
	while ((result = PQgetResult(conn)) != NULL)
	{
		if (PQresultStatus(result) != PGRES_TUPLES_OK)
			give_up(conn);
		rows += PQntuples(result);
		PQclear(result);
	}
	return rows;
}

static bool
take_notifications(PGconn *conn)
{
	PGnotify *notify;
	bool any = false;

	if (!PQconsumeInput(conn))
		give_up(conn);
	while ((notify = PQnotifies(conn)) != NULL)
	{
		any = true;
		PQfreemem(notify);
	}
	return any;
}

static void
start_waiting(Worker *worker)
{
	worker->acquiring = false;
	if (!worker->by_notify)
		send_query(worker->conn, "call taskq.wait_ready($1)", worker->queue);
}

/* Something has come in for the worker.  True when it has a task. */
static bool
advance(Worker *worker)
{
	int rows;

	if (!worker->acquiring)
	{
		if (worker->by_notify ? !take_notifications(worker->conn) : take_result(worker->conn) < 0)
			return false;
		send_query(worker->conn,
				   "select id, token, payload from taskq.acquire($1, lease_for => '1 hour')",
				   worker->queue);
		worker->acquiring = true;
		return false;
	}
	rows = take_result(worker->conn);
	if (rows == 0)
	{
		start_waiting(worker);
		/* What woke it for nothing; a notification may be here already. */
		return worker->by_notify && advance(worker);
	}
	return rows > 0;
}

static const char submit_task[] = "select taskq.submit($1, '{\"order\": 4711}')";
static const char finish_task[] =
	"select taskq.finish(id, token) from taskq_private.lease "
	"where queue_id = (select id from taskq_private.queue where name = $1) order by id limit 1";

/* Milliseconds from the answer to the client's statement until the worker has the task. */
static double
wake_once(PGconn *client, const char *statement, Worker *worker, int pause_ms)
{
	struct timespec pause = {pause_ms / 1000, pause_ms % 1000 * 1000000L};
	struct pollfd fds[2] = {{PQsocket(client), POLLIN, 0}, {PQsocket(worker->conn), POLLIN, 0}};
	double answered = 0;
	double acquired = 0;

	start_waiting(worker);
	nanosleep(&pause, NULL);
	if (worker->by_notify)
		take_notifications(worker->conn);
	send_query(client, statement, worker->queue);
	while (answered == 0 || acquired == 0)
	{
		if (poll(fds, 2, PATIENCE_MS) == 0)
			exit(3);
		if (fds[0].revents != 0 && take_result(client) >= 0)
			answered = now_ms();
		if (fds[1].revents != 0 && acquired == 0 && advance(worker))
			acquired = now_ms();
		if (answered != 0)
			fds[0].fd = -1;
	}
	return acquired > answered ? acquired - answered : 0;
}

static void
wakeup(const char *statement, bool by_notify, const char *queue, int count, int pause_ms)
{
	PGconn *client = open_connection();
	Worker worker = {open_connection(), by_notify, false, queue};

	if (by_notify)
		listen_to(worker.conn, "taskq_", queue);
	for (int i = 0; i < count; i++)
		printf("%.3f\n", wake_once(client, statement, &worker, pause_ms));
}

/* Prints the tasks of one acquire(); returns their number. */
static int
print_delays(PGconn *conn, const char *queue)
{
	PGresult *result =
		PQexecParams(conn,
					 "select extract(epoch from split_part(key, '@', 2)::timestamptz) "
					 "from taskq.acquire($1, 100, lease_for => '1 hour')",
					 1, NULL, &queue, NULL, NULL, 0);
	struct timespec ts;
	int rows = PQntuples(result);

	clock_gettime(CLOCK_REALTIME, &ts);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		give_up(conn);
	for (int i = 0; i < rows; i++)
		printf("%.3f\n", ((double) ts.tv_sec - atof(PQgetvalue(result, i, 0))) * 1e3 +
							 (double) ts.tv_nsec / 1e6);
	PQclear(result);
	return rows;
}

static void
await_schedules(const char *queue, int count)
{
	PGconn *conn = open_connection();

	while (count > 0)
	{
		int rows = print_delays(conn, queue);

		count -= rows;
		if (rows == 0)
		{
			send_query(conn, "call taskq.wait_ready($1)", queue);
			while (take_result(conn) < 0)
				poll(&(struct pollfd){PQsocket(conn), POLLIN, 0}, 1, -1);
		}
	}
}

static void
listen_for_ever(const char *channel, int clients)
{
	PGconn *conns[MAX_CLIENTS];
	struct pollfd fds[MAX_CLIENTS];

	for (int i = 0; i < clients; i++)
	{
		conns[i] = open_connection();
		listen_to(conns[i], "", channel);
		fds[i] = (struct pollfd){PQsocket(conns[i]), POLLIN, 0};
	}
	for (;;)
	{
		poll(fds, (nfds_t) clients, -1);
		for (int i = 0; i < clients; i++)
			if (fds[i].revents != 0)
				take_notifications(conns[i]);
	}
}

int
main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "listen") == 0 && atoi(argv[3]) <= MAX_CLIENTS)
		listen_for_ever(argv[2], atoi(argv[3]));
	else if (argc == 6 && strcmp(argv[1], "wakeup") == 0)
		wakeup(submit_task, strcmp(argv[2], "notify") == 0, argv[3], atoi(argv[4]), atoi(argv[5]));
	else if (argc == 6 && strcmp(argv[1], "handover") == 0)
		wakeup(finish_task, strcmp(argv[2], "notify") == 0, argv[3], atoi(argv[4]), atoi(argv[5]));
	else if (argc == 4 && strcmp(argv[1], "schedules") == 0)
		await_schedules(argv[2], atoi(argv[3]));
	else
	{
		fprintf(stderr, "usage: listener listen CHANNEL CLIENTS\n"
						"       listener wakeup|handover notify|wait QUEUE COUNT PAUSE_MS\n"
						"       listener schedules QUEUE COUNT\n");
		return 2;
	}
	return 0;
}
