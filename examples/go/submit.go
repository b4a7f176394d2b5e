// Submits a task in the transaction that writes the data, with pgx.
// usage: go run submit.go ORDER
//
// The order is paid, and its receipt will be written: both, or none.  The key makes a repeat
// harmless: it prints the id of the task that is there.  Connection: PGHOST, PGDATABASE and so on.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/jackc/pgx/v4" // with v5 only this line differs
)

func submit(ctx context.Context, order int64) (id int64, err error) {
	db, err := pgx.Connect(ctx, "")
	if err != nil {
		return 0, err
	}
	defer db.Close(ctx) // without a commit this rolls back
	tx, err := db.Begin(ctx)
	if err != nil {
		return 0, err
	}
	if _, err = tx.Exec(ctx, "insert into orders values ($1, 'paid') on conflict (id) do nothing", order); err != nil {
		return 0, err
	}
	payload := fmt.Sprintf(`{"order": %d}`, order)
	err = tx.QueryRow(ctx, "select taskq.submit($1, $2, key => $3)", "receipts", payload,
		fmt.Sprintf("receipt-%d", order)).Scan(&id)
	if err != nil {
		return 0, err
	}
	return id, tx.Commit(ctx)
}

func main() {
	order, err := strconv.ParseInt(os.Args[1], 10, 64)
	if err != nil {
		log.Fatal(err)
	}
	id, err := submit(context.Background(), order)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id)
}
