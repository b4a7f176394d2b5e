// h.js
//		Makes elements, and brings those on the page up to date.
//
// Nothing else in the dashboard makes elements.  Text gets into the page by text nodes alone, so a
// payload full of tags is shown as what it is.  A page is drawn anew from its data at each refresh;
// patch() changes what differs, and focus, selection and scroll position stay where they were.

const SVG = 'http://www.w3.org/2000/svg';
const svgTags = new Set(['svg', 'use', 'path', 'line', 'g', 'rect', 'text', 'circle', 'title', 'desc']);

// Attributes that are the reader's once the element is there: patch() leaves them alone.
const readers = { DETAILS: ['open'], DIALOG: ['open'], INPUT: ['value'], TEXTAREA: ['value'] };

/**
 * @typedef {Record<string, any>} Props
 * `on`: handlers by type of event; `key`: which child of its parent it is; `data` and `draw`: the
 * element draws its inside itself, from its patchData; all others are attributes, where true is an
 * empty one and false is none.
 */

/**
 * @param {string} tag "div", or with classes "div.card.wide"
 * @param {Props} [props]
 * @param {...any} children nodes, texts, numbers, lists of them; null and false are none
 * @returns {any}
 */
export function h(tag, props, ...children) {
	const [name, ...classes] = tag.split('.');
	const element = svgTags.has(name) ? document.createElementNS(SVG, name) : document.createElement(name);
	if (classes.length > 0)
		element.setAttribute('class', classes.join(' '));
	for (const [key, value] of Object.entries(props || {}))
		set(element, key, value);
	add(element, children);
	return element;
}

/** A picture of icons.svg; it says nothing to screen readers, so words stand beside it. */
export function icon(name, classes = '') {
	return h('svg', { class: `icon ${classes}`.trim(), 'aria-hidden': 'true', viewBox: '0 0 24 24' },
		h('use', { href: `icons.svg#${name}` }));
}

function set(element, key, value) {
	if (key === 'on')
		for (const type of Object.keys(value))
			listen(element, type, value[type]);
	else if (key === 'key')
		element.patchKey = String(value);
	else if (key === 'data')
		element.patchData = value;
	else if (key === 'draw')
		element.patchDraw = value;
	else if (key === 'class')
		element.setAttribute('class', [element.getAttribute('class'), value].filter(Boolean).join(' '));
	else if (value !== false && value !== null && value !== undefined)
		element.setAttribute(key, value === true ? '' : String(value));
}

/* One listener for each type, which calls the handler of the newest drawing. */
function listen(element, type, handler) {
	if (!element.patchHandlers)
		element.patchHandlers = {};
	if (!(type in element.patchHandlers))
		element.addEventListener(type, (event) => element.patchHandlers[type]?.(event));
	element.patchHandlers[type] = handler;
}

function add(element, children) {
	for (const child of children.flat(Infinity))
		if (child !== null && child !== undefined && child !== false)
			element.append(child instanceof Node ? child : document.createTextNode(String(child)));
}

/** Makes `old`, which is on the page, equal to `fresh`, which is not.  Returns what is there now. */
export function patch(old, fresh) {
	if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || old.patchKey !== fresh.patchKey) {
		old.replaceWith(fresh);
		return fresh;
	}
	if (old.nodeType !== Node.ELEMENT_NODE) {
		if (old.data !== fresh.data)
			old.data = fresh.data;
		return old;
	}
	if (fresh.patchDraw) {
		old.patchData = fresh.patchData;
		old.patchDraw();
	}
	for (const type of new Set(Object.keys({ ...old.patchHandlers, ...fresh.patchHandlers })))
		listen(old, type, fresh.patchHandlers?.[type]);
	if (fresh.patchDraw)
		return old;
	patchAttributes(old, fresh);
	patchChildren(old, [...fresh.childNodes]);
	return old;
}

function patchAttributes(old, fresh) {
	const own = readers[old.nodeName] || [];
	for (const { name } of [...old.attributes])
		if (!fresh.hasAttribute(name) && !own.includes(name))
			old.removeAttribute(name);
	for (const { name, value } of [...fresh.attributes])
		if (old.getAttribute(name) !== value && !own.includes(name))
			old.setAttribute(name, value);
	if (old.nodeName === 'INPUT' && old.checked !== fresh.checked)
		old.checked = fresh.checked;
}

function patchChildren(old, wanted) {
	const keyed = new Map();
	for (const child of old.childNodes)
		if (child.patchKey !== undefined)
			keyed.set(child.patchKey, child);
	wanted.forEach((fresh, i) => {
		let there = old.childNodes[i];
		const same = fresh.patchKey === undefined ? undefined : keyed.get(fresh.patchKey);
		if (same && same !== there) {
			old.insertBefore(same, there || null);
			there = same;
		}
		if (!there)
			old.append(fresh);
		else if (there.patchKey !== fresh.patchKey)
			old.insertBefore(fresh, there);
		else
			patch(there, fresh);
	});
	while (old.childNodes.length > wanted.length)
		old.lastChild.remove();
}
