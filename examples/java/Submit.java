// Submit.java
//		Submits a task in the transaction that writes the data, with JDBC.
//
// usage: java -cp postgresql.jar Submit.java ORDER
//
// The order is paid, and its receipt will be written: both, or none.  The key makes a repeat
// harmless: it prints the id of the task that is there.  Connection: the URL in TASKQ_JDBC.

import java.sql.*;

public class Submit {
	public static void main(String[] args) throws SQLException {
		long order = Long.parseLong(args[0]);
		try (Connection db = DriverManager.getConnection(System.getenv("TASKQ_JDBC"))) {
			db.setAutoCommit(false); // close() without a commit rolls back
			try (PreparedStatement insert = db.prepareStatement(
					"insert into orders values (?, 'paid') on conflict (id) do nothing");
					PreparedStatement submit = db.prepareStatement("select taskq.submit('receipts', ?::jsonb, key => ?)")) {
				insert.setLong(1, order);
				insert.executeUpdate();
				submit.setString(1, "{\"order\": " + order + "}");
				submit.setString(2, "receipt-" + order);
				ResultSet task = submit.executeQuery();
				task.next();
				long id = task.getLong(1);
				db.commit();
				System.out.println(id);
			}
		}
	}
}
