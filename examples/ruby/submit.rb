#!/usr/bin/env ruby
# submit.rb
#		Submits a task in the transaction that writes the data, with ruby-pg.
#
# usage: submit.rb ORDER
#
# The order is paid, and its receipt will be written: both, or none.  The key makes a repeat
# harmless: it prints the id of the task that is there.  Connection: PGHOST, PGDATABASE and so on.

require 'json'
require 'pg'

order = Integer(ARGV[0])
db = PG.connect
task = db.transaction do # commits at the end of the block, or rolls back
  db.exec_params("insert into orders values ($1, 'paid') on conflict (id) do nothing", [order])
  db.exec_params('select taskq.submit($1, $2, key => $3)',
                 ['receipts', JSON.generate(order: order), "receipt-#{order}"]).getvalue(0, 0)
end
puts task
