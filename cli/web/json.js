// json.js
//		JSON as the server sent it.
//
// What users wrote (payloads, results, headers) is cut out of the text and never parsed: a number
// of 30 digits stays one.  All else becomes values, as JSON.parse() makes them.

/** JSON that stays text. */
export class Raw {
	/** @param {string} text */
	constructor(text) {
		this.text = text;
	}
}

const raw = new Set(['payload', 'result', 'request_headers', 'origin', 'on_finish', 'on_dead', 'task']);

/** @param {string} text @returns {any} */
export function parse(text) {
	return read(text, { i: 0 }, '');
}

function blanks(text, at) {
	while (at.i < text.length && ' \t\r\n'.includes(text[at.i]))
		at.i++;
}

function read(text, at, name) {
	blanks(text, at);
	const start = at.i;
	if (raw.has(name) || (name === 'detail' && text[at.i] !== '"')) {
		skip(text, at);
		const piece = text.slice(start, at.i);
		return piece === 'null' ? null : new Raw(piece);
	}
	if (text[at.i] === '{')
		return readObject(text, at);
	if (text[at.i] === '[')
		return readArray(text, at);
	skip(text, at);
	return JSON.parse(text.slice(start, at.i));
}

function readObject(text, at) {
	/** @type {Record<string, any>} */
	const object = Object.create(null);
	at.i++;
	for (blanks(text, at); text[at.i] !== '}'; blanks(text, at)) {
		const start = at.i;
		skip(text, at);
		const name = JSON.parse(text.slice(start, at.i));
		blanks(text, at);
		expect(text, at, ':');
		object[name] = read(text, at, name);
		blanks(text, at);
		if (text[at.i] === ',')
			at.i++;
		else if (text[at.i] !== '}')
			throw new SyntaxError('the answer is no JSON');
	}
	at.i++;
	return object;
}

function readArray(text, at) {
	const array = [];
	at.i++;
	for (blanks(text, at); text[at.i] !== ']'; blanks(text, at)) {
		array.push(read(text, at, ''));
		blanks(text, at);
		if (text[at.i] === ',')
			at.i++;
		else if (text[at.i] !== ']')
			throw new SyntaxError('the answer is no JSON');
	}
	at.i++;
	return array;
}

function expect(text, at, c) {
	if (text[at.i] !== c)
		throw new SyntaxError('the answer is no JSON');
	at.i++;
}

/* Goes past one value, whatever is in it. */
function skip(text, at) {
	let depth = 0;
	do {
		const token = next(text, at);
		if (token === '{' || token === '[')
			depth++;
		else if (token === '}' || token === ']')
			depth--;
	} while (depth > 0);
}

/** The next token of JSON; at.i is behind it then.  Used to lay text out, too. */
export function next(text, at) {
	blanks(text, at);
	const start = at.i;
	const c = text[at.i];
	if (c === undefined)
		throw new SyntaxError('the answer is no JSON');
	if (c === '"') {
		for (at.i++; text[at.i] !== '"'; at.i++) {
			if (at.i >= text.length)
				throw new SyntaxError('the answer is no JSON');
			if (text[at.i] === '\\')
				at.i++;
		}
		at.i++;
	}
	else if ('{}[],:'.includes(c))
		at.i++;
	else
		while (at.i < text.length && !'{}[],: \t\r\n"'.includes(text[at.i]))
			at.i++;
	return text.slice(start, at.i);
}
