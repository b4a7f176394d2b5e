-- schema.sql
--		What the examples in the six languages use: the orders of a shop, and a queue
--		whose workers write a receipt for each paid order.

create table orders (id bigint primary key check (id > 0), state text not null);
create table receipt (order_id bigint primary key, text text not null);
select taskq.create_queue('receipts', lease_for => '30 s');
