// A worker with JDBC: it writes a receipt for each paid order, exactly once.
// usage: java -cp postgresql.jar Worker.java QUEUE
//
// Connection: the URL in TASKQ_JDBC.  SIGTERM ends it, and gives its task back.  PostgreSQL reads the JSON.

import java.sql.*;
import java.util.concurrent.*;

public class Worker {
	record Task(long id, long token, Long order, double seconds, long leaseMs) {}
	static class Stopped extends Exception {} // the work is not wanted any more

	static volatile boolean stopping;

	static Connection connect() throws SQLException {
		return DriverManager.getConnection(System.getenv("TASKQ_JDBC")); // each statement is a transaction
	}

	/** Runs a statement, and returns the first column of its first row, or null if there is no row. */
	static Object one(Connection db, String sql, Object... values) throws SQLException {
		try (PreparedStatement statement = db.prepareStatement(sql)) {
			for (int i = 0; i < values.length; i++) statement.setObject(i + 1, values[i]);
			if (!statement.execute()) return null;
			ResultSet rows = statement.getResultSet();
			return rows.next() ? rows.getObject(1) : null;
		}
	}

	static Task acquire(Connection db, String queue) throws SQLException {
		try (PreparedStatement acquire = db.prepareStatement("select id, token, (payload ->> 'order')::bigint, coalesce((payload"
				+ " ->> 'seconds')::float8, 0), extract(epoch from lease_until - clock_timestamp()) * 1000 from taskq.acquire(?, worker => ?)")) {
			acquire.setString(1, queue);
			acquire.setString(2, "java " + ProcessHandle.current().pid());
			ResultSet row = acquire.executeQuery();
			return !row.next() ? null : new Task(row.getLong(1), row.getLong(2), row.getObject(3, Long.class), row.getDouble(4), row.getLong(5));
		}
	}

	/** The work, in steps.  Returns the receipt. */
	static String work(Task task, Future<?> heart) throws Exception {
		if (task.order() == null) throw new IllegalArgumentException("the payload has no order");
		for (long end = System.nanoTime() + (long) (1e9 * task.seconds()); System.nanoTime() < end; Thread.sleep(50))
			if (stopping || heart.isDone()) throw new Stopped();
		return "order " + task.order() + " is paid";
	}

	/** Keeps the lease.  Ends with an exception if the task was cancelled, or if the lease is or may be lost. */
	static void beat(Connection beats, Task task) {
		try {
			if (!Boolean.FALSE.equals(one(beats, "select cancel_requested from taskq.heartbeat(?, ?)", task.id(), task.token())))
				throw new CancellationException();
		} catch (SQLException lost) {
			throw new CompletionException(lost);
		}
	}

	static void perform(Connection db, Connection beats, ScheduledExecutorService timer, Task task) throws SQLException {
		long third = task.leaseMs() / 3;
		Future<?> heart = timer.scheduleAtFixedRate(() -> beat(beats, task), third, third, TimeUnit.MILLISECONDS);
		try {
			String text = work(task, heart);
			db.setAutoCommit(false);
			boolean ours = (boolean) one(db, "select taskq.finish(?, ?, jsonb_build_object('text', ?::text))", task.id(), task.token(), text);
			if (ours) one(db, "insert into receipt values (?, ?)", task.order(), text); // otherwise the lease is lost: no effects
			db.commit();
		} catch (Stopped stopped) {
			one(db, "select taskq.release(?, ?)", task.id(), task.token());
		} catch (Exception error) {
			if (!db.getAutoCommit()) db.rollback();
			db.setAutoCommit(true);
			one(db, "select taskq.fail(?, ?, ?)", task.id(), task.token(), error.getMessage());
		} finally {
			heart.cancel(false);
			db.setAutoCommit(true);
		}
	}

	public static void main(String[] args) throws Exception {
		Thread loop = Thread.currentThread();
		Runtime.getRuntime().addShutdownHook(new Thread(() -> {
			stopping = true;
			try { loop.join(); } catch (InterruptedException ignored) { }
		}));
		ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
		while (!stopping) {
			try (Connection db = connect(); Connection beats = connect()) {
				while (!stopping) {
					Task task = acquire(db, args[0]);
					if (task != null) perform(db, beats, timer, task);
					else one(db, "call taskq.wait_ready(?, ?::interval)", args[0], "5 s");
				}
			} catch (SQLException lost) {
				System.err.println(lost.getMessage());
				Thread.sleep(1000);
			}
		}
		timer.shutdown();
	}
}
