// table.js
//		Tables that can be sorted; on a narrow screen each row becomes a card.

import { h, icon } from './h.js';

/**
 * @typedef {Object} Column
 * @property {string} title
 * @property {(row: any) => any} cell
 * @property {(row: any) => string | number} [sort] what rows are compared by; without: not sorted by it
 * @property {string} [class] "num", "wide", "main"
 * @property {boolean} [falling] whether the first click sorts from the greatest down
 *
 * @typedef {Object} Table
 * @property {string} id
 * @property {string} caption for screen readers
 * @property {Column[]} columns
 * @property {any[]} rows
 * @property {(row: any) => string} key
 * @property {any} [empty] what is shown if there are no rows
 * @property {{ids: Set<string>, changed: () => void}} [selection] with a box in front of each row
 * @property {(row: any) => string} [mark] class of a row
 * @property {() => void} [redraw]
 */

/** A column of numbers, the greatest first. @returns {Column} */
export function numbers(title, value, shown) {
	const cell = (row) => (value(row) ? shown(value(row)) : h('span.note', {}, shown(value(row))));
	return { title, class: 'num third', falling: true, sort: (row) => value(row) || 0, cell };
}

/** By which column each table is sorted. @type {Map<string, {title: string, falling: boolean}>} */
const orders = new Map();

/** @param {Table} table */
export function table(table) {
	const rows = sorted(table);
	if (rows.length === 0 && table.empty)
		return h('div.empty', { key: `table-${table.id}` }, table.empty);
	return h('div.tablebox', { key: `table-${table.id}` }, h('table.cards', {},
		h('caption.hidden', {}, table.caption),
		h('thead', {}, h('tr', {},
			table.selection ? h('th.box', { scope: 'col' }, all(table, rows)) : null,
			table.columns.map((column) => heading(table, column)))),
		h('tbody', {}, rows.map((row) => h('tr', { key: table.key(row), class: table.mark?.(row) || null },
			table.selection ? h('td.box', {}, box(table, row)) : null,
			table.columns.map((column) => h('td', { class: column.class || null, 'data-label': column.title },
				column.cell(row))))))));
}

function sorted(table) {
	const order = orders.get(table.id);
	const column = order && table.columns.find(({ title }) => title === order.title);
	if (!column?.sort)
		return table.rows;
	const sign = order.falling ? -1 : 1;
	return [...table.rows].sort((a, b) => {
		const [x, y] = [column.sort(a), column.sort(b)];
		return x === y ? 0 : (x < y ? -1 : 1) * sign;
	});
}

function heading(table, column) {
	const order = orders.get(table.id);
	const chosen = order?.title === column.title;
	if (!column.sort)
		return h('th', { scope: 'col', class: column.class || null }, column.title || h('span.hidden', {}, 'Actions'));
	const turn = () => {
		orders.set(table.id, { title: column.title, falling: chosen ? !order.falling : Boolean(column.falling) });
		table.redraw();
	};
	return h('th', { scope: 'col', class: column.class || null,
		'aria-sort': chosen ? (order.falling ? 'descending' : 'ascending') : null },
	h('button.sort', { type: 'button', on: { click: turn } }, column.title,
		icon(chosen && order.falling ? 'down' : 'up', chosen ? '' : 'faint')));
}

function all(table, rows) {
	const { ids, changed } = table.selection;
	const full = rows.length > 0 && rows.every((row) => ids.has(table.key(row)));
	return h('input', { type: 'checkbox', checked: full, 'aria-label': 'Select all on this page', on: { change() {
		for (const row of rows)
			ids[full ? 'delete' : 'add'](table.key(row));
		changed();
	} } });
}

function box(table, row) {
	const { ids, changed } = table.selection;
	const id = table.key(row);
	return h('input', { type: 'checkbox', checked: ids.has(id), 'aria-label': `Select ${id}`, on: { change() {
		if (!ids.delete(id))
			ids.add(id);
		changed();
	} } });
}
