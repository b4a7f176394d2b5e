// api.js
//		Requests to the gateway, and its answers.

import { parse } from './json.js';

/** An answer that is an error: the server's own words. */
export class ApiError extends Error {
	/** @param {number} status @param {any} body */
	constructor(status, body) {
		super(body?.reason || `the gateway answered ${status}`);
		this.status = status;
		this.code = body?.code || '';
		this.detail = body?.detail || '';
		this.hint = body?.hint || '';
	}
}

/** @type {{onLogin: () => void}} */
export const events = { onLogin: () => {} };

/* The page lies in …/ui/, so that every address is found without knowing what stands before. */
const base = '../v1/';

/** Parameters of a query; those without a value are left out. @param {Record<string, any>} values */
export function query(values) {
	const pairs = Object.entries(values).filter(([, value]) => value !== '' && value !== null && value !== undefined);
	return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs.map(([name, value]) => [name, String(value)]))}`;
}

/** Parts of a path: names may contain anything. @param {TemplateStringsArray} texts @param {...any} values */
export function path(texts, ...values) {
	return String.raw({ raw: texts }, ...values.map((value) => encodeURIComponent(String(value))));
}

/** @param {string} method @param {string} url @param {any} [body] @returns {Promise<Response>} */
async function send(method, url, body, headers = {}) {
	/** @type {RequestInit} */
	const options = { method, credentials: 'same-origin', redirect: 'error', cache: 'no-store', headers };
	if (method !== 'GET')
		options.headers = { ...headers, 'X-Taskq': '1' };
	if (body !== undefined) {
		options.headers = { ...options.headers, 'Content-Type': 'application/json' };
		options.body = typeof body === 'string' ? body : JSON.stringify(body);
	}
	try {
		return await fetch(url, options);
	}
	catch (error) {
		throw new ApiError(0, { reason: 'the gateway cannot be reached', hint: 'The page tries again by itself.' });
	}
}

async function fault(response) {
	let body = null;
	try {
		body = parse(await response.text());
	}
	catch (error) {
		// A proxy's page: its status must do.
	}
	return new ApiError(response.status, body);
}

/** Null: an empty answer, or nothing is newer than what is known. @returns {Promise<any>} */
async function call(method, name, body) {
	const response = await send(method, base + name, body);
	if (response.status === 401)
		events.onLogin();
	if (response.status === 304)
		return null;
	if (!response.ok)
		throw await fault(response);
	const text = await response.text();
	return text === '' ? null : parse(text);
}

export const get = (name) => call('GET', name);
export const post = (name, body = {}) => call('POST', name, body);
export const del = (name) => call('DELETE', name);

/** The answer of a receiver, which is anybody's bytes. */
export async function bytesOf(name) {
	const response = await send('GET', base + name);
	if (response.status === 404)
		return null;
	if (!response.ok)
		throw await fault(response);
	return {
		status: Number(response.headers.get('X-Taskq-Status')),
		elapsed: response.headers.has('X-Taskq-Elapsed') ? Number(response.headers.get('X-Taskq-Elapsed')) : null,
		truncated: response.headers.get('X-Taskq-Truncated') === 'true',
		type: response.headers.get('Content-Type') || '',
		data: new Uint8Array(await response.arrayBuffer()),
	};
}

/** @param {string} token */
export async function login(token) {
	const response = await send('POST', 'login', { token });
	if (!response.ok)
		throw await fault(response);
}

export async function logout() {
	await send('POST', 'logout');
}
